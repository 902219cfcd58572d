"""prunesid.h from Python: NumPy arrays or torch CPU tensors in, indices of the kept tokens out.

    >>> import numpy as np, prunesid
    >>> x = np.random.default_rng(0).standard_normal((576, 64), dtype=np.float32)
    >>> kept = prunesid.select(x, 64)               # int32 [64], ascending
    >>> x[kept].shape
    (64, 64)
    >>> d = prunesid.select(x, 64, details=True)    # what else a selection tells
    >>> d.stats.preset, d.stats.n_groups, int(d.count.sum())
    ('qwen2vl', 16, 576)
    >>> prunesid.merge(x, d.indices, d.representative).shape
    (64, 64)
    >>> [len(k) for k in prunesid.batch([x, x[:100]], 80, "size")]
    [68, 12]

tokens, everywhere: [T, d] of float32, float16 or bfloat16. bfloat16 is a torch tensor's, an
array's of ml_dtypes, or its bits in uint16 or int16 with dtype="bf16". Rows may lie any distance
apart, so that slices of wider features are read where they are; tokens of another layout (Fortran
order, steps inside a row) are copied. float64 is refused, since a copy of the tokens should be
asked for: pass x.astype(np.float32). What goes with the tokens (scores, loadings) may be of any
real dtype and is rounded to float32.

Errors: Error, a ValueError with the library's status; ValueError and TypeError for what the library
cannot see: shapes, lengths, dtypes, names.

Threads: a call runs without the GIL (cffi releases it), and calls share nothing, so that several
threads select at a time. Set OPENBLAS_NUM_THREADS=1 there.

The library is PRUNESID_LIBRARY of the environment if that is set, else
libprunesid.so.MAJOR.MINOR beside this file or in the lib that it is installed in, else the
system's. Types, statuses, presets and fields come from prunesid_cdef.h, which the build makes of
prunesid.h. MIT licence.
"""
import collections
import concurrent.futures
import enum
import operator
import os
import pathlib

import cffi
import numpy as np

__all__ = ["select", "batch", "merge", "redundancy", "budget", "share", "n_kept", "presets",
           "Error", "Status", "State", "Details", "Stats", "Information", "Rules"]

# ---- the library ---------------------------------------------------------------------------------

ffi = cffi.FFI()


def _version_text(number):
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


_here = pathlib.Path(__file__).resolve().parent
try:
    ffi.cdef((_here / "prunesid_cdef.h").read_text(encoding="ascii"))
except FileNotFoundError as error:
    raise ImportError(f"{error.filename}, which the build makes, is not there") from error
_declared = ffi.typeof("enum prunesid_python").relements["prunesid_declared_version"]
_name = "libprunesid.so." + _version_text(_declared).rpartition(".")[0]
_path = os.environ.get("PRUNESID_LIBRARY")
if not _path:  # as it was built, or installed with the library into lib of a prefix
    _beside = [folder / _name for folder in (_here, _here.parents[1]) if (folder / _name).exists()]
    _path = str(_beside[0]) if _beside else _name
try:
    lib = ffi.dlopen(_path)
    _version = lib.prunesid_version()
except (OSError, AttributeError) as error:
    raise ImportError("prunesid's library cannot be loaded (PRUNESID_LIBRARY says which to take): "
                      f"{error}") from error
if _version // 100 != _declared // 100:  # before 1.0 types may change with MINOR
    raise ImportError(f"{_path} is of version {_version_text(_version)}, prunesid_cdef.h of "
                      f"{_version_text(_declared)}")
__version__ = _version_text(_version)

# ---- names and types, as the header has them -----------------------------------------------------


def _labels(c_type):
    """{0: "krylov", 1: "exact"}: an enum's numbers, and its names without what all begin with."""
    names = ffi.typeof(c_type).elements
    head = os.path.commonprefix(list(names.values()))
    return {value: name[head.rindex("_") + 1:].lower()
            for value, name in sorted(names.items(), key=lambda item: abs(item[0]))}


def _number(labels, label, what):
    for number, known in labels.items():
        if known == label:
            return number
    raise ValueError(f"{what} is one of {', '.join(map(repr, labels.values()))}, not {label!r}")


Status = enum.IntEnum("Status", {label.upper().removeprefix("ERROR_"): value
                                 for value, label in _labels("prunesid_status").items()})
State = enum.IntEnum("State", {label.upper(): value
                               for value, label in _labels("prunesid_state").items()})
