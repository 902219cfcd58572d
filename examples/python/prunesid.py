"""PruneSID over libprunesid: NumPy arrays or torch CPU tensors in, indices of the tokens to keep out.

    >>> import numpy as np, prunesid
    >>> tokens = np.random.default_rng(0).standard_normal((576, 64), dtype=np.float32)
    >>> kept = prunesid.select(tokens, 64)
    >>> kept.shape, kept.dtype, bool((np.diff(kept) > 0).all())
    ((64,), dtype('int32'), True)
    >>> result = prunesid.select(tokens, 64, details=True)
    >>> result.stats.svd.name, len(result.representative)
    ('KRYLOV', 576)

Tokens are [T, d]: float32, float16, or bfloat16, which is a torch.bfloat16 tensor, an array of
ml_dtypes' bfloat16, or a 16-bit integer array with dtype="bf16". Rows may be any distance apart;
other layouts are copied into rows. float64 is refused: convert it yourself, and see what that
costs. Types, statuses and presets come from prunesid.h by way of prunesid_declarations.h, which
the build makes of it; PRUNESID_LIBRARY names another shared library than the one beside this file
or the system's. The interpreter's lock is released during a call: threads of your own run side by
side.
"""
import os
import sys
from collections import namedtuple
from enum import IntEnum

import cffi
import numpy as np

__all__ = ["Centring", "Error", "Information", "Preset", "QuotaRule", "Rules", "Scope", "Selection",
           "Sharing", "State", "Stats", "Status", "Svd", "TauRule", "batch", "budget", "merge",
           "n_kept", "presets", "redundancy", "select", "share", "version"]

_ffi = cffi.FFI()
_here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(_here, "prunesid_declarations.h"), encoding="ascii") as _file:
    _ffi.cdef(_file.read())


def _load():
    declared = _ffi.typeof("enum prunesid_declared").relements["prunesid_declared_version"]
    soname = f"libprunesid.so.{declared // 10000}.{declared // 100 % 100}"
    beside = os.path.join(_here, soname)
    name = os.environ.get("PRUNESID_LIBRARY") or (beside if os.path.exists(beside) else soname)
    try:
        library = _ffi.dlopen(name)
    except OSError as error:
        raise ImportError(f"prunesid: {error}") from None
    # Before 1.0 types may change with the minor version.
    if library.prunesid_version() // 100 != declared // 100:
        raise ImportError(f"prunesid: {name} has version {library.prunesid_version()}, the "
                          f"declarations {declared}")
    return library


_lib = _load()


_enums = {}


def _enum(name, prefix):
    """An IntEnum of one of the header's, without the prefix of its members."""
    declared = _ffi.typeof(name)
    members = sorted(declared.relements.items(), key=lambda member: member[1])
    title = name[len("prunesid_"):].title().replace("_", "")
    _enums[declared.cname] = IntEnum(title, {key[len(prefix):]: value for key, value in members})
    return _enums[declared.cname]


Status = _enum("prunesid_status", "PRUNESID_")
Preset = _enum("prunesid_preset", "PRUNESID_")
Centring = _enum("prunesid_centring", "PRUNESID_CENTRE_")
TauRule = _enum("prunesid_tau_rule", "PRUNESID_TAU_")
QuotaRule = _enum("prunesid_quota_rule", "PRUNESID_QUOTA_")
Svd = _enum("prunesid_svd", "PRUNESID_SVD_")
Scope = _enum("prunesid_scope", "PRUNESID_SCOPE_")
State = _enum("prunesid_state", "PRUNESID_")
Sharing = _enum("prunesid_sharing", "PRUNESID_")
_Dtype = _enum("prunesid_dtype", "PRUNESID_")


def _fields(struct):
    return dict(_ffi.typeof(struct).fields)


Stats = namedtuple("Stats", _fields("prunesid_stats"))
Information = namedtuple("Information", _fields("prunesid_information"))
Rules = namedtuple("Rules", ["preset", *_fields("prunesid_rules")])
_DETAILS = {name: field.type.item.cname for name, field in _fields("prunesid_details").items()
            if field.type.kind == "pointer"}
Selection = namedtuple("Selection", ["indices", *_DETAILS, "stats"])


