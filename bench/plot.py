#!/usr/bin/env python3
"""Draws bench/times.svg from the numbers of `sweep.py --json FILE`: the time of a selection against
T, N and d, beside one T x T x d matrix product, and its tail. Standard library only."""
import argparse
import json
import math
import pathlib

SERIES = {  # of a sweep: key, label, colour
    "p50_ms": ("prunesid.h", "#0b62a8"),
    "gemm_ms": ("one T x T x d sgemm", "#999999"),
}
TITLES = {"tokens": ("{keep} tokens kept of T, {dim} channels", "T"),
          "keep": ("N kept of {tokens} tokens, {dim} channels", "N"),
          "dim": ("{keep} kept of {tokens} tokens of d channels", "d")}
TAIL_COLOURS = ("#0b62a8", "#d98a1f", "#c0392b")
PERCENTILES = {"p50_ms": "50 %", "p95_ms": "95 %", "p99_ms": "99 %", "max_ms": "slowest"}
WIDTH, HEIGHT, LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT = 1000, 800, 70, 60, 390, 270
ACROSS, DOWN = PANEL_WIDTH + 90, PANEL_HEIGHT + 90  # from one panel to the next


def text(x, y, words, size=12, anchor="middle", colour="#222222", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}"{extra}>{words}</text>')


def line(x1, y1, x2, y2, colour="#dddddd"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def curve(places, labels, colour):
    """A line through places, with a dot and its label at each."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    return out + [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{label}</title>'
                  "</circle>" for (x, y), label in zip(places, labels)]


def frame(left, top, title, unit):
    bottom, middle = top + PANEL_HEIGHT, left + PANEL_WIDTH / 2
    return [text(middle, top - 14, title, 14), text(middle, bottom + 40, unit),
            line(left, bottom, left + PANEL_WIDTH, bottom, "#888888")]


def tick_y(left, y, words):
    return [line(left, y, left + PANEL_WIDTH, y), text(left - 8, y + 4, words, anchor="end")]


def tick_x(x, bottom, words):
    return [line(x, bottom, x, bottom + 5, "#888888"), text(x, bottom + 20, words)]


def sweep_panel(left, top, axis, points):
    """Both axes logarithmic."""
    values = [point[key] for point in points for key in SERIES]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = (math.log2(points[i][axis]) for i in (0, -1))
    bottom = top + PANEL_HEIGHT

    def at(x, ms):
        return (left + (math.log2(x) - first) / (last - first) * PANEL_WIDTH,
                bottom - (math.log10(ms) - low) / (high - low) * PANEL_HEIGHT)

    title, unit = TITLES[axis]
    out = []
    for power in range(low, high + 1):
        out += tick_y(left, at(points[0][axis], 10.0**power)[1], f"{10.0**power:g}")
    for power in range(round(first), round(last) + 1):
        out += tick_x(at(2**power, 10.0**low)[0], bottom, 2**power)
    out += frame(left, top, title.format(**points[0]), unit)
    out.append(text(left - 48, top + PANEL_HEIGHT / 2, "ms",
                    extra=f' transform="rotate(-90 {left - 48} {top + PANEL_HEIGHT / 2})"'))
    for key, (label, colour) in SERIES.items():
        out += curve([at(point[axis], point[key]) for point in points],
                     [f"{label}: {point[key]:.3g} ms at {point[axis]}" for point in points], colour)
    return out


def tail_panel(left, top, images):
    """Percentiles over the median, from 0 up."""
    bottom = top + PANEL_HEIGHT
    high = math.ceil(max(of_shape["max_ms"] / of_shape["p50_ms"] for of_shape in images))
    xs = [left + PANEL_WIDTH * (0.1 + 0.8 * i / (len(PERCENTILES) - 1))
          for i in range(len(PERCENTILES))]
    out = []
    for value in range(high + 1):
        out += tick_y(left, bottom - PANEL_HEIGHT * value / high, value)
    for x, label in zip(xs, PERCENTILES.values()):
        out += tick_x(x, bottom, label)
    out += frame(left, top, "the tail: time over the median", "of different images, within")
    for i, (of_shape, colour) in enumerate(zip(images, TAIL_COLOURS)):
        ratios = [of_shape[key] / of_shape["p50_ms"] for key in PERCENTILES]
        out += curve([(x, bottom - PANEL_HEIGHT * ratio / high) for x, ratio in zip(xs, ratios)],
                     [f"{ratio:.2f}" for ratio in ratios], colour)
        out.append(text(left + 12, top + 18 + 18 * i,
                        f"{of_shape['keep']} of {of_shape['tokens']} x {of_shape['dim']}, "
                        f"{of_shape['images']:.0f} images", 12, "start", colour))
    return out


def legend():
    out, x = [], LEFT
    for label, colour in SERIES.values():
        out += [f'<rect x="{x}" y="{HEIGHT - 24}" width="18" height="4" fill="{colour}"/>',
                text(x + 25, HEIGHT - 17, label, anchor="start")]
        x += 60 + 7 * len(label)
    return out


def draw(numbers):
    sweeps, tail = numbers["sweeps"], numbers["tail"]
    places = [(LEFT + column * ACROSS, TOP + row * DOWN) for row in (0, 1) for column in (0, 1)]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for place, (axis, points) in zip(places, sweeps.items()):
        parts += sweep_panel(*place, axis, points)
    parts += tail_panel(*places[-1], tail) + legend()
    parts.append(text(WIDTH - 20, HEIGHT - 17, f"one core, OpenBLAS {tail[0]['corename']} kernels",
                      11, "end", "#777777"))
    return "\n".join(parts + ["</svg>", ""])


def main():
    default = pathlib.Path(__file__).resolve().parent / "times.svg"
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("numbers", help="what sweep.py --json wrote")
    cli.add_argument("-o", "--output", default=default, help="default bench/times.svg")
    options = cli.parse_args()
    numbers = json.loads(pathlib.Path(options.numbers).read_text())
    pathlib.Path(options.output).write_text(draw(numbers))


if __name__ == "__main__":
    main()
