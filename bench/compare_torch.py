#!/usr/bin/env python3
"""Times prunesid.h beside PruneSID as published, in PyTorch, on one core, in one run.

The PyTorch side is our own, written from the published algorithm: torch.pca_lowrank with two power
iterations and no oversampling, from a random start; the T x T similarities; and NMS in one of two
ways, after what the two released versions need in memory:
  dense    all groups at once on a masked K x T x T tensor (LLaVA)
  grouped  group after group on one T x T matrix (Qwen2-VL)
Agreement is the Jaccard index of kept sets: of two seeds, and against the exact SVD in float64.

Needs PyTorch and NumPy (Debian: apt-get install python3-torch python3-numpy, then /usr/bin/python3)
and build/bench/compare_torch.so, which CMake builds. README.md beside this file has the rest."""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # before the libraries start their threads

import argparse
import ctypes
import itertools
import json
import math
import pathlib
import statistics
import sys
import time

import numpy as np
import torch

PRESETS = ["auto", "paper", "llava", "qwen2vl"]  # in the order of prunesid_preset
KRYLOV, EXACT = 0, 1  # prunesid_svd

# name, images, T, d, N of each image, preset, reserved rows, whether scores are given.
# Qwen2-VL: the released rule, 64 of 576 tokens, is 114 of 1024 and 455 of 4096.
SHAPES = [
    ("LLaVA-1.5", 1, 576, 1024, 64, "llava", 1, True),
    ("LLaVA-1.5", 1, 576, 1024, 128, "llava", 1, True),
    ("LLaVA-1.5", 1, 576, 1024, 192, "llava", 1, True),
    ("LLaVA-NeXT", 5, 576, 1024, 64, "llava", 1, True),
    ("Qwen2-VL", 1, 1024, 3584, 114, "qwen2vl", 0, False),
    ("Qwen2-VL", 1, 4096, 3584, 455, "qwen2vl", 0, False),
    ("video", 8, 256, 1024, 17, "llava", 0, True),
]
QUICK = [SHAPES[0], SHAPES[2], SHAPES[6]]
SWEEP_TOKENS = [196, 576, 1024, 2048, 4096, 8192, 16384]  # at N = 64
SWEEP_KEEP = [32, 64, 128, 192, 256, 384]  # at T = 576


# ---- PruneSID in PyTorch -------------------------------------------------------------------------


def principal_components(x, K, preset):
    """V [T, K] of sigmoid(x) - mean: by channel for paper, by token for the others."""
    a = torch.sigmoid(x)
    if preset == "paper":
        return torch.pca_lowrank((a - a.mean(0)).T, q=K, center=False, niter=2)[2]
    return torch.pca_lowrank(a.T, q=K, center=True, niter=2)[2]


def exact_components(x, K, preset):
    """The same from a whole SVD, to show that nothing but the SVD differs from the C side."""
    a = torch.sigmoid(x.double())
    a -= a.mean(0) if preset == "paper" else a.mean(1, keepdim=True)
    return torch.linalg.svd(a, full_matrices=False)[0][:, :K].float()


def threshold(similarity, N, preset):
    T = len(similarity)
    if preset == "qwen2vl":
        return max(18 * N / T, 1.0) * float(similarity.triu().mean())
    return N / 32 * float(similarity.triu(1).sum()) / (T * (T - 1) / 2)


def nms_dense(similarity, group, score, tau, K):
    """-> survivors and the rest of each group, best first."""
    member = torch.nn.functional.one_hot(group, K).T.bool()  # [K, T]
    masked = similarity * (member[:, :, None] & member[:, None, :])  # [K, T, T]
    ranked = torch.where(member, score, -math.inf).argsort(dim=1, descending=True, stable=True)
    alive = member & (score > 0)
    every = torch.arange(K)
    for rank in range(int(member.sum(1).max())):
        at = ranked[:, rank]
        near = masked[every, at] > tau
        near[every, at] = False
        later = torch.ones_like(alive).scatter_(1, ranked[:, : rank + 1], False)
        alive &= ~(near & later & alive[every, at][:, None])
    sizes, alive = member.sum(1).tolist(), alive.any(0).tolist()
    rows = [row[:size] for row, size in zip(ranked.tolist(), sizes)]
    return [([i for i in row if alive[i]], [i for i in row if not alive[i]]) for row in rows]


def nms_grouped(similarity, group, score, tau, K):
    """The same, group after group."""
    picks = []
    for k in range(K):
        members = (group == k).nonzero().flatten()
        members = members[score[members].argsort(descending=True, stable=True)]
        near = similarity[members][:, members] > tau
        alive = score[members] > 0
        for i in range(len(members)):
            if alive[i]:
                alive[i + 1 :] &= ~near[i, i + 1 :]
        picks.append((members[alive].tolist(), members[~alive].tolist()))
    return picks


