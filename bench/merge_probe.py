#!/usr/bin/env python3
"""What pruning costs a real transformer, and what merging gives back.

Tokens of a ViT classifier are pruned after one of its blocks; the blocks that are left run on the
CLS row and what is kept, and the classifier's answer is held against that on all tokens: the
Kullback-Leibler divergence (0: the same answer), and how often the top class stays. A classifier is
no VLM: this shows which way, not how much.

  merge   kept rows become x / 2 + mean / 2 of what they represent (prunesid_merge)
  bias    the logits of what attends to a kept row get ln count (details.log_count)

WEIGHTS is a state dict in timm's names, saved by torch.save, of a plain ViT with patches of 16, 64
channels a head and inputs scaled to [-1, 1]: vit_tiny_patch16_224.augreg_in21k_ft_in1k, say. Of
each photograph four crops are taken at 384 x 384.

Needs PyTorch, NumPy and Pillow (Debian: apt-get install python3-torch python3-pil, then
/usr/bin/python3) and build/bench/merge_probe.so, which CMake builds."""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # before the libraries start their threads

import argparse
import ctypes
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

SIDE, PATCH = 384, 16
BUDGETS = (32, 64, 128)
ALL, GROUP = 0, 1  # prunesid_scope


# ---- the classifier ------------------------------------------------------------------------------


class Classifier:
    def __init__(self, path):
        self.w = torch.load(path, map_location="cpu")
        self.dim = self.w["pos_embed"].shape[-1]
        self.heads = self.dim // 64
        self.depth = 1 + max(int(name.split(".")[1]) for name in self.w
                             if name.startswith("blocks."))

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.dim,), self.w[name + ".weight"], self.w[name + ".bias"], 1e-6)

    def embed(self, image):
        """[1, 1 + T, d] of a PIL image: the CLS row, then the patches in raster order."""
        x = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        x = F.conv2d(x, self.w["patch_embed.proj.weight"], self.w["patch_embed.proj.bias"],
                     stride=PATCH)
        n = self.w["pos_embed"].shape[1] - 1
        grid = self.w["pos_embed"][:, 1:].reshape(1, round(n**.5), -1, self.dim).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=x.shape[2:], mode="bicubic", align_corners=False)
        cls = self.w["cls_token"] + self.w["pos_embed"][:, :1]
        return torch.cat([cls, (x + grid).flatten(2).transpose(1, 2)], 1)

    def run(self, x, begin, end, bias=0.0):
        """Blocks begin to end; bias [1 + N] goes to the attention logits of each row."""
        for i in range(begin, end):
            block = f"blocks.{i}."
            q, k, v = self.linear(self.norm(x, block + "norm1"), block + "attn.qkv").reshape(
                1, -1, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
            attention = (q @ k.transpose(-1, -2) / 8 + bias).softmax(-1)
            mixed = (attention @ v).transpose(1, 2).reshape(1, -1, self.dim)
            x = x + self.linear(mixed, block + "attn.proj")
            hidden = F.gelu(self.linear(self.norm(x, block + "norm2"), block + "mlp.fc1"))
            x = x + self.linear(hidden, block + "mlp.fc2")
        return x

    def answer(self, x):
        """Log probabilities of the classes."""
        return self.linear(self.norm(x, "norm")[:, 0], "head").log_softmax(-1)[0]


def crops(path):
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE))
    parts = [(0, 0, 256, 256), (128, 128, 384, 384), (128, 0, 384, 256)]
    return [image] + [image.crop(part).resize((SIDE, SIDE), Image.BICUBIC) for part in parts]


