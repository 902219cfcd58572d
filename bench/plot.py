#!/usr/bin/env python3
"""Draws bench/times.svg: the time of a selection against T and against N, both axes logarithmic.

Runs prunesid_bench for this library and for one T x T x d sgemm; the PyTorch forms come from
`compare_torch.py --sweep --json FILE`, if that file is given. Standard library only."""
import argparse
import json
import math
import pathlib
import subprocess
import sys

DIM, KEEP, TOKENS = 1024, 64, 576  # what is held while the other changes
SWEEP_TOKENS = [196, 576, 1024, 2048, 4096, 8192, 16384]
SWEEP_KEEP = [32, 64, 128, 192, 256, 384]

SERIES = {  # label and colour
    "ours": ("prunesid.h", "#0b62a8"),
    "sgemm": ("one T x T x d sgemm", "#777777"),
    "dense": ("PyTorch, dense NMS", "#c0392b"),
    "grouped": ("PyTorch, grouped NMS", "#d98a1f"),
}
WIDTH, HEIGHT, LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 1000, 440, 70, 60, 390, 300, 90


def run_bench(program, T, N):
    command = [program, "--tokens", T, "--dim", DIM, "--keep", N, "--json"]
    print("T", T, "N", N, file=sys.stderr)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def bench_series(program, points):
    """{"ours": [(x, ms)], "sgemm": ...} for points of (x, T, N), and the kernels' name."""
    lines = [(x, run_bench(program, T, N)) for x, T, N in points]
    return {"ours": [(x, line["median_ms"]) for x, line in lines],
            "sgemm": [(x, line["gemm_ms"]) for x, line in lines]}, lines[0][1]["corename"]


def torch_series(lines, sweep, axis):
    chosen = [line for line in lines if line["name"] == sweep]
    return {form: [(line[axis], line[f"{form}_ms"]) for line in chosen if line[f"{form}_ms"]]
            for form in ("dense", "grouped")}


def text(x, y, words, size=12, anchor="middle", colour="#222222", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}"{extra}>{words}</text>')


def line(x1, y1, x2, y2, colour="#dddddd"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def panel(left, title, unit, ticks, series):
    """One pair of axes with its lines, as SVG elements."""
    values = [ms for points in series.values() for _, ms in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log(ticks[0]), math.log(ticks[-1])
    bottom = TOP + PANEL_HEIGHT

    def at(x, ms):
        across = (math.log(x) - first) / (last - first)
        up = (math.log10(ms) - low) / (high - low)
        return left + across * PANEL_WIDTH, bottom - up * PANEL_HEIGHT

    out = [text(left + PANEL_WIDTH / 2, TOP - 14, title, 14)]
    for power in range(low, high + 1):
        y = at(ticks[0], 10.0**power)[1]
        out += [line(left, y, left + PANEL_WIDTH, y),
                text(left - 8, y + 4, f"{10.0**power:g}", anchor="end")]
    for tick in ticks:
        x = at(tick, 10.0**low)[0]
        out += [line(x, bottom, x, bottom + 5, "#888888"), text(x, bottom + 20, tick)]
    out += [line(left, bottom, left + PANEL_WIDTH, bottom, "#888888"),
            text(left + PANEL_WIDTH / 2, bottom + 40, unit)]
    for name, points in series.items():
        colour = SERIES[name][1]
        places = [at(x, ms) for x, ms in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
                f'<title>{SERIES[name][0]}: {ms:.3g} ms at {value}</title></circle>'
                for (x, y), (value, ms) in zip(places, points)]
    return out


def legend(names):
    out, x = [], LEFT
    for name in names:
        label, colour = SERIES[name]
        out += [f'<rect x="{x}" y="{HEIGHT - 24}" width="18" height="4" fill="{colour}"/>',
                text(x + 25, HEIGHT - 17, label, anchor="start")]
        x += 60 + 7 * len(label)
    return out


def draw(by_tokens, by_keep, corename):
    second = LEFT + PANEL_WIDTH + GAP
    names = [name for name in SERIES if by_tokens.get(name) or by_keep.get(name)]
    parts = panel(LEFT, f"{KEEP} tokens kept of T, {DIM} channels", "T", SWEEP_TOKENS,
                  {name: by_tokens[name] for name in names if by_tokens.get(name)})
    parts += panel(second, f"N kept of {TOKENS} tokens, {DIM} channels", "N", SWEEP_KEEP,
                   {name: by_keep[name] for name in names if by_keep.get(name)})
    parts.append(text(18, TOP + PANEL_HEIGHT / 2, "ms, one core",
                      extra=f' transform="rotate(-90 18 {TOP + PANEL_HEIGHT / 2})"'))
    kernels = f"OpenBLAS {corename} kernels"
    parts.append(text(WIDTH - 20, HEIGHT - 17, kernels, 11, "end", "#777777"))
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
         'font-family="sans-serif">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
        + parts + legend(names) + ["</svg>", ""])


def main():
    here = pathlib.Path(__file__).resolve().parent
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("--bench", default=here.parent / "build/bench/prunesid_bench",
                     help="the program (default: in build/)")
    cli.add_argument("--torch", metavar="FILE", help="numbers of compare_torch.py --sweep")
    cli.add_argument("-o", "--output", default=here / "times.svg", help="default bench/times.svg")
    options = cli.parse_args()
    torch = json.loads(pathlib.Path(options.torch).read_text()) if options.torch else []
    by_tokens, corename = bench_series(options.bench, [(T, T, KEEP) for T in SWEEP_TOKENS])
    by_keep, _ = bench_series(options.bench, [(N, TOKENS, N) for N in SWEEP_KEEP])
    by_tokens.update(torch_series(torch, "T", "tokens"))
    by_keep.update(torch_series(torch, "N", "keep"))
    pathlib.Path(options.output).write_text(draw(by_tokens, by_keep, corename))


if __name__ == "__main__":
    main()
