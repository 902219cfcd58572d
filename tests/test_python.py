"""examples/python: against the specification's expectations, NumPy, and the library by other ways.

    PYTHONPATH=build/examples/python python3 tests/test_python.py

Exits with 77, which ctest calls skipped, where there is no NumPy or no cffi. MIT licence."""
import concurrent.futures
import doctest
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

try:
    import _cffi_backend
    import cffi  # noqa: F401, for prunesid
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}, in {sys.executable}")
    sys.exit(77)
try:
    import torch
except ImportError:
    torch = None
try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

import prunesid
from prunesid import Status

TESTS = pathlib.Path(__file__).resolve().parent
FOLDERS = [TESTS / "data", TESTS.parent / "examples" / "data"]
SETS = sorted(path.parent.name for path in FOLDERS[0].glob("*/expected.txt"))
HEADER = (TESTS.parent / "include" / "prunesid.h").read_text()
STATUS_TABLE = re.findall(r'X\(PRUNESID_(?:ERROR_)?(\w+), (0|-\d+), "(.*?)"\)', HEADER)
TEXTS = {int(value): text for _, value, text in STATUS_TABLE}
RANDOM = np.random.default_rng(7)


def load(name, file):
    for folder in FOLDERS:
        if (folder / name / file).exists():
            return np.load(folder / name / file)
    return None


def expectations(name, file):
    """The cases of a file that data/convert.py has written."""
    words = iter((FOLDERS[0] / name / file).read_text().split())
    for _ in range(int(next(words))):
        case = {"asked": next(words), "preset": next(words)}
        for key in ("T", "d", "budget", "reserved", "has_scores", "n_kept", "n_groups",
                    "n_survivors"):
            case[key] = int(next(words))
        for key in ("rho", "phi", "tau"):
            case[key] = float(next(words))
        for key, n in (("order", case["n_kept"]), ("group", case["T"])):
            case[key] = np.array([int(next(words)) for _ in range(n)])
        yield case