# ---- the library ---------------------------------------------------------------------------------


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)

    def call(self, function, tokens, N, *arguments):
        T, d = tokens.shape
        status = function(pointer(tokens), *map(ctypes.c_size_t, (T, d, N)), *arguments)
        if status != 0:
            sys.exit(f"merge_probe: status {status}")

    def choice(self, tokens, N, kept=None, scope=ALL):
        """kept [N], by the default if it is not given; representative [T], ln count [N], coverage."""
        representative = np.empty(len(tokens), np.int32)
        log_count, coverage = np.empty(N, np.float32), np.empty(1)
        told = [pointer(array) for array in (representative, log_count, coverage)]
        if kept is None:
            kept = np.empty(N, np.int32)
            self.call(self.c.probe_select, tokens, N, ctypes.c_int(scope), pointer(kept), *told)
        else:
            self.call(self.c.probe_represent, tokens, N, pointer(kept), *told)
        return kept, representative, log_count, coverage[0]

    def merged(self, tokens, kept, representative, weight):
        out = np.empty((len(kept), tokens.shape[1]), np.float32)
        self.call(self.c.probe_merge, tokens, len(kept), pointer(kept), pointer(representative),
                  ctypes.c_double(weight), pointer(out))
        return out


# ---- other choices -------------------------------------------------------------------------------


def even_grid(tokens, N):
    return np.linspace(0, len(tokens) - 1, N).round().astype(np.int32)


def divprune(tokens, N):
    """The token farthest from those taken so far, again and again."""
    unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    distance = 1 - (unit @ unit.T).astype(np.float64)
    first = int((distance + 9 * np.eye(len(tokens))).min(1).argmax())
    taken, least = [first], distance[first].copy()
    while len(taken) < N:
        least[taken] = -1
        taken.append(int(least.argmax()))
        least = np.minimum(least, distance[taken[-1]])
    return np.array(sorted(taken), np.int32)


# name, who chooses, scope, weight of the merge, bias
WAYS = [
    ("uniform grid", even_grid, ALL, 0, False),
    ("kept tokens alone", None, ALL, 0, False),
    ("half merge", None, ALL, .5, False),
    ("bias", None, ALL, 0, True),
    ("half merge and bias", None, ALL, .5, True),
    ("the same in the own group", None, GROUP, .5, True),
    ("uniform grid, merge and bias", even_grid, ALL, .5, True),
    ("DivPrune", divprune, ALL, 0, False),
    ("DivPrune, merge and bias", divprune, ALL, .5, True),
]


# ---- the table -----------------------------------------------------------------------------------


def measure(model, library, x, block):
    """(KL, same top class, coverage) for every way and budget, of one image's embedding."""
    x = model.run(x, 0, block)
    tokens = np.ascontiguousarray(x[0, 1:].numpy())
    want = model.answer(model.run(x, block, model.depth))
    out = {}
    for name, choose, scope, weight, is_biased in WAYS:
        for N in BUDGETS:
            kept, representative, log_count, coverage = library.choice(
                tokens, N, None if choose is None else choose(tokens, N), scope)
            rows = torch.from_numpy(library.merged(tokens, kept, representative, weight))[None]
            bias = torch.from_numpy(np.r_[np.float32(0), log_count]) if is_biased else 0.0
            got = model.answer(
                model.run(torch.cat([x[:, :1], rows], 1), block, model.depth, bias))
            kl = F.kl_div(got, want, reduction="sum", log_target=True)
            out[name, N] = float(kl), float(got.argmax() == want.argmax()), coverage
    return out


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "build/bench/merge_probe.so"
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("weights", help="a state dict in timm's names")
    cli.add_argument("photos", nargs="+", help="photographs")
    cli.add_argument("--blocks", default="4,8,10", help="pruned after each of these (4,8,10)")
    cli.add_argument("--library", default=str(default), help=f"default {default.name} in build/")
    options = cli.parse_args()
    try:
        library = Library(options.library)
    except OSError:
        cli.error(f"{options.library} cannot be loaded: build the project first, or --library")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = Classifier(options.weights)
    embedded = [model.embed(crop) for photo in options.photos for crop in crops(photo)]
    for block in map(int, options.blocks.split(",")):
        images = [measure(model, library, x, block) for x in embedded]
        heads = [f"N = {N}: KL, top class, coverage" for N in BUDGETS]
        print(f"\n{len(images)} crops of {len(options.photos)} photographs, after block {block}\n")
        print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(BUDGETS)}")
        for name, *_ in WAYS:
            cells = (np.mean([image[name, N] for image in images], axis=0) for N in BUDGETS)
            print(f"| {name} | {' | '.join('%.3f, %.2f, %.3f' % tuple(c) for c in cells)} |",
                  flush=True)


if __name__ == "__main__":
    main()