def bounded_quotas(picks, N, reserved):
    sizes = [len(s) + len(r) for s, r in picks]
    survivors = [len(s) for s, _ in picks]
    low = [min(1, size) for size in sizes]
    cap = 5 * math.ceil(N / 64)
    high = [min(cap, size, v) for size, v in zip(sizes, survivors)]
    while sum(high) < N and sum(high) < sum(sizes):
        high = [min(h + 1, size) for h, size in zip(high, sizes)]
    rest = max(0, N - sum(low) - reserved)
    part = np.asarray(survivors, np.float32) / np.float32(max(1, sum(survivors)))
    share = np.cumsum(part, dtype=np.float64).astype(np.float32)
    ends = np.rint(share * np.float32(rest)).astype(int)
    starts = np.concatenate(([0], ends[:-1]))
    quotas = [min(int(e - s) + l, h) for s, e, l, h in zip(starts, ends, low, high)]
    wanted = min(rest + sum(low), sum(high))
    for k in sorted(range(len(picks)), key=lambda k: -survivors[k]):
        quotas[k] += min(high[k] - quotas[k], max(0, wanted - sum(quotas)))
    return quotas


def torch_select(x, N, preset, reserved, scores, nms, components=principal_components):
    T, d = x.shape
    K = max(1, min(max(N // 4, 4 if preset == "qwen2vl" else 1), T, d))
    loading, group = components(x, K, preset).abs().max(dim=1)
    unit = torch.nn.functional.normalize(x, dim=1)
    similarity = unit @ unit.T
    tau = threshold(similarity, N, preset)
    picks = nms(similarity, group, loading if scores is None else scores, tau, K)
    quotas = bounded_quotas(picks, N, reserved)
    kept = [i for (s, r), quota in zip(picks, quotas) for i in (s + r)[:quota]]
    return sorted(kept[: N - reserved])


# ---- the C side ----------------------------------------------------------------------------------


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        self.c.compare_corename.restype = ctypes.c_char_p
        self.c.compare_status_string.restype = ctypes.c_char_p

    def tokens(self, T, d, seed):
        x = np.empty((T, d), np.float32)
        if self.c.compare_tokens(pointer(x), ctypes.c_size_t(T), ctypes.c_size_t(d),
                                 ctypes.c_uint64(seed)) != 0:
            sys.exit("compare_torch: no memory for the tokens")
        return x

    def scores(self, T, seed):
        scores = np.empty(T, np.float32)
        self.c.compare_scores(pointer(scores), ctypes.c_size_t(T), ctypes.c_uint64(seed))
        return scores

    def check(self, status):
        if status != 0:
            sys.exit(f"compare_torch: {self.c.compare_status_string(status).decode()}")

    def selector(self, x, N, preset, reserved, scores, svd=KRYLOV):
        """A function that selects: memory is there before it is called, as in an engine."""
        T, d = x.shape
        numbers = (ctypes.c_size_t * 6)(T, d, N, reserved, PRESETS.index(preset), svd)
        n_bytes = ctypes.c_size_t()
        self.check(self.c.compare_workspace_size(numbers, ctypes.byref(n_bytes)))
        workspace = np.empty(n_bytes.value, np.uint8)
        kept = np.empty(min(N - reserved, T), np.int32)
        arguments = (numbers, pointer(x), pointer(scores), pointer(workspace),
                     ctypes.c_size_t(workspace.nbytes), pointer(kept))

        def select(_alive=(x, scores, workspace)):
            self.check(self.c.compare_select(*arguments))
            return kept.tolist()

        return select


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


# ---- measuring -----------------------------------------------------------------------------------


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def milliseconds(call):
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1e3, result


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr)


def available_bytes():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))


def dense_bytes(T, K):
    """masked is float32 and its mask bool, K x T x T each; one byte more for what else there is."""
    return K * T * T * 6


def runs(reps, seconds, cost_ms):
    return max(2, min(reps, int(seconds * 1e3 / max(cost_ms, 1e-3))))


def check_rules(shape, tensors, exact):
    """Given the same components, PyTorch's side must keep what the library keeps."""
    name, _, T, d, N, preset, reserved, _ = shape
    if T <= 1024:
        kept = torch_select(tensors[0], N, preset, reserved, tensors[1], nms_dense,
                            exact_components)
        if jaccard(kept, exact) < 0.98:
            sys.exit(f"compare_torch: {name} {T} to {N}: the rules differ, not only the SVD")