def _tuple(kind, struct, **more):
    """A namedtuple of a C struct: enumerators as such, texts as str."""
    values = {}
    for name, field in _ffi.typeof(struct).fields:
        value = getattr(struct, name)
        if field.type.kind == "enum":
            value = _enums[field.type.cname](value)
        elif field.type.kind == "pointer":
            value = _ffi.string(value).decode()
        values[name] = value
    return kind(**values, **more)


class Error(ValueError):
    """What prunesid.h refused. status says why; row and column where, if a token is not finite;
    image which one of a batch."""

    def __init__(self, status, row=None, column=None, image=None):
        self.status, self.row, self.column, self.image = Status(status), row, column, image
        text = _ffi.string(_lib.prunesid_status_string(status)).decode()
        where = [f"{name} {value}" for name, value in
                 (("image", image), ("row", row), ("column", column)) if value is not None]
        super().__init__(text + (f" ({', '.join(where)})" if where else ""))


def _check(status, data=None, image=None):
    if status == Status.OK:
        return
    row = column = None
    if status == Status.ERROR_TOKENS_NOT_FINITE and data is not None:
        place = _ffi.new("size_t[2]")
        _lib.prunesid_input_check(data, place, place + 1)
        row, column = place
    raise Error(status, row, column, image)


def _member(kind, value):
    """Of an enumeration, by itself, its number or its name in either case."""
    if isinstance(value, str):
        if value.upper() not in kind.__members__:
            raise ValueError(f"{value!r} is none of {', '.join(kind.__members__).lower()}")
        return kind[value.upper()]
    return kind(value)


def _count(value, name):
    if value != int(value) or value < 0:
        raise ValueError(f"{name} is {value}: a number of tokens is a whole one, from 0 on")
    return int(value)


def _pointer(array, ctype):
    return _ffi.cast(ctype, array.ctypes.data) if array is not None else _ffi.NULL


def _numpy(array, dtype=None):
    """An array and its prunesid_dtype: as the module says."""
    if hasattr(array, "detach"):  # a torch tensor
        array = array.detach()
        if array.device.type != "cpu":
            raise TypeError(f"the tensor is on {array.device}: take .cpu() of it")
        if str(array.dtype) == "torch.bfloat16":
            array, dtype = array.view(sys.modules["torch"].int16), "bf16"
        array = array.numpy()
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        array, dtype = array.view(np.uint16), "bf16"
    if dtype not in (None, "bf16"):
        raise ValueError(f"dtype is {dtype!r}: 'bf16', or None for that of the array")
    if dtype == "bf16" and array.dtype in (np.uint16, np.int16):
        return array, _Dtype.BF16
    if dtype is None and array.dtype in (np.float32, np.float16):
        return array, _Dtype.F32 if array.dtype == np.float32 else _Dtype.F16
    raise TypeError(f"tokens of {array.dtype}: float32, float16 or bfloat16 are taken")


def _rows(array, dtype=None):
    """_numpy, [T, d] with elements side by side, and its row stride in elements."""
    array, kind = _numpy(array, dtype)
    if array.ndim != 2:
        raise ValueError(f"tokens of {array.ndim} dimensions: [T, d] is taken")
    T, d = array.shape
    size = array.itemsize
    if not (array.flags.aligned and (d <= 1 or array.strides[1] == size) and
            (T <= 1 or (array.strides[0] >= d * size and array.strides[0] % size == 0))):
        array = np.ascontiguousarray(array)
    return array, kind, array.strides[0] // size if T > 1 else d


def _vector(values, dtype, length, name):
    if values is None:
        return None
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if dtype is np.float32 else values
    array = np.ascontiguousarray(values)
    if dtype is np.int32:
        exact = array.astype(np.int32)
        if array.size and not (exact == array).all():
            raise ValueError(f"{name} are no 32-bit integers")
        array = exact
    array = np.ascontiguousarray(array, dtype)
    if array.ndim != 1 or (length is not None and array.size != length):
        raise ValueError(f"{name} have the shape {array.shape}, not ({length or 'n'},)")
    return array


