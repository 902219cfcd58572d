#!/usr/bin/env python3
"""examples/python/prunesid.py against the float64 specification, and what it refuses.

    PYTHONPATH=MODULE_FOLDER test_python.py ROOT
"""
import concurrent.futures
import doctest
import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np
import prunesid

ROOT = pathlib.Path(sys.argv.pop(1))
X = np.random.default_rng(1).standard_normal((100, 24), dtype=np.float32)


def load(name, file="tokens.npy"):
    paths = [ROOT / part / name / file for part in ("tests/data", "examples/data")]
    return np.load(next(path for path in paths if path.exists()))


def expected(name):
    """The cases of expected.txt, as tests/data/convert.py writes them."""
    words = iter((ROOT / "tests/data" / name / "expected.txt").read_text().split())
    for _ in range(int(next(words))):
        asked, used = next(words), next(words)
        T, d, N, reserved, scores, n, K, survivors = (int(next(words)) for _ in range(8))
        rho, phi, tau = (float(next(words)) for _ in range(3))
        order = [int(next(words)) for _ in range(n)]
        group = [int(next(words)) for _ in range(T)]
        yield asked, used, N, reserved, scores, K, survivors, rho, tau, order, group


class FakeTensor:
    """What is asked of a torch tensor."""

    def __init__(self, array, kind=None, device="cpu"):
        self.array, self.dtype = array, kind or f"torch.{array.dtype}"
        self.device = type("device", (), {"type": device, "__str__": lambda self: self.type})()

    def detach(self):
        return self

    cpu = float = detach

    def view(self, dtype):
        return FakeTensor(self.array.view(dtype))

    def numpy(self):
        return self.array

    def __array__(self, *arguments):
        return np.asarray(self.array, *arguments)


