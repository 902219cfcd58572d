#!/usr/bin/env python3
"""Times prunesid.h beside other selectors in PyTorch, on one core, in one process, turn by turn.

The PyTorch side is our own, written after the published methods, operation for operation:
  llava      PruneSID's LLaVA version: pca_lowrank from a random start, the T x T similarities, NMS
             of all groups at once on K copies of these
  qwen2vl    PruneSID's Qwen2-VL version: the same SVD and similarities, NMS group after group
  attention  what a selector costs that knows attention and little else, after HoloV: 16 crops,
             similarities inside each, budgets by crop, the best attended tokens of each. No SVD, no
             T x T matrix: the floor
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
import random
import statistics
import sys
import time

import numpy as np
import torch

PRESETS = ["auto", "paper", "llava", "qwen2vl"]  # in the order of prunesid_preset
KRYLOV, EXACT = 0, 1  # prunesid_svd
RESERVED = {"llava": 1, "qwen2vl": 0}  # rows inside the budget that are not tokens

# name, images, T, d, N of each image. Qwen2-VL: the released rule, 64 of 576, is 114 of 1024 and
# 455 of 4096.
SHAPES = [
    ("LLaVA-1.5", 1, 576, 1024, 64),
    ("LLaVA-1.5", 1, 576, 1024, 128),
    ("LLaVA-1.5", 1, 576, 1024, 192),
    ("LLaVA-NeXT, tiles", 5, 576, 1024, 64),
    ("LLaVA-NeXT, at once", 1, 2880, 1024, 320),
    ("Qwen2-VL", 1, 1024, 3584, 114),
    ("Qwen2-VL", 1, 4096, 3584, 455),
    ("video", 8, 256, 1024, 17),
]
QUICK = [SHAPES[0], SHAPES[2]]
N_CROPS = 16  # of the attention-only selector


# ---- PruneSID in PyTorch -------------------------------------------------------------------------


def principal_components(x, K):
    """V [T, K] of sigmoid(x) - each token's mean, by two power iterations from a random start."""
    return torch.pca_lowrank(torch.sigmoid(x).T, q=K, center=True, niter=2)[2]


def exact_components(x, K):
    """The same from a whole SVD, to show that nothing but the SVD differs from the C side."""
    a = torch.sigmoid(x.double())
    a -= a.mean(1, keepdim=True)
    return torch.linalg.svd(a, full_matrices=False)[0][:, :K].float()


def similarities(x):
    unit = torch.nn.functional.normalize(x, dim=1)
    return unit @ unit.T


def bounded_quotas(sizes, survivors, N, reserved):
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
    for k in sorted(range(len(sizes)), key=lambda k: -survivors[k]):
        quotas[k] += min(high[k] - quotas[k], max(0, wanted - sum(quotas)))
    return quotas


def keep_by_rank(rank, member, survivors, N, reserved):
    """The best of each group by rank [T, K]: survivors above the rest, these by their scores."""
    quotas = bounded_quotas(member.sum(0).tolist(), survivors, N, reserved)
    order = rank.argsort(dim=0, descending=True)
    kept = torch.cat([order[:quota, k] for k, quota in enumerate(quotas)])
    return sorted(kept[: N - reserved].tolist())