def _input(tokens, dtype=None, scores=None, loadings=None, protected=None, first=0):
    """prunesid_input, and what it points at."""
    array, kind, ld = _rows(tokens, dtype)
    T, d = array.shape
    data = _ffi.new("prunesid_input *",
                    _lib.prunesid_input_init(_pointer(array, "void *"), int(kind), T, d))
    scores = _vector(scores, np.float32, T, "scores")
    protected = _vector(protected, np.int32, None, "protected tokens")
    data.ld, data.first = ld, _count(first, "first")
    data.scores = _pointer(scores, "float *")
    data.protected_tokens = _pointer(protected, "int32_t *")
    data.n_protected = protected.size if protected is not None else 0
    if loadings is not None:
        loadings, kind, data.ld_loadings = _rows(loadings)
        if kind != _Dtype.F32 or len(loadings) != T:
            raise ValueError("loadings are float32 [T, K]")
        data.loadings = _pointer(loadings, "float *")
    return data, (array, scores, protected, loadings)


def _config(keep, preset, reserved, groups, svd):
    config = _ffi.new("prunesid_config *", _lib.prunesid_config_init(
        int(_member(Preset, preset)), _count(keep, "keep")))
    if reserved is not None:
        config.reserved = _count(reserved, "reserved")
    config.n_groups, config.svd = _count(groups, "groups"), int(_member(Svd, svd))
    return config


def version():
    """Of the library, as in PRUNESID_VERSION: 10203 is 1.2.3."""
    return _lib.prunesid_version()


def presets():
    """The header's presets, a Rules each."""
    rows = []
    for preset in Preset:
        rows.append(_tuple(Rules, _lib.prunesid_preset_rules(int(preset))[0], preset=preset))
    return rows


def n_kept(keep, n_tokens, *, preset="auto", reserved=None):
    """How many indices select gives: min(keep - reserved, T)."""
    return _lib.prunesid_n_kept(_config(keep, preset, reserved, 0, "krylov"),
                                _count(n_tokens, "n_tokens"))


def select(tokens, keep, *, preset="auto", scores=None, protected=None, reserved=None, groups=0,
           svd="krylov", loadings=None, first=0, dtype=None, details=False, scope="all"):
    """The indices of the tokens to keep, int32 and ascending: prunesid_select.

    tokens     [T, d], see the module
    keep       N, reserved rows and protected tokens included
    scores     [T] importance, larger is better; None: the loadings
    protected  ascending indices of tokens that are kept in any case
    loadings   [T, groups] float32 of an SVD of your own
    first      the number of row 0: indices, in and out, count from it
    details    True: a Selection with the header's prunesid_details, representatives by scope too
    Raises Error, ValueError or TypeError. Only reads its arguments.
    """
    if loadings is not None and not groups:
        groups = np.shape(loadings)[-1]
    config = _config(keep, preset, reserved, groups, svd)
    data, alive = _input(tokens, dtype, scores, loadings, protected, first)
    T, n = data.n_tokens, _lib.prunesid_n_kept(config, data.n_tokens)
    indices = np.empty(n, np.int32)
    more = _ffi.new("prunesid_details *", _lib.prunesid_details_init())
    arrays = {}
    if details:
        more.scope = int(_member(Scope, scope))
        for name, ctype in _DETAILS.items():
            length = n if name in ("order", "count", "log_count") else T
            arrays[name] = np.empty(length, ctype.replace("_t", "").replace("float", "float32"))
            setattr(more, name, _pointer(arrays[name], f"{ctype} *"))
    _check(_lib.prunesid_select_alloc(config, data, _pointer(indices, "int32_t *"), n, more,
                                      _ffi.NULL), data)
    del alive
    return Selection(indices, **arrays, stats=_tuple(Stats, more.stats)) if details else indices