class Selections(unittest.TestCase):
    def test_is_what_the_specification_keeps(self):
        n = 0
        for name in ("coffee_vit384", "astronaut_swin512", "chelsea_mlp384"):
            tokens = load(name)
            for asked, used, N, reserved, scores, K, survivors, rho, tau, order, group in \
                    expected(name):
                given = load(name, "cls_attention.npy") if scores else None
                result = prunesid.select(tokens, N, preset=asked, reserved=reserved, scores=given,
                                         details=True)
                self.assertEqual(result.indices.tolist(), sorted(order))
                self.assertEqual(result.order.tolist(), order)
                self.assertEqual(result.stats.preset.name.lower(), used)
                self.assertEqual(result.stats.n_groups, K)
                if K:
                    self.assertEqual(result.group.tolist(), group)
                    self.assertEqual(result.stats.n_survivors, survivors)
                    self.assertAlmostEqual(result.stats.tau, tau, places=12)
                self.assertAlmostEqual(result.stats.rho, rho, places=12)
                n += 1
        self.assertGreater(n, 20)

    def test_dtypes_and_layouts(self):
        half = X.astype(np.float16)
        bf16 = (X.view(np.uint32) >> 16).astype(np.uint16)
        wide = bf16.astype(np.uint32) << 16
        want = prunesid.select(X, 20).tolist()
        want_half = prunesid.select(half.astype(np.float32), 20).tolist()
        want_bf16 = prunesid.select(wide.view(np.float32), 20).tolist()
        rows = np.zeros((100, 40), np.float32)
        rows[:, :24] = X
        for tokens in (rows[:, :24], np.asfortranarray(X), np.repeat(X, 2, 0)[::2],
                       X[::-1].copy()[::-1], FakeTensor(X)):
            self.assertEqual(prunesid.select(tokens, 20).tolist(), want)
        self.assertEqual(prunesid.select(half, 20).tolist(), want_half)
        self.assertEqual(prunesid.select(FakeTensor(half), 20).tolist(), want_half)
        for bits in (bf16, bf16.view(np.int16)):
            self.assertEqual(prunesid.select(bits, 20, dtype="bf16").tolist(), want_bf16)

    def test_torch(self):
        try:
            import torch
        except ImportError:
            self.skipTest("no torch: FakeTensor stands for it")
        tensor = torch.from_numpy(X).requires_grad_()
        want = prunesid.select(X, 20).tolist()
        self.assertEqual(prunesid.select(tensor, 20).tolist(), want)
        self.assertEqual(prunesid.select(tensor.half(), 20).tolist(),
                         prunesid.select(X.astype(np.float16), 20).tolist())
        self.assertEqual(prunesid.select(tensor.bfloat16(), 20).tolist(),
                         prunesid.select(tensor.bfloat16().float(), 20).tolist())
        self.assertEqual(prunesid.select(X, 20, scores=tensor[:, 0]).tolist(),
                         prunesid.select(X, 20, scores=X[:, 0]).tolist())

    def test_options(self):
        scores = np.abs(X[:, 0])
        kept = prunesid.select(X, 20, scores=scores, protected=[1003, 1050], first=1000)
        self.assertEqual(len(kept), 20)
        self.assertTrue((np.diff(kept) > 0).all() and kept[0] >= 1000)
        with self.assertRaises(prunesid.Error) as caught:  # they count from first, too
            prunesid.select(X, 20, protected=[3], first=1000, preset="paper")
        self.assertEqual(caught.exception.status, prunesid.Status.ERROR_PROTECTED_INDEX)
        kept = prunesid.select(X, 20, protected=[3, 50])
        self.assertTrue({3, 50} <= set(kept.tolist()))
        self.assertEqual(len(prunesid.select(X, 20, preset="llava", scores=scores)), 19)
        self.assertEqual(prunesid.n_kept(20, 100, preset="llava"), 19)
        self.assertEqual(prunesid.n_kept(20, 5), 5)
        exact = prunesid.select(X, 20, svd="exact", groups=7, details=True)
        self.assertEqual((exact.stats.svd, exact.stats.n_groups), (prunesid.Svd.EXACT, 7))
        loadings = np.random.default_rng(2).standard_normal((100, 5)).astype(np.float32)
        given = prunesid.select(X, 20, loadings=loadings, details=True)
        self.assertEqual(given.group.tolist(), np.abs(loadings).argmax(1).tolist())

    def test_details(self):
        for scope in prunesid.Scope:
            r = prunesid.select(X, 20, details=True, scope=scope.name.lower())
            self.assertEqual(np.sort(r.order).tolist(), r.indices.tolist())
            self.assertEqual(np.flatnonzero(r.state == prunesid.State.KEPT).tolist(),
                             r.indices.tolist())
            counts = np.bincount(r.representative, minlength=100)
            self.assertEqual(r.count.tolist(), counts[r.indices].tolist())
            np.testing.assert_allclose(r.log_count, np.log(r.count), rtol=1e-6)
            unit = X / np.linalg.norm(X, axis=1, keepdims=True)
            coverage = (unit * unit[r.representative]).sum(1).mean()
            self.assertAlmostEqual(r.stats.coverage, coverage, places=5)
            merged = prunesid.merge(X, r.indices, r.representative, 0.25)
            for j, i in enumerate(r.indices):
                want = 0.75 * X[i] + 0.25 * X[r.representative == i].mean(0)
                np.testing.assert_allclose(merged[j], want, rtol=1e-5, atol=1e-6)

    def test_threads_give_the_same(self):
        images = [np.roll(X, i, 1) for i in range(24)]
        want = [prunesid.select(x, 20).tolist() for x in images]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda x: prunesid.select(x, 20).tolist(), images * 4))
        self.assertEqual(got, want * 4)

    def test_arguments_stay_as_they_are(self):
        x, scores = X.copy(), np.abs(X[:, 1])
        x.flags.writeable = scores.flags.writeable = False
        prunesid.select(x, 20, scores=scores, details=True)
        self.assertTrue((x == X).all())


class Batches(unittest.TestCase):
    images = [X, X[:60] * 0.01 + 1.0, X[:, :12]]

    def test_totals_and_shares(self):
        for sharing in ("by_phi", "by_size"):
            kept = prunesid.batch(self.images, 90, sharing=sharing, low=10, high=[60, 60, 41])
            self.assertEqual(sum(map(len, kept)), 90)
            for image, indices in zip(self.images, kept):
                self.assertGreaterEqual(len(indices), 10)
                self.assertEqual(indices.tolist(), prunesid.select(image, len(indices)).tolist())
            self.assertLessEqual(len(kept[2]), 41)
        fixed = prunesid.batch(self.images, 16, sharing="fixed", scores=[None, X[:60, 0], None])
        self.assertEqual([len(indices) for indices in fixed], [16] * 3)

    def test_by_phi_is_share_of_phi(self):
        phi = [prunesid.redundancy(image).phi for image in self.images]
        self.assertEqual([len(k) for k in prunesid.batch(self.images, 80)],
                         prunesid.share(phi, 80, high=[len(x) for x in self.images]))

    def test_says_which_image(self):
        bad = X.copy()
        bad[7, 3] = np.nan
        with self.assertRaises(prunesid.Error) as caught:
            prunesid.batch([X, bad], 40)
        e = caught.exception
        self.assertEqual((e.status.name, e.image, e.row, e.column),
                         ("ERROR_TOKENS_NOT_FINITE", 1, 7, 3))
        with self.assertRaisesRegex(prunesid.Error, "image 1"):
            prunesid.batch([X, X[:0]], 40)
        with self.assertRaises(prunesid.Error):
            prunesid.batch([], 40)