def measure(library, shape, options):
    """One line of the table as a dict: medians over turns in which every side runs once."""
    name, images, T, d, N, preset, reserved, with_scores = shape
    xs = [library.tokens(T, d, seed + 1) for seed in range(images)]
    scores = [library.scores(T, seed + 1) if with_scores else None for seed in range(images)]
    exact = [library.selector(x, N, preset, reserved, s, EXACT)() for x, s in zip(xs, scores)]
    ours = [library.selector(x, N, preset, reserved, s) for x, s in zip(xs, scores)]
    tensors = [(torch.from_numpy(x), None if s is None else torch.from_numpy(s))
               for x, s in zip(xs, scores)]

    def torch_side(nms):
        return lambda: [torch_select(x, N, preset, reserved, s, nms) for x, s in tensors]

    sides = {"ours": lambda: [select() for select in ours], "dense": torch_side(nms_dense),
             "grouped": torch_side(nms_grouped)}
    check_rules(shape, tensors[0], exact[0])
    need, limit = dense_bytes(T, max(N // 4, 1)), min(options.max_gib * 2**30, available_bytes())
    if need > limit:
        del sides["dense"]
        print(f"skipped: {name} {T} to {N}, dense: K x T x T needs {need / 2**30:.1f} GiB, "
              f"{limit / 2**30:.1f} GiB are allowed", file=sys.stderr)
    times, kept = {side: [] for side in sides}, {side: [] for side in sides}
    cost = sum(milliseconds(call)[0] for call in sides.values())  # and a warm-up
    start, cpu_start = time.perf_counter(), time.process_time()
    for turn in range(runs(options.reps, options.seconds, cost)):
        for side, call in sides.items():
            torch.manual_seed(turn)
            ms, result = milliseconds(call)
            times[side].append(ms)
            kept[side].append(result)
        progress(f"{name} {T} to {N}: turn {turn + 1}")
    cores_used = (time.process_time() - cpu_start) / (time.perf_counter() - start)
    seeded = kept["grouped"]
    pairs = [jaccard(a, b) for first, second in itertools.combinations(seeded, 2)
             for a, b in zip(first, second)]
    return {
        "name": name, "images": images, "tokens": T, "dim": d, "keep": N, "preset": preset,
        "corename": library.c.compare_corename().decode(), "turns": len(seeded),
        "cores_used": cores_used,
        "ours_ms": statistics.median(times["ours"]),
        "grouped_ms": statistics.median(times["grouped"]),
        "dense_ms": statistics.median(times["dense"]) if "dense" in times else None,
        "jaccard_seeds": statistics.mean(pairs),
        "jaccard_torch_exact": statistics.mean(
            jaccard(a, b) for run in seeded for a, b in zip(run, exact)),
        "jaccard_ours_exact": statistics.mean(
            jaccard(a, b) for run in kept["ours"] for a, b in zip(run, exact)),
        "forms_agree": "dense" not in kept or kept["dense"] == seeded,
    }


HEAD = ("shape", "N", "ours ms", "dense ms", "ratio", "grouped ms", "ratio", "seed/seed",
        "torch/exact", "ours/exact", "turns", "cores")
LINE = "{:<26}{:>5}{:>10}{:>11}{:>8}{:>12}{:>8}{:>11}{:>13}{:>12}{:>7}{:>7}"


def print_line(one):
    images = f"{one['images']} x " if one["images"] > 1 else ""
    dense = one["dense_ms"]
    progress("")
    print(LINE.format(
        f"{one['name']} {images}{one['tokens']} x {one['dim']}", one["keep"],
        f"{one['ours_ms']:.2f}", "skipped" if dense is None else f"{dense:.1f}",
        "-" if dense is None else f"{dense / one['ours_ms']:.1f}", f"{one['grouped_ms']:.1f}",
        f"{one['grouped_ms'] / one['ours_ms']:.1f}", f"{one['jaccard_seeds']:.3f}",
        f"{one['jaccard_torch_exact']:.3f}", f"{one['jaccard_ours_exact']:.3f}", one["turns"],
        f"{one['cores_used']:.2f}"), flush=True)


def sweep_shapes():
    tokens = [("T", 1, T, 1024, 64, "qwen2vl", 0, False) for T in SWEEP_TOKENS]
    return tokens + [("N", 1, 576, 1024, N, "qwen2vl", 0, False) for N in SWEEP_KEEP]


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "build/bench/compare_torch.so"
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("--library", default=str(default), help=f"default {default.name} in build/")
    cli.add_argument("--quick", action="store_true", help="three shapes, few turns")
    cli.add_argument("--sweep", action="store_true", help="many T and N in place of the shapes")
    cli.add_argument("--reps", type=int, default=15, help="turns at most (default 15)")
    cli.add_argument("--seconds", type=float, default=30, help="a shape, about (default 30)")
    cli.add_argument("--max-gib", type=float, default=8, help="for the dense form (default 8)")
    cli.add_argument("--json", metavar="FILE", help="also writes the numbers, for plot.py")
    options = cli.parse_args()
    if options.quick:
        options.reps, options.seconds = min(options.reps, 4), min(options.seconds, 3)
    try:
        library = Library(options.library)
    except OSError:
        cli.error(f"{options.library} cannot be loaded: build the project first, or --library")
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one thread, {library.c.compare_corename().decode()} "
          "kernels, float32")
    print(LINE.format(*HEAD))
    lines = []
    for shape in sweep_shapes() if options.sweep else QUICK if options.quick else SHAPES:
        lines.append(measure(library, shape, options))
        print_line(lines[-1])
    if not all(line["forms_agree"] for line in lines):
        print("dense and grouped kept different tokens: one of them is wrong", file=sys.stderr)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