Status.__doc__ = "What the library said; prunesid.h has the cause of each."
State.__doc__ = "What became of a token: kept, over its group's quota, or a duplicate."
Stats, Information, Rules = (
    collections.namedtuple(name, [field for field, _ in ffi.typeof(c_type).fields])
    for name, c_type in (("Stats", "prunesid_stats"), ("Information", "prunesid_information"),
                         ("Rules", "prunesid_rules")))


def _record(record, struct):
    """Its numbers, its texts, and the names of its enumerators."""
    values = []
    for name, field in ffi.typeof(struct).fields:
        value = getattr(struct, name)
        if field.type.kind == "enum":
            value = _labels(field.type.cname)[value]
        elif field.type.kind == "pointer":
            value = ffi.string(value).decode()
        values.append(value)
    return record(*values)


def presets():
    """The table of presets, {name: Rules}."""
    rows = map(lib.prunesid_preset_rules, range(len(_labels("prunesid_preset"))))
    return {rules.name: rules for rules in (_record(Rules, row[0]) for row in rows)}


_PRESETS = dict(enumerate(presets()))
_SVDS = _labels("prunesid_svd")
_SCOPES = _labels("prunesid_scope")
_SHARINGS = {value: label.removeprefix("by_")
             for value, label in _labels("prunesid_sharing").items()}

# The arrays of prunesid_details; those of a length that is not T.
_DTYPES = {"int32_t": np.int32, "uint8_t": np.uint8, "float": np.float32}
_ARRAYS = {name: _DTYPES[field.type.item.cname]
           for name, field in ffi.typeof("prunesid_details").fields if field.type.kind == "pointer"}
_OF_KEPT = {"order", "count", "log_count"}
_OF_REPRESENTATIVES = {"representative", "count", "log_count"}

Details = collections.namedtuple("Details", ["indices", "share", *_ARRAYS, "stats"])
Details.__doc__ = """What details=True gives; None where scope is None.

indices         int32 [n_kept], ascending
share           the budget that the image was given
order           int32 [n_kept], the indices as picked
group           int32 [T], -1 where nothing was pruned
state           uint8 [T], State
loading         float32 [T], of each token on its group's component
representative  int32 [T], the kept token that stands for each
count           int32 [n_kept], tokens that each kept one stands for
log_count       float32 [n_kept], ln count: a bias for the attention logits of its key
stats           Stats: rho, phi, tau, preset, n_groups, coverage, ...; ns_* are 0
"""

# ---- errors --------------------------------------------------------------------------------------


class Error(ValueError):
    """The library refused.

    status       Status
    row, column  of the first element that is not finite, for TOKENS_NOT_FINITE; else None
    image        which of a batch it was; None if it was not one image's fault
    results      of a batch that went on without the images that failed: theirs are None
    """
    status = row = column = image = results = None


def _check(status, tokens=None, image=None, results=None):
    if status == lib.PRUNESID_OK:
        return
    error = Error(ffi.string(lib.prunesid_status_string(status)).decode())
    error.status, error.image, error.results = Status(status), image, results
    if image is not None:
        error.args = (f"image {image}: {error}",)
    if status == lib.PRUNESID_ERROR_TOKENS_NOT_FINITE:
        row, column = ffi.new("size_t *"), ffi.new("size_t *")
        lib.prunesid_input_check(tokens, row, column)
        error.row, error.column = row[0], column[0]
        error.args = (f"{error}: row {error.row}, column {error.column}",)
    raise error


# ---- arguments -----------------------------------------------------------------------------------


def _size(value, what):
    value = operator.index(value)
    if not 0 <= value <= int(ffi.cast("size_t", -1)):
        raise ValueError(f"{what} does not fit size_t: {value}")
    return value


def _sizes(values, n, what):
    """n of them, from as many or from one."""
    if np.ndim(values) == 0:
        return [_size(values, what)] * n
    if len(values) != n:
        raise ValueError(f"{what} has {len(values)} numbers for {n}")
    return [_size(value, what) for value in values]


def _array(x):
    """x as an array in the same memory, and whether it holds the bits of bfloat16 numbers."""
    if hasattr(x, "detach"):  # a tensor's
        if x.device.type != "cpu":
            raise TypeError(f"a tensor is on {x.device}: pass x.cpu()")
        x = x.detach()
        if str(x.dtype) == "torch.bfloat16":
            import torch  # is there already: the tensor is its
            return x.view(torch.int16).numpy(), True
        return x.numpy(), False
    array = np.asarray(x)
    if array.dtype.name == "bfloat16":  # of ml_dtypes
        return array.view(np.uint16), True
    return array, False