def batch(images, keep, *, sharing="by_phi", low=0, high=None, preset="auto", scores=None,
          reserved=None, groups=0, svd="krylov", dtype=None):
    """Several images under one budget: a list of index arrays, each counted from 0 in its image.

    keep     N of all together; with sharing="fixed" of each
    sharing  "by_phi" (rich images get more), "by_size" or "fixed"
    low      floor of an image's share; high: its ceiling. Numbers, or one for each image
    scores   a list of [T] for each image, or None
    Raises Error, whose image says which one failed.
    """
    config = _config(keep, preset, reserved, groups, svd)
    images = list(images)
    lows, highs = (value if np.ndim(value) else [value] * len(images) for value in (low, high))
    lists = [scores if scores is not None else [None] * len(images), lows, highs]
    if any(len(values) != len(images) for values in lists):
        raise ValueError(f"{len(images)} images, but {[len(v) for v in lists]} scores, low, high")
    regions = _ffi.new("prunesid_region[]", len(images))
    alive = []
    for i, (image, score, least, most) in enumerate(zip(images, *lists)):
        data, arrays = _input(image, dtype, score)
        alive.append((data, arrays))
        regions[i] = _lib.prunesid_region_init(data, 0, data.n_tokens, 0)
        regions[i].low = _count(least, "low")
        if most is not None:
            regions[i].high = _count(most, "high")
    job = _ffi.new("prunesid_batch *", _lib.prunesid_batch_init(
        config, int(_member(Sharing, sharing)), regions, len(images)))
    plan = _ffi.new("prunesid_plan *")
    status = _lib.prunesid_batch_plan(job, plan)
    _check(status, image=plan.region if plan.region < len(images) else None)
    workspace = np.empty(plan.workspace_bytes, np.uint8)
    indices = np.empty(plan.n_kept, np.int32)
    status = _lib.prunesid_batch_select(job, _pointer(workspace, "void *"), workspace.size,
                                        _pointer(indices, "int32_t *"), plan.n_kept)
    for i in range(len(images)):
        _check(regions[i].status, alive[i][0], i)
    _check(status)
    cuts = np.cumsum([region.n_kept for region in regions])[:-1]
    return [part.copy() for part in np.split(indices, cuts)]


def redundancy(tokens, *, dtype=None):
    """rho, phi and what else prunesid_information has, of [T, d]."""
    data, alive = _input(tokens, dtype)
    config = _config(1, "paper", 0, 1, "krylov")
    n_bytes = _ffi.new("size_t *")
    _check(_lib.prunesid_workspace_size(config, data.n_tokens, data.dim, n_bytes), data)
    workspace = np.empty(n_bytes[0], np.uint8)
    information = _ffi.new("prunesid_information *")
    _check(_lib.prunesid_redundancy(data, _pointer(workspace, "void *"), workspace.size,
                                    information), data)
    del alive
    return _tuple(Information, information[0])


def budget(phi, phi_ref, keep, *, low=1, high=2**31 - 1):
    """An image's own budget: keep phi / phi_ref, rounded, from low to high: prunesid_budget."""
    out = _ffi.new("size_t *")
    _check(_lib.prunesid_budget(phi, phi_ref, _count(keep, "keep"), _count(low, "low"),
                                _count(high, "high"), out))
    return out[0]


def share(weights, total, *, low=None, high=None):
    """total shared in proportion to weights, with floors (1) and ceilings (none) for each:
    prunesid_share. A list of int."""
    weights = np.ascontiguousarray(weights, np.float64)
    if weights.ndim != 1:
        raise ValueError("weights are [n]")
    limits = []
    for name, values in (("low", low), ("high", high)):
        if values is not None and len(values) != weights.size:
            raise ValueError(f"{len(values)} {name} for {weights.size} weights")
        limits.append(_ffi.NULL if values is None else
                      _ffi.new("size_t[]", [_count(value, name) for value in values]))
    out = _ffi.new("size_t[]", max(weights.size, 1))
    _check(_lib.prunesid_share(_pointer(weights, "double *"), weights.size,
                               _count(total, "total"), *limits, out))
    return list(out)[:weights.size]


def merge(rows, indices, representative, weight=0.5, *, dtype=None):
    """The kept rows with what they represent folded in: (1 - weight) x + weight mean. Of any rows
    [T, w] that belong to the tokens; indices and representative are select's, both counted from
    0. An array of the rows' dtype (bfloat16: uint16)."""
    data, alive = _input(rows, dtype)
    indices = _vector(indices, np.int32, None, "indices")
    representative = _vector(representative, np.int32, data.n_tokens, "representatives")
    out = np.empty((indices.size, data.dim), alive[0].dtype)
    _check(_lib.prunesid_merge(data, _pointer(indices, "int32_t *"), indices.size,
                               _pointer(representative, "int32_t *"), weight,
                               _pointer(out, "void *"), data.dim), data)
    return out