def made_up(n_tokens, dim, dtype=np.float32):
    """Tokens of falling spectrum, with near-duplicates among them."""
    left = RANDOM.standard_normal((n_tokens // 3 + 1, 24)) * 0.9 ** np.arange(24)
    rows = np.repeat(left, 3, axis=0)[:n_tokens] @ RANDOM.standard_normal((24, dim))
    return (rows + 0.05 * RANDOM.standard_normal((n_tokens, dim))).astype(dtype)


def bits_of(x):
    """bfloat16 by truncation: the upper halves."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


class FakeTensor:
    """What the module looks for in a tensor, where there is no torch."""

    def __init__(self, array, device="cpu"):
        self.array, self.dtype = array, f"torch.{array.dtype}"
        self.device = unittest.mock.Mock(type=device)

    def detach(self):
        return self

    def numpy(self):
        return self.array


class Case(unittest.TestCase):
    def same(self, a, b):
        if isinstance(a, prunesid.Details):
            self.assertEqual(a.stats, b.stats)
            a, b = a[:-1], b[:-1]
        for one, other in zip(a, b) if isinstance(a, (list, tuple)) else [(a, b)]:
            np.testing.assert_array_equal(one, other)

    def refused(self, status, call, *arguments, **named):
        with self.assertRaises(prunesid.Error) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.status, status)
        return caught.exception


class Selection(Case):
    def test_specification(self):
        n_cases = n_same = 0
        for name in SETS:
            x, attention = load(name, "tokens.npy"), load(name, "cls_attention.npy")
            for case in expectations(name, "expected.txt"):
                with self.subTest(name=name, budget=case["budget"], asked=case["asked"]):
                    scores = attention if case["has_scores"] else None
                    d = prunesid.select(x, case["budget"], preset=case["asked"], scores=scores,
                                        details=True, scope=None)
                    common = np.intersect1d(d.indices, case["order"]).size
                    self.assertEqual(len(d.indices), case["n_kept"])
                    self.assertGreaterEqual(common / (2 * case["n_kept"] - common), 0.97)
                    self.assertAlmostEqual(d.stats.rho, case["rho"], delta=1e-12)
                    self.assertAlmostEqual(d.stats.tau, case["tau"], delta=1e-11)
                    self.assertEqual((d.stats.preset, d.stats.n_groups),
                                     (case["preset"], case["n_groups"]))
                    n_cases += 1
                    n_same += common == case["n_kept"]
        self.assertGreater(n_cases, 100)
        self.assertGreaterEqual(n_same + 1, n_cases)

    def test_given_loadings(self):
        files = sorted(FOLDERS[0].glob("*/expected_from_loadings_*.txt"))
        self.assertEqual(len(files), 6)
        for path in files:
            name = path.parent.name
            loadings = load(name, path.stem.replace("expected_from_", "") + ".npy")
            attention = load(name, "cls_attention.npy")
            for case in expectations(name, path.name):
                for given in (loadings, np.asfortranarray(loadings, np.float64)):
                    d = prunesid.select(
                        load(name, "tokens.npy"), case["budget"], preset=case["preset"],
                        loadings=given, scores=attention if case["has_scores"] else None,
                        details=True)
                    self.same(d.order, case["order"])
                    self.same(d.group, case["group"])
                    self.same(d.indices, np.sort(case["order"]))

    def test_presets(self):
        x, scores = made_up(200, 48), RANDOM.random(200)
        names = re.findall(r'X\(PRUNESID_\w+, \d+, "(\w+)", PRUNESID', HEADER)
        self.assertEqual(list(prunesid.presets()), names)
        for name, rules in prunesid.presets().items():
            self.assertEqual(rules.name, name)
            n = 40 - rules.reserved
            self.assertEqual(prunesid.n_kept(40, 200, preset=name), n)
            self.assertEqual(len(prunesid.select(x, 40, preset=name)), n)
            self.assertEqual(len(prunesid.select(x, 40, preset=name, reserved=3)), 37)
        self.same(prunesid.select(x, 40, scores=scores),
                  prunesid.select(x, 40, scores=scores, preset="llava", reserved=0))
        self.assertEqual(prunesid.presets()["paper"].centring, "channel")
        self.assertEqual(prunesid.n_kept(40, 30), 30)

    def test_details(self):
        x = made_up(300, 40)
        d = prunesid.select(x, 30, details=True, protected=[0, 299])
        self.same(d.indices, prunesid.select(x, 30, protected=np.array([0, 299])))
        self.assertEqual((d.indices.dtype, d.state.dtype, d.loading.dtype),
                         (np.int32, np.uint8, np.float32))
        self.same(np.sort(d.order), d.indices)
        self.same(d.order[:2], [0, 299])
        self.same(np.flatnonzero(d.state == prunesid.State.KEPT), d.indices)
        self.assertEqual(d.group.shape, (300,))
        self.assertEqual(d.share, 30)
        self.same(d.representative[d.indices], d.indices)
        self.same(d.count, [(d.representative == i).sum() for i in d.indices])
        self.same(d.log_count, np.log(d.count.astype(float)).astype(np.float32))
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        cosines = unit @ unit[d.indices].T
        np.testing.assert_allclose((unit * unit[d.representative]).sum(1), cosines.max(1),
                                   atol=1e-6)
        self.assertAlmostEqual(d.stats.coverage, cosines.max(1).mean(), places=6)
        group = prunesid.select(x, 30, details=True, scope="group", groups=7)
        self.assertEqual(group.stats.n_groups, 7)
        within = np.isin(group.group, group.group[group.indices])
        self.same(group.group[within], group.group[group.representative][within])
        self.assertIsNone(prunesid.select(x, 30, details=True, scope=None).representative)
        self.same(prunesid.select(x, 300), np.arange(300))

    def test_svd_and_workers(self):
        x = made_up(576, 256)
        alone = prunesid.select(x, 64, details=True)
        exact = prunesid.select(x, 64, details=True, svd="exact")
        self.assertEqual((alone.stats.svd, exact.stats.svd), ("krylov", "exact"))
        self.same(alone.indices, exact.indices)
        for workers in (2, 3):
            self.same(prunesid.select(x, 64, details=True, workers=workers), alone)

    def test_threads(self):
        images = [made_up(100 + 60 * i, 64) for i in range(8)]
        serial = [prunesid.select(x, 40, details=True) for x in images]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                self.same(prunesid.select(images[0], 40, details=True), serial[0])
                for one, other in zip(serial, pool.map(
                        lambda x: prunesid.select(x, 40, details=True), images)):
                    self.same(one, other)

    def test_without_the_gil(self):
        x, n = made_up(900, 900), 0
        thread = threading.Thread(target=prunesid.select, args=(x, 64), kwargs={"svd": "exact"})
        thread.start()
        while thread.is_alive():
            n += 1
        self.assertGreater(n, 1000)


class Input(Case):
    def test_dtypes(self):
        x = made_up(256, 32)
        half = x.astype(np.float16)
        self.same(prunesid.select(half, 40), prunesid.select(half.astype(np.float32), 40))
        wide = widened(bits_of(x))
        want = prunesid.select(wide, 40, details=True)
        for bits in (bits_of(x), bits_of(x).view(np.int16)):
            self.same(prunesid.select(bits, 40, dtype="bf16", details=True).order, want.order)
            self.assertEqual(prunesid.redundancy(bits, dtype="bf16"), prunesid.redundancy(wide))

    def test_layouts(self):
        x = made_up(128, 24)
        want = prunesid.select(x, 20, details=True)
        planes = np.full((128, 60), np.nan, np.float32)
        planes[:, 7:31] = x
        odd = np.empty(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
        odd[...] = x
        mixed = np.zeros((128, 24), [("x", "f4"), ("pad", "i1")])
        mixed["x"] = x
        for same in (planes[:, 7:31], np.asfortranarray(x), x[::-1].copy()[::-1],
                     x[:, ::-1].copy()[:, ::-1], np.repeat(x, 2, axis=1)[:, ::2], odd, mixed["x"]):
            self.same(prunesid.select(same, 20, details=True), want)
        self.same(prunesid.select(x[::2], 20), prunesid.select(x[::2].copy(), 20))
        self.same(prunesid.select(x[::-1], 20), prunesid.select(x[::-1].copy(), 20))
        self.same(prunesid.select(np.broadcast_to(x[0], (9, 24)), 4),
                  prunesid.select(np.tile(x[0], (9, 1)), 4))
        for one in (x[:1], x[:, :1], x[5:6, ::-1]):
            self.same(prunesid.select(one, 1), prunesid.select(one.copy(), 1))

    def test_refused_before_the_call(self):
        x = made_up(30, 8)
        for kind, what, call in [
                (TypeError, "float64", lambda: prunesid.select(x.astype(float), 4)),
                (TypeError, "float64", lambda: prunesid.select([[1.0, 2.0]], 1)),
                (TypeError, ">f4", lambda: prunesid.select(x.astype(">f4"), 4)),
                (TypeError, "int16", lambda: prunesid.select(x.astype(np.int16), 4)),
                (TypeError, "bf16", lambda: prunesid.select(x, 4, dtype="bf16")),
                (TypeError, "tensor", lambda: prunesid.select(FakeTensor(x, "cuda"), 4)),
                (ValueError, "'f16'", lambda: prunesid.select(x, 4, dtype="f16")),
                (ValueError, r"\(30, 8, 1\)", lambda: prunesid.select(x[..., None], 4)),
                (ValueError, r"\(8,\)", lambda: prunesid.select(x[0], 4)),
                (TypeError, "float", lambda: prunesid.select(x, 4.0)),
                (ValueError, "budget.*-1", lambda: prunesid.select(x, -1)),
                (ValueError, "budget", lambda: prunesid.select(x, 1 << 64)),
                (ValueError, "'qwen2vl'", lambda: prunesid.select(x, 4, preset="qwen")),
                (ValueError, "'krylov', 'exact'", lambda: prunesid.select(x, 4, svd="lanczos")),
                (ValueError, "'all'", lambda: prunesid.select(x, 4, scope="some", details=True)),
                (ValueError, r"\[30\]", lambda: prunesid.select(x, 4, scores=np.ones(29))),
                (TypeError, "scores", lambda: prunesid.select(x, 4, scores=np.ones(30, complex))),
                (ValueError, "loadings", lambda: prunesid.select(x, 4, loadings=np.ones((29, 4)))),
                (TypeError, "bool", lambda: prunesid.select(x, 4, protected=np.zeros(30, bool))),
                (ValueError, "int32", lambda: prunesid.select(x, 4, protected=[1 << 32])),
                (ValueError, "list", lambda: prunesid.select(x, 4, protected=[[1]])),
                (ValueError, "'fixed'", lambda: prunesid.batch([x], 4, "even")),
                (TypeError, "", lambda: prunesid.batch([x, x], [4, 4], "phi")),
                (ValueError, "budget", lambda: prunesid.batch([x, x], [4], "fixed")),
                (ValueError, "budget", lambda: prunesid.batch([x, x], [4, 0], "fixed")),
                (ValueError, "low", lambda: prunesid.batch([x, x], 9, "size", low=[1])),
                (ValueError, "2 images", lambda: prunesid.batch([x, x], 9, "size", scores=[None])),
                (ValueError, "representatives", lambda: prunesid.merge(x, [1], [1] * 29)),
                (TypeError, "float", lambda: prunesid.merge(x, [1.0], [1] * 30)),
                (ValueError, "weights", lambda: prunesid.share([[1.0]], 4)),
                (ValueError, "high", lambda: prunesid.share([1.0], 4, high=[1, 2]))]:
            with self.subTest(what=what), self.assertRaisesRegex(kind, what) as caught:
                call()
            self.assertNotIsInstance(caught.exception, prunesid.Error)

    def test_statuses(self):
        x = made_up(30, 8)
        bad, huge = x.copy(), np.lib.stride_tricks.as_strided(x, (1, 1 << 31))
        bad[7, 5] = np.inf
        for status, call in [
                (Status.EMPTY, lambda: prunesid.select(x[:0], 4)),
                (Status.EMPTY, lambda: prunesid.select(x[:, :0], 4)),
                (Status.EMPTY, lambda: prunesid.batch([], 4, "phi")),
                (Status.EMPTY, lambda: prunesid.share([], 4)),
                (Status.DIMENSION, lambda: prunesid.select(huge, 4)),
                (Status.OVERFLOW, lambda: prunesid.share([1.0], 1 << 60)),
                (Status.BUDGET, lambda: prunesid.select(x, 0)),
                (Status.BUDGET, lambda: prunesid.budget(0.5, 0.5, 0)),
                (Status.RESERVED, lambda: prunesid.select(x, 4, reserved=4)),
                (Status.GROUPS, lambda: prunesid.select(x, 4, groups=9)),
                (Status.STRIDE, lambda: prunesid.select(x, 4, groups=3, loadings=np.ones((30, 2)))),
                (Status.PROTECTED_INDEX, lambda: prunesid.select(x, 4, protected=[2, 1])),
                (Status.PROTECTED_INDEX, lambda: prunesid.select(x, 4, protected=[30])),
                (Status.PROTECTED_COUNT, lambda: prunesid.select(x, 2, protected=[1, 2, 3])),
                (Status.TOKENS_NOT_FINITE, lambda: prunesid.select(bad, 4)),
                (Status.TOKENS_NOT_FINITE, lambda: prunesid.redundancy(bad)),
                (Status.SCORES_NOT_FINITE, lambda: prunesid.select(x, 4, scores=[1e39] * 30)),
                (Status.LOADINGS_NOT_FINITE,
                 lambda: prunesid.select(x, 4, loadings=np.full((30, 2), np.nan))),
                (Status.PHI, lambda: prunesid.budget(0.5, 0.0, 4)),
                (Status.PHI, lambda: prunesid.share([np.nan], 4)),
                (Status.LIMITS, lambda: prunesid.budget(0.5, 0.5, 4, 3, 2)),
                (Status.INDEX, lambda: prunesid.merge(x, [30], [30] * 30)),
                (Status.REPRESENTATIVE, lambda: prunesid.merge(x, [1], [2] * 30)),
                (Status.WEIGHT, lambda: prunesid.merge(x, [1], [1] * 30, 1.5)),
                (Status.TOTAL, lambda: prunesid.batch([x, x], 9, "size", low=6)),
                (Status.THREADS, lambda: prunesid.select(x, 4, workers=0))]:
            with self.subTest(status=status):
                self.assertIn(TEXTS[status], str(self.refused(status, call)))
        error = self.refused(Status.TOKENS_NOT_FINITE, prunesid.select, bad, 4)
        self.assertEqual((error.row, error.column), (7, 5))
        self.assertIn("row 7, column 5", str(error))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((again.status, again.row, str(again)), (error.status, 7, str(error)))

    def test_every_status_of_the_header(self):
        self.assertEqual([(status.name, status.value) for status in Status],
                         [(name, int(value)) for name, value, _ in STATUS_TABLE])

    @unittest.skipIf(torch is None, "no torch")
    def test_torch(self):
        x = made_up(120, 16)
        wide = torch.from_numpy(np.repeat(x, 2, axis=1).copy())
        want = prunesid.select(x, 20, details=True)
        same = [torch.from_numpy(x), torch.from_numpy(x).requires_grad_(),
                torch.from_numpy(x).t().contiguous().t(), wide[:, ::2]]
        for tensor in same:
            self.same(prunesid.select(tensor, 20, details=True), want)
        self.same(prunesid.select(x, 20, scores=same[1][:, 0].exp()),
                  prunesid.select(x, 20, scores=np.exp(x[:, 0])))
        half = torch.from_numpy(x).half()
        self.same(prunesid.select(half, 20), prunesid.select(half.numpy(), 20))
        planes = torch.zeros(120, 40, dtype=torch.bfloat16)
        planes[:, 3:19] = torch.from_numpy(x)
        brain = planes[:, 3:19]
        d = prunesid.select(brain, 20, details=True)
        self.same(d.order, prunesid.select(brain.float(), 20, details=True).order)
        self.same(prunesid.select(x, 20, scores=brain[:, 0]),
                  prunesid.select(x, 20, scores=brain[:, 0].float()))
        self.refused(Status.SCORES_NOT_FINITE, prunesid.select, x, 20,
                     scores=torch.full((120,), torch.inf, dtype=torch.bfloat16))
        for rows in (same[0], half, brain):
            merged = prunesid.merge(rows, d.indices, d.representative)
            self.assertEqual((merged.dtype, tuple(merged.shape)), (rows.dtype, (20, 16)))
            exact = prunesid.merge(rows.float().numpy(), d.indices, d.representative)
            self.assertTrue(torch.equal(merged, torch.from_numpy(exact).to(rows.dtype)))
        self.same(np.asarray(wide[d.indices]), np.asarray(wide[torch.from_numpy(d.indices).long()]))
        with self.assertRaisesRegex(TypeError, "meta"):
            prunesid.select(torch.empty(4, 4, device="meta"), 2)

    @unittest.skipIf(ml_dtypes is None, "no ml_dtypes")
    def test_ml_dtypes(self):
        x = made_up(60, 8).astype(ml_dtypes.bfloat16)
        d = prunesid.select(x, 9, details=True)
        self.same(d, prunesid.select(x.view(np.uint16), 9, dtype="bf16", details=True))
        self.assertEqual(prunesid.merge(x, d.indices, d.representative).dtype, x.dtype)

    def test_tensors_without_torch(self):
        x = made_up(50, 8)
        self.same(prunesid.select(FakeTensor(x), 9), prunesid.select(x, 9))
        code = "import sys, prunesid; sys.exit('torch' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", code], check=False).returncode, 0)


class Batch(Case):
    images = [made_up(n, d, dtype) for n, d, dtype in
              ((120, 32, np.float32), (40, 16, np.float16), (200, 48, np.float32))]

    def test_each_as_if_alone(self):
        scores, protected = [RANDOM.random(120), None, None], [None, [3, 4], None]
        for sharing, total in (("fixed", [20, 10, 30]), ("fixed", 12), ("size", 70), ("phi", 70)):
            for workers in (1, 2, 5):
                many = prunesid.batch(self.images, total, sharing, scores=scores,
                                      protected=protected, workers=workers, details=True)
                for x, s, p, got in zip(self.images, scores, protected, many):
                    alone = prunesid.select(x, got.share, scores=s, protected=p, details=True)
                    self.same(got, alone)
            plain = prunesid.batch(self.images, total, sharing, scores=scores, protected=protected)
            self.same(plain, [got.indices for got in many])
            if sharing != "fixed":
                self.assertEqual(sum(map(len, plain)), total)
            else:
                self.same([got.share for got in many], np.broadcast_to(total, 3))

    def test_shares(self):
        phi = [prunesid.redundancy(x).phi for x in self.images]
        got = prunesid.batch(iter(self.images), 60, "phi", low=5, high=[30, 9, 30], details=True)
        self.assertEqual([d.share for d in got], prunesid.share(phi, 60, 5, [30, 9, 30]))
        self.assertEqual([len(k) for k in prunesid.batch(self.images, 36, "size")], [12, 4, 20])
        for budget, sharing, reserved, lengths in ((9, "fixed", 1, [8, 8, 8]),
                                                   (999, "size", None, [120, 40, 200])):
            got = prunesid.batch(self.images, budget, sharing, reserved=reserved)
            self.assertEqual([len(kept) for kept in got], lengths)

    def test_one_that_fails(self):
        bad = self.images[1].copy()
        bad[30, 2] = np.nan
        error = self.refused(Status.TOKENS_NOT_FINITE, prunesid.batch,
                             [self.images[0], bad, self.images[2]], 50, "size", workers=2)
        self.assertEqual((error.image, error.row, error.column), (1, 30, 2))
        self.assertIsNone(error.results[1])
        self.same(error.results[0], prunesid.select(self.images[0], len(error.results[0])))
        error = self.refused(Status.TOKENS_NOT_FINITE, prunesid.batch, [bad, bad], 9, "size")
        self.assertEqual((error.image, error.results), (0, [None, None]))
        error = self.refused(Status.PROTECTED_INDEX, prunesid.batch, self.images, 50, "phi",
                             protected=[None, None, [200]])
        self.assertEqual((error.image, error.results), (2, None))
        self.assertIsNone(self.refused(Status.BUDGET, prunesid.batch, self.images, 0, "phi").image)


class Rest(Case):
    def test_merge(self):
        x = made_up(100, 24)
        d = prunesid.select(x, 12, details=True)
        for weight in (0, 0.5, 1):
            means = [x[d.representative == i].mean(0, dtype=float) for i in d.indices]
            want = (1 - weight) * x[d.indices].astype(float) + weight * np.array(means)
            np.testing.assert_allclose(prunesid.merge(x, d.indices, d.representative, weight), want,
                                       rtol=1e-6, atol=1e-6)
        half = prunesid.merge(x.astype(np.float16), d.indices, d.representative)
        self.assertEqual(half.dtype, np.float16)
        bits = prunesid.merge(bits_of(x), d.indices, d.representative, dtype="bf16")
        np.testing.assert_allclose(widened(bits), prunesid.merge(
            widened(bits_of(x)), d.indices, d.representative), rtol=2**-8)

    def test_merge_specification(self):
        for path in sorted(FOLDERS[0].glob("*/expected_represented.txt")):
            x = load(path.parent.name, "tokens.npy").astype(np.float32)
            lines = path.read_text().splitlines()[1:]
            for head, kept, _, representative, _ in zip(*[iter(lines)] * 5):
                total, square = map(float, head.split()[3:])
                got = prunesid.merge(x, [int(i) for i in kept.split()],
                                     [int(i) for i in representative.split()]).astype(float)
                self.assertAlmostEqual((got ** 2).sum() / square, 1, delta=1e-6)
                self.assertAlmostEqual(got.sum(), total, delta=1e-6 * np.abs(got).sum())

    def test_redundancy(self):
        x = made_up(90, 20)
        x[3] = 0
        got = prunesid.redundancy(x)
        unit = x.astype(float) / np.maximum(np.linalg.norm(x.astype(float), axis=1), 1e-30)[:, None]
        cosines = unit @ unit.T
        self.assertAlmostEqual(got.rho, cosines[np.triu_indices(90, 1)].mean(), places=12)
        self.assertEqual((got.phi, got.n_nonzero), (1 - got.rho, 89))

    def test_budgets(self):
        self.assertEqual(prunesid.budget(0.6, 0.5, 100), 120)
        self.assertEqual(prunesid.budget(0.6, 0.5, 100, high=110), 110)
        self.assertEqual(prunesid.budget(0.1, 0.5, 100, low=30), 30)
        self.assertEqual(prunesid.share([1, 2, 3], 60), [10, 20, 30])
        self.assertEqual(prunesid.share(np.float32([1, 2, 3]), 60, low=[15, 1, 1]), [15, 18, 27])

    def test_what_cannot_be_imported(self):
        here = pathlib.Path(prunesid.__file__).parent
        library = os.environ.get("PRUNESID_LIBRARY") or str(next(here.glob("libprunesid.so.*.*")))

        def message(**environment):
            run = subprocess.run([sys.executable, "-c", "import prunesid"], check=False,
                                 capture_output=True, text=True,
                                 env={**os.environ, **environment})
            return run.stderr.splitlines()[-1] if run.returncode else ""

        self.assertEqual(message(PRUNESID_LIBRARY=library), "")
        self.assertRegex(message(PRUNESID_LIBRARY="/none.so"),
                         "ImportError.*none")
        self.assertRegex(message(PRUNESID_LIBRARY=_cffi_backend.__file__),  # not prunesid's
                         "ImportError.*prunesid_version")
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder)
            (copy / "prunesid.py").write_bytes((here / "prunesid.py").read_bytes())
            told = {"PYTHONPATH": folder, "PRUNESID_LIBRARY": library}
            self.assertRegex(message(**told), "ImportError.*prunesid_cdef.h")
            text = (here / "prunesid_cdef.h").read_text()
            (copy / "prunesid_cdef.h").write_text(
                re.sub(r"(prunesid_declared_version =) .*\)", r"\1 700", text))
            self.assertRegex(message(**told), "ImportError.*0.2.*0.7.0")

    def test_docstrings(self):
        self.assertGreater(doctest.testmod(prunesid).attempted, 5)
        self.assertEqual(doctest.testmod(prunesid).failed, 0)
        for name in prunesid.__all__:
            self.assertTrue(getattr(prunesid, name).__doc__, name)


if __name__ == "__main__":
    unittest.main()