def _floats(x, what):
    array, is_bf16 = _array(x)
    if is_bf16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{what} are {array.dtype}, not real numbers")
    with np.errstate(over="ignore"):  # the library looks for infinities
        return np.ascontiguousarray(array, np.float32)


def _indices(x, what):
    array, _ = _array(x)
    if array.ndim != 1:
        raise ValueError(f"{what} are a list, not of shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{what} are {array.dtype}, not integers")
    narrow = np.ascontiguousarray(array, np.int32)
    if (narrow != array).any():
        raise ValueError(f"{what} are beyond int32")
    return narrow


def _pointer(c_type, array):
    return ffi.cast(c_type, array.ctypes.data)


def _input(tokens, dtype):
    """A prunesid_input, and the array that has to live as long."""
    array, is_bf16 = _array(tokens)
    if dtype not in (None, "bf16"):
        raise ValueError(f'dtype is None or "bf16", not {dtype!r}')
    if dtype == "bf16" and array.dtype in (np.uint16, np.int16):
        is_bf16 = True
    if is_bf16:
        code = lib.PRUNESID_BF16
    elif array.dtype == np.float32 and dtype is None:
        code = lib.PRUNESID_F32
    elif array.dtype == np.float16 and dtype is None:
        code = lib.PRUNESID_F16
    else:
        raise TypeError(f"tokens are {array.dtype}{' with dtype=' + repr(dtype) if dtype else ''}: "
                        'pass float32, float16, bfloat16, or its bits in uint16 with dtype="bf16"')
    if array.ndim != 2:
        raise ValueError(f"tokens are [T, d], not of shape {array.shape}")
    n, d = array.shape
    row, column = array.strides
    if ((d > 1 and column != array.itemsize) or (n > 1 and row < d * array.itemsize) or
            not array.flags.aligned):  # of the strides too
        array = np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])
    made = ffi.new("prunesid_input *",
                   lib.prunesid_input_init(_pointer("void *", array), code, n, d))
    if n > 1:
        made.ld = array.strides[0] // array.itemsize
    return made, array


def _sides(given, scores, protected):
    """Scores and protected tokens into an input; the arrays that have to live as long."""
    if scores is not None:
        scores = _floats(scores, "scores")
        if scores.shape != (given.n_tokens,):
            raise ValueError(f"scores are [{given.n_tokens}], not of shape {scores.shape}")
        given.scores = _pointer("float *", scores)
    if protected is not None:
        protected = _indices(protected, "protected tokens")
        given.protected_tokens = _pointer("int32_t *", protected)
        given.n_protected = len(protected)
    return scores, protected


def _config(budget, preset, reserved, groups, svd, workers):
    config = ffi.new("prunesid_config *", lib.prunesid_config_init(
        _number(_PRESETS, preset, "preset"), _size(budget, "the budget")))
    if reserved is not None:
        config.reserved = _size(reserved, "reserved")
    if groups is not None:
        config.n_groups = _size(groups, "groups")
    config.svd = _number(_SVDS, svd, "svd")
    config.threads.n_workers = _size(workers, "workers")
    return config


def _details(details, n_kept, n_tokens, scope):
    """New arrays for a prunesid_details."""
    arrays = {}
    for name, dtype in _ARRAYS.items():
        if scope is None and name in _OF_REPRESENTATIVES:
            arrays[name] = None
            continue
        arrays[name] = np.empty(n_kept if name in _OF_KEPT else n_tokens, dtype)
        setattr(details, name, _pointer(ffi.typeof(getattr(details, name)), arrays[name]))
    if scope is not None:
        details.scope = _number(_SCOPES, scope, "scope")
    return arrays


@ffi.callback("void(void (*)(void *, size_t, size_t), void *, size_t, size_t, void *)")
def _run(task, data, n_tasks, n_workers, user):
    tasks = iter(range(n_tasks))

    def work(worker):
        for i in tasks:
            task(data, i, worker)

    others = []
    try:
        pool = ffi.from_handle(user)
        others += (pool.submit(work, worker) for worker in range(1, n_workers))
        work(0)
    finally:
        concurrent.futures.wait(others)


def _call(threads, function, *arguments):
    """Calls the library, on as many threads as threads says."""
    if threads.n_workers < 2:
        return function(*arguments)

    def call(pool):
        handle = ffi.new_handle(pool)
        threads.run, threads.user = _run, handle
        return function(*arguments)

    # The caller only waits: a KeyboardInterrupt comes when all is done, not inside of _run.
    with concurrent.futures.ThreadPoolExecutor(threads.n_workers) as pool:
        return pool.submit(call, pool).result()