def llava_rule(x, N, scores, components=principal_components):
    """The score is given; NMS takes the best token left of every group in one round."""
    T = len(x)
    K = max(1, min(N // 4, T, x.shape[1]))
    group = components(x, K).abs().argmax(dim=1)
    similarity = similarities(x)
    pairs = torch.triu(torch.ones_like(similarity), diagonal=1).bool()
    tau = N / 32 * (similarity * pairs).sum() / pairs.sum()
    every = torch.arange(K)
    member = group[:, None] == every  # [T, K]
    within = similarity.repeat(K, 1, 1)  # for every group, of which its rows and columns stay
    mask = torch.zeros_like(within)
    mask[member.T] = 1
    mask[torch.where(mask.transpose(1, 2) == 1)] = 1
    within[mask != 1] = 0
    left = torch.where(member, scores[:, None], torch.zeros(()))
    rank, survivors, above = left.clone(), torch.zeros(K), float(scores.max()) + T
    while left.sum() > 0:
        best, at = left.max(dim=0)
        found = every[best > 0]
        at = at[found]
        survivors[found] += 1
        rank[at, found] = above
        above -= 1
        left[at, found] = 0
        near = torch.zeros_like(member)
        near[:, found] = (within[found, at] > tau).T
        left[near] = 0
    return keep_by_rank(rank, member, survivors.int().tolist(), N, RESERVED["llava"])


def nms_of_group(similarity, score, tau):
    """-> survivors, best first."""
    score, survivors = score.copy(), []
    while score.sum() > 0:
        best = score.argmax()
        survivors.append(best)
        score[similarity[best] > tau] = 0
        score[best] = 0
    return survivors


def qwen2vl_rule(x, N, _scores, components=principal_components):
    """The score is the loading; NMS goes group after group, in NumPy."""
    T = len(x)
    K = max(1, min(max(N // 4, 4), T, x.shape[1]))
    loading, group = components(x, K).abs().max(dim=1)
    similarity = similarities(x)
    tau = float(max(18 * N / T, 1.0) * similarity.triu().mean())
    member = group[:, None] == torch.arange(K)
    rank = torch.where(member, loading[:, None], torch.zeros(()))
    similarity, score, survivors = similarity.numpy(), loading.numpy(), []
    for k in range(K):
        rows = torch.where(member[:, k])[0].numpy()
        picked = rows[nms_of_group(similarity[rows][:, rows], score[rows], tau)]
        rank[picked, k] = torch.arange(T + 1, T + 1 - len(picked), -1, dtype=rank.dtype)
        survivors.append(len(picked))
    return keep_by_rank(rank, member, survivors, N, RESERVED["qwen2vl"])


RULES = {"llava": llava_rule, "qwen2vl": qwen2vl_rule}


# ---- attention only ------------------------------------------------------------------------------


def crop_score(x, attention):
    """Mean attention of a crop, and how much its tokens' similarities to one another vary."""
    n = len(x)
    unit = x / (x.norm(dim=1, keepdim=True) + 1e-6)
    others = (unit @ unit.T) * (1 - torch.eye(n))
    spread = ((others - others.sum(1, keepdim=True) / (n - 1)) ** 2).sum(1) / (n - 1)
    scale = attention.abs().mean() / (spread.abs().mean() + 1e-6)
    return (attention + 0.09 * scale * spread).mean()


def attention_only(x, N, attention):
    """Up to N tokens: a crop that is smaller than its share keeps all it has."""
    crops = attention.tensor_split(N_CROPS)
    scores = torch.stack([crop_score(*crop) for crop in zip(x.tensor_split(N_CROPS), crops)])
    share = scores / scores.sum() * N
    budgets = share.floor().long()
    budgets[share.topk(int(N - budgets.sum())).indices] += 1
    kept, start = [], 0
    for crop, budget in zip(crops, budgets.tolist()):
        kept.append(crop.topk(min(budget, len(crop))).indices + start)
        start += len(crop)
    return sorted(torch.cat(kept).tolist())


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

    def selector(self, x, N, preset, scores, svd=KRYLOV):
        """A function that selects: memory is there before it is called, as in an engine."""
        (T, d), reserved = x.shape, RESERVED[preset]
        numbers = (ctypes.c_size_t * 6)(T, d, N, reserved, PRESETS.index(preset), svd)
        n_bytes = ctypes.c_size_t()
        self.check(self.c.compare_workspace_size(numbers, ctypes.byref(n_bytes)))
        workspace = np.empty(n_bytes.value, np.uint8)
        kept = np.empty(min(N - reserved, T), np.int32)
        scores = scores if preset == "llava" else None
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


def mean_jaccard(pairs):
    return statistics.mean(jaccard(a, b) for a, b in pairs)


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


def llava_bytes(T, N):
    """The copies and their mask are float32, what compares them bool: K x T x T each; the places
    of the mask are three int64 for two rows' worth of it."""
    return max(N // 4, 1) * T * T * 9 + 2 * T * T * 24


def runs(reps, seconds, cost_ms):
    return max(2, min(reps, int(seconds * 1e3 / max(cost_ms, 1e-3))))


def over(images, select):
    """A call that selects from all images, one after another."""
    return lambda: [select(*image) for image in images]


def make_sides(library, shape, options):
    """The tokens, everything that is timed, by name, and what the exact SVD keeps, by rule."""
    name, n_images, T, d, N = shape
    xs = [library.tokens(T, d, seed + 1) for seed in range(n_images)]
    scores = [library.scores(T, seed + 1) for seed in range(n_images)]
    images = [(torch.from_numpy(x), N, torch.from_numpy(s)) for x, s in zip(xs, scores)]
    sides, exact = {}, {}
    for rule, select in RULES.items():
        ours = [(library.selector(x, N, rule, s),) for x, s in zip(xs, scores)]
        sides["ours", rule] = over(ours, lambda selector: selector())
        sides["torch", rule] = over(images, select)
        exact[rule] = [library.selector(x, N, rule, s, EXACT)() for x, s in zip(xs, scores)]
        if T <= 1024 and jaccard(select(*images[0], exact_components), exact[rule][0]) < 0.98:
            sys.exit(f"compare_torch: {name} {T} to {N}, {rule}: not only the SVD differs")
    sides["attention", ""] = over(images, attention_only)
    need, limit = llava_bytes(T, N), min(options.max_gib * 2**30, available_bytes())
    if need > limit:
        del sides["torch", "llava"]
        print(f"skipped: {name} {T} to {N}, llava in PyTorch: K x T x T needs {need / 2**30:.1f} "
              f"GiB, {limit / 2**30:.1f} GiB are allowed", file=sys.stderr)
    return xs, sides, exact


def measure(library, shape, options):
    """A line of the table for each rule, as dicts: medians over turns in which all sides run."""
    name, n_images, T, d, N = shape
    xs, sides, exact = make_sides(library, shape, options)
    times, kept = {side: [] for side in sides}, {side: [] for side in sides}
    cost = sum(milliseconds(call)[0] for call in sides.values())  # and a warm-up
    start, cpu_start = time.perf_counter(), time.process_time()
    for turn in range(runs(options.reps, options.seconds, cost)):
        for side in random.Random(turn).sample(list(sides), len(sides)):
            torch.manual_seed(turn)
            for x in xs:
                x.sum()  # an encoder would have just written them: in the cache, as far as it goes
            ms, result = milliseconds(sides[side])
            times[side].append(ms)
            kept[side].append(result)
        progress(f"{name} {T} to {N}: turn {turn + 1}")
    cores_used = (time.process_time() - cpu_start) / (time.perf_counter() - start)
    lines = []
    for rule in RULES:
        seeded, ours = kept.get(("torch", rule)), kept["ours", rule]
        line = {
            "name": name, "images": n_images, "tokens": T, "dim": d, "keep": N, "rule": rule,
            "corename": library.c.compare_corename().decode(), "turns": len(ours),
            "cores_used": cores_used,
            "ours_ms": statistics.median(times["ours", rule]),
            "attention_ms": statistics.median(times["attention", ""]),
            "ours_exact": mean_jaccard((a, b) for run in ours for a, b in zip(run, exact[rule])),
        }
        if seeded is not None:
            line["torch_ms"] = statistics.median(times["torch", rule])
            line["torch_exact"] = mean_jaccard(
                (a, b) for run in seeded for a, b in zip(run, exact[rule]))
            line["seeds"] = mean_jaccard(
                pair for runs_of_two in itertools.combinations(seeded, 2)
                for pair in zip(*runs_of_two))
        lines.append(line)
    return lines


# ---- the table -----------------------------------------------------------------------------------

HEAD = ("shape", "N", "rule", "ours ms", "PyTorch ms", "ratio", "attention ms", "ratio",
        "seed/seed", "torch/exact", "ours/exact", "turns", "cores")
WIDTHS = (34, 5, 9, 9, 12, 7, 14, 7, 11, 13, 12, 7, 7)


def print_cells(cells, markdown):
    progress("")
    if markdown:
        print("|", " | ".join(cells), "|", flush=True)
    else:
        first, *rest = zip(cells, WIDTHS)
        print(f"{first[0]:<{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest),
              flush=True)


def cells_of(line):
    def number(key, digits, over_ours=False):
        if key not in line:
            return "-"
        return f"{line[key] / (line['ours_ms'] if over_ours else 1):.{digits}f}"

    images = f"{line['images']} x " if line["images"] > 1 else ""
    return (f"{line['name']} {images}{line['tokens']} x {line['dim']}", str(line["keep"]),
            line["rule"], number("ours_ms", 2), number("torch_ms", 1), number("torch_ms", 1, True),
            number("attention_ms", 2), number("attention_ms", 2, True), number("seeds", 2),
            number("torch_exact", 2), number("ours_exact", 2), str(line["turns"]),
            number("cores_used", 2))


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "build/bench/compare_torch.so"
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("--library", default=str(default), help=f"default {default.name} in build/")
    cli.add_argument("--quick", action="store_true", help="two shapes, fewer turns")
    cli.add_argument("--reps", type=int, default=15, help="turns at most (default 15)")
    cli.add_argument("--seconds", type=float, default=30, help="a shape, about (default 30)")
    cli.add_argument("--max-gib", type=float, default=8, help="for llava in PyTorch (default 8)")
    cli.add_argument("--markdown", action="store_true", help="prints the table in Markdown")
    cli.add_argument("--json", metavar="FILE", help="also writes the numbers")
    options = cli.parse_args()
    if options.quick:
        options.seconds = min(options.seconds, 5)
    try:
        library = Library(options.library)
    except OSError:
        cli.error(f"{options.library} cannot be loaded: build the project first, or --library")
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one thread, {library.c.compare_corename().decode()} "
          "kernels, float32\n")
    print_cells(HEAD, options.markdown)
    if options.markdown:
        print_cells(["---"] * len(HEAD), True)
    lines = []
    for shape in QUICK if options.quick else SHAPES:
        measured = measure(library, shape, options)
        lines += measured
        for line in measured:
            print_cells(cells_of(line), options.markdown)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