class Numbers(unittest.TestCase):
    def test_redundancy(self):
        unit = X.astype(float) / np.linalg.norm(X.astype(float), axis=1, keepdims=True)
        cosines = unit @ unit.T
        rho = cosines[np.triu_indices(100, 1)].mean()
        self.assertAlmostEqual(prunesid.redundancy(X).rho, rho, places=12)
        self.assertEqual(prunesid.redundancy(X * 0).n_nonzero, 0)

    def test_budget_and_share(self):
        self.assertEqual(prunesid.budget(0.6, 0.5, 64), 77)
        self.assertEqual(prunesid.budget(0.6, 0.5, 64, high=70), 70)
        self.assertEqual(prunesid.share([1, 1, 2], 40, low=[1, 15, 1]), [8, 15, 17])

    def test_tables_are_the_headers(self):
        rows = {row.name: row for row in prunesid.presets()}
        self.assertEqual(list(rows), ["auto", "paper", "llava", "qwen2vl"])
        self.assertEqual((rows["llava"].reserved, rows["paper"].centring),
                         (1, prunesid.Centring.CHANNEL))
        text = (ROOT / "include/prunesid.h").read_text()
        for status in prunesid.Status:
            name = f"PRUNESID_{status.name}, {int(status)}, \""  # its row
            self.assertIn(name + str(prunesid.Error(status)), text)


class Refusals(unittest.TestCase):
    def refused(self, name, *arguments, **options):
        with self.assertRaises(prunesid.Error) as caught:
            prunesid.select(*arguments, **options)
        self.assertEqual(caught.exception.status.name, name)

    def test_by_status(self):
        self.refused("ERROR_EMPTY", X[:0], 5)
        self.refused("ERROR_EMPTY", X[:, :0], 5)
        self.refused("ERROR_BUDGET", X, 0)
        self.refused("ERROR_BUDGET", X, 2**31)
        self.refused("ERROR_RESERVED", X, 5, reserved=5)
        self.refused("ERROR_GROUPS", X, 5, groups=25)
        self.refused("ERROR_PROTECTED_INDEX", X, 5, protected=[4, 4])
        self.refused("ERROR_PROTECTED_COUNT", X, 2, protected=[1, 2, 3])
        self.refused("ERROR_SCORES_NOT_FINITE", X, 5, scores=np.full(100, np.inf))
        self.refused("ERROR_LOADINGS_NOT_FINITE", X, 5,
                     loadings=np.full((100, 2), np.nan, np.float32))

    def test_before_c_is_called(self):
        for error, arguments, options in (
                (TypeError, (X.astype(float), 5), {}), (TypeError, (X.astype(int), 5), {}),
                (TypeError, (X.astype(">f4"), 5), {}),
                (TypeError, (FakeTensor(X, device="cuda"), 5), {}),
                (ValueError, (X[0], 5), {}), (ValueError, (X[None], 5), {}),
                (ValueError, (X, -1), {}), (ValueError, (X, 1.5), {}),
                (ValueError, (X, 5), {"preset": "pape"}), (ValueError, (X, 5), {"preset": 17}),
                (ValueError, (X, 5), {"svd": "qr"}), (ValueError, (X, 5), {"scores": X[:99, 0]}),
                (ValueError, (X, 5), {"scores": X}), (ValueError, (X, 5), {"protected": [1.5]}),
                (ValueError, (X, 5), {"protected": [2**40]}),
                (ValueError, (X, 5), {"loadings": X[:50, :2]}),
                (TypeError, (X, 5), {"dtype": "bf16"}),
                (ValueError, (X.astype(np.float16), 5), {"dtype": "f32"}),
                (ValueError, (X, 5), {"scope": "none", "details": True})):
            with self.assertRaises(error) as caught:
                prunesid.select(*arguments, **options)
            self.assertNotIsInstance(caught.exception, prunesid.Error)

    def test_library(self):
        def stderr_with(library):
            return subprocess.run([sys.executable, "-c", "import prunesid"], text=True,
                                  env={**os.environ, "PRUNESID_LIBRARY": library},
                                  capture_output=True, check=False).stderr
        self.assertIn("ImportError: prunesid: ", stderr_with("/nowhere/libprunesid.so"))
        beside = pathlib.Path(prunesid.__file__).parent / "libprunesid.so"
        self.assertEqual(stderr_with(str(beside)), "")

    def test_docstring(self):
        result = doctest.testmod(prunesid)
        self.assertTrue(result.attempted > 3 and result.failed == 0)


if __name__ == "__main__":
    unittest.main(verbosity=1)