# ---- what it is for ------------------------------------------------------------------------------


def select(tokens, keep, *, preset="auto", scores=None, protected=None, reserved=None, groups=None,
           svd="krylov", loadings=None, workers=1, details=False, scope="all", dtype=None):
    """The indices of min(keep - reserved, T) tokens, int32, ascending; or Details.

    keep       budget N, reserved rows and protected tokens included
    preset     a name of presets(); "auto" is llava's rules if there are scores, else qwen2vl's
    scores     [T] importance, finite
    protected  ascending indices of tokens to keep in any case
    reserved   rows inside N that are no tokens (a CLS row); None: the preset's
    groups     number K of groups; None: by the preset's rule, or the width of loadings
    svd        "krylov" or "exact"; the tokens are the same
    loadings   [T, K] of an SVD of your own
    workers    threads that share the work on this image, if it is large; the result is the same
    details    True: Details
    scope      of details: who may represent a dropped token: "all", "group", or None to leave
               representatives out, which cost about as much as a third of a selection
    dtype      "bf16" if tokens are bits
    """
    given, array = _input(tokens, dtype)
    if loadings is not None:
        loadings = _floats(loadings, "loadings")
        if loadings.ndim != 2 or len(loadings) != given.n_tokens:
            raise ValueError(f"loadings are [T, K], not of shape {loadings.shape}")
        groups = loadings.shape[1] if groups is None else groups
        given.loadings, given.ld_loadings = _pointer("float *", loadings), loadings.shape[1]
    scores, protected = _sides(given, scores, protected)
    config = _config(keep, preset, reserved, groups, svd, workers)
    n = lib.prunesid_n_kept(config, given.n_tokens)
    indices = np.empty(n, np.int32)
    told = ffi.new("prunesid_details *", lib.prunesid_details_init()) if details else ffi.NULL
    arrays = _details(told, n, given.n_tokens, scope) if details else None
    _check(_call(config.threads, lib.prunesid_select_alloc, config, given,
                 _pointer("int32_t *", indices), n, told, ffi.NULL), given)
    if not details:
        return indices
    return Details(indices, config.budget, **arrays, stats=_record(Stats, told.stats))


def batch(images, budget, sharing, *, low=None, high=None, preset="auto", scores=None,
          protected=None, reserved=None, groups=None, svd="krylov", workers=1, details=False,
          scope="all", dtype=None):
    """Prunes several images, of any shapes and dtypes: a list of what select gives for each.

    images     a sequence of tokens; indices count from each one's row 0
    budget     N of all together; of "fixed" N of each, one number or a sequence
    sharing    "fixed"; "size": in proportion to their tokens; "phi": to phi, rich images get more
    low, high  floor and ceiling of a shared budget, one number or a sequence; None: none
    scores, protected  a sequence, of what select takes for each image or None
    workers    threads that take an image each
    The others as in select. An image that fails does not stop the others: see Error.results.
    """
    images = list(images)
    n = len(images)
    shared = _number(_SHARINGS, sharing, "sharing")
    budgets = [0] * n if shared != lib.PRUNESID_FIXED else _sizes(budget, n, "the budget")
    if shared == lib.PRUNESID_FIXED:
        if 0 in budgets:  # would stand for the configuration's
            raise ValueError("the budget of an image is 0")
        budget = max(budgets, default=1)
    config = _config(budget, preset, reserved, groups, svd, workers)
    scores, protected = ([None] * n if some is None else list(some) for some in (scores, protected))
    if len(scores) != n or len(protected) != n:
        raise ValueError(f"scores and protected tokens are of {n} images each")
    inputs, alive, arrays = [], [], []
    regions = ffi.new("prunesid_region[]", n)
    for i in range(n):
        given, array = _input(images[i], dtype)
        alive += [array, *_sides(given, scores[i], protected[i])]
        inputs.append(given)
        regions[i] = lib.prunesid_region_init(given, 0, given.n_tokens, budgets[i])
    for name, limits in (("low", low), ("high", high)):
        for i, limit in enumerate([] if limits is None else _sizes(limits, n, name)):
            setattr(regions[i], name, limit)
    work = ffi.new("prunesid_batch *", lib.prunesid_batch_init(config, shared, regions, n))
    plan = ffi.new("prunesid_plan *")
    # The number of workers is settled, what runs them is not: it is only known in the call.
    work.config.threads.run = _run
    status = lib.prunesid_batch_plan(work, plan)
    at_fault = plan.region if plan.region < n else None
    _check(status, inputs[at_fault] if at_fault is not None else ffi.NULL, at_fault)
    if details:
        # A shared budget comes out later: there is room for all.
        arrays = [_details(regions[i].details, inputs[i].n_tokens, inputs[i].n_tokens, scope)
                  for i in range(n)]
    workspace = np.empty(plan.workspace_bytes, np.uint8)
    indices = np.empty(plan.n_kept, np.int32)
    status = _call(work.config.threads, lib.prunesid_batch_select, work,
                   _pointer("void *", workspace), len(workspace), _pointer("int32_t *", indices),
                   len(indices))
    results, failed = [], None
    for i, region in enumerate(regions):
        if region.status != lib.PRUNESID_OK:
            failed = i if failed is None else failed
            results.append(None)
            continue
        at = int(region.indices - _pointer("int32_t *", indices)) if region.n_kept else 0
        result = indices[at:at + region.n_kept]
        if details:
            told = {name: array[:region.n_kept] if name in _OF_KEPT and array is not None else array
                    for name, array in arrays[i].items()}
            result = Details(result, region.share, **told,
                             stats=_record(Stats, region.details.stats))
        results.append(result)
    _check(status, inputs[failed] if failed is not None else ffi.NULL, failed, results)
    return results


