#!/usr/bin/env python3
"""Times selections over T, over N and over d, and prints the steps between neighbours: is there a
shape just beside another that takes much longer?

Each point is the median over different made-up images (p50_ms of prunesid_bench --images), and over
rounds of the whole sweep. --json writes the numbers, with those of the tail, for plot.py."""
import argparse
import json
import pathlib

import runs

STEPS = 20
LOW, HIGH = {"tokens": 64, "keep": 8, "dim": 64}, {"tokens": 4096, "keep": 512, "dim": 4096}
# What is held while the other changes; 32 of 64 tokens, so that there is something to prune.
HELD = {"tokens": {"keep": 32, "dim": 1024}, "keep": {"tokens": 576, "dim": 1024},
        "dim": {"tokens": 576, "keep": 64}}
TAIL = [{"tokens": 576, "keep": 64, "images": 120}, {"tokens": 576, "keep": 192, "images": 120},
        {"tokens": 2880, "keep": 320, "images": 40}]


def points(axis):
    growth = HIGH[axis] / LOW[axis]
    return [round(LOW[axis] * growth ** (i / STEPS)) for i in range(STEPS + 1)]


def cases_of(axis, n_images):
    return [{**HELD[axis], axis: x, "images": n_images, "reps": 3} for x in points(axis)]


def step(before, after):
    """The time of one over the other's, whichever is longer."""
    return max(before, after) / min(before, after)


def print_sweep(axis, lines):
    held = ", ".join(f"{name} {value}" for name, value in HELD[axis].items())
    print(f"\n{axis} from {LOW[axis]} to {HIGH[axis]} in {STEPS} steps; {held}\n")
    print(f"{axis:>8}{'ms':>10}{'step':>8}{'svd':>9}{'refined':>9}{'exact':>7}")
    steps = []
    for i, line in enumerate(lines):
        if i > 0:
            steps.append((step(lines[i - 1]["p50_ms"], line["p50_ms"]), i))
        print(f"{line[axis]:>8}{line['p50_ms']:>10.3f}"
              f"{f'{steps[-1][0]:.2f}' if steps else '':>8}{line['svd_used']:>9}"
              f"{line['n_refined_images']:>9.0f}{line['n_exact_images']:>7.0f}")
    largest, at = max(steps)
    print(f"largest step: {largest:.2f}, from {lines[at - 1][axis]} to {lines[at][axis]}")


def main():
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    runs.add_options(cli)
    cli.add_argument("--images", type=int, default=9, help="of each point (default 9)")
    cli.add_argument("--axis", choices=HELD, action="append", help="only this one; may be repeated")
    cli.add_argument("--json", metavar="FILE", help="also writes the numbers, and the tail's")
    options = cli.parse_args()
    axes = options.axis or list(HELD)
    cases = [case for axis in axes for case in cases_of(axis, options.images)]
    lines = runs.run_cases(options.bench, cases, options.rounds)
    sweeps = {axis: lines[i * (STEPS + 1):(i + 1) * (STEPS + 1)] for i, axis in enumerate(axes)}
    for axis, of_axis in sweeps.items():
        print_sweep(axis, of_axis)
    if options.json:
        tail = runs.run_cases(options.bench, [{**case, "reps": 3} for case in TAIL], 1)
        pathlib.Path(options.json).write_text(
            json.dumps({"sweeps": sweeps, "tail": tail}, indent=1) + "\n")


if __name__ == "__main__":
    main()