def merge(rows, kept, representative, weight=0.5, *, dtype=None):
    """Kept rows and what stands behind them: (1 - weight) x + weight mean of what x represents.

    rows            [T, width], any features of the tokens, as tokens are
    kept            [n] ascending indices
    representative  [T], of Details
    weight          in [0, 1]; 0 gathers
    Returns [n, width] of rows' kind: an array or a tensor, of their dtype.
    """
    given, array = _input(rows, dtype)
    kept = _indices(kept, "kept tokens")
    representative = _indices(representative, "representatives")
    if len(representative) != given.n_tokens:
        raise ValueError(f"{len(representative)} representatives for {given.n_tokens} rows")
    out = np.empty((len(kept), given.dim), array.dtype)
    _check(lib.prunesid_merge(given, _pointer("int32_t *", kept), len(kept),
                              _pointer("int32_t *", representative), weight,
                              _pointer("void *", out), given.dim))
    if hasattr(rows, "detach"):
        import torch
        return torch.from_numpy(out).view(rows.dtype)
    return out.view(rows.dtype)


# ---- budgets -------------------------------------------------------------------------------------


def redundancy(tokens, *, dtype=None):
    """Information: rho, the mean cosine of two tokens, phi = 1 - rho, and what goes with them."""
    given, array = _input(tokens, dtype)
    n_bytes = ffi.new("size_t *")
    _check(lib.prunesid_workspace_size(_config(1, "auto", None, None, "krylov", 1), given.n_tokens,
                                       given.dim, n_bytes))
    workspace = np.empty(n_bytes[0], np.uint8)
    information = ffi.new("prunesid_information *")
    _check(lib.prunesid_redundancy(given, _pointer("void *", workspace), len(workspace),
                                   information), given)
    return _record(Information, information[0])


def budget(phi, phi_ref, keep, low=1, high=None):
    """The budget of one image whatever else is in its batch: keep phi / phi_ref, in the limits.

    phi_ref  a mean phi of your images
    low      at least 1 + reserved, or select refuses it
    """
    out = ffi.new("size_t *")
    high = int(ffi.cast("size_t", -1)) if high is None else _size(high, "high")
    _check(lib.prunesid_budget(phi, phi_ref, _size(keep, "keep"), _size(low, "low"), high, out))
    return out[0]


def share(weights, total, low=None, high=None):
    """Shares of total in proportion to weights: ints that add up to it as far as the limits allow.

    low, high  floors and ceilings, one number or a sequence; None: 1, and total
    """
    weights = np.ascontiguousarray(weights, np.float64)
    if weights.ndim != 1:
        raise ValueError(f"weights are a list, not of shape {weights.shape}")
    n = len(weights)
    low, high = (ffi.NULL if limits is None else ffi.new("size_t[]", _sizes(limits, n, name))
                 for name, limits in (("low", low), ("high", high)))
    shares = ffi.new("size_t[]", n)
    _check(lib.prunesid_share(_pointer("double *", weights), n, _size(total, "total"), low, high,
                              shares))
    return list(shares)


def n_kept(keep, n_tokens, *, preset="auto", reserved=None):
    """How many indices select gives: min(keep - reserved, n_tokens); 0 if reserved leaves none."""
    config = _config(keep, preset, reserved, None, "krylov", 1)
    return lib.prunesid_n_kept(config, _size(n_tokens, "n_tokens"))
