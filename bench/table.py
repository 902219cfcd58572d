#!/usr/bin/env python3
"""Prints the tables of README.md beside this file in Markdown: one run, everything turn by turn.

    bench/table.py [--into FILE] [selections] [tail] [workers] [dtypes] [growth] [steps] [builds]

Without a name: all of them, about 10 minutes. Every row ends with the command that prints its
numbers. builds compiles prunesid_bench anew for each kernel level; --cc chooses the compiler.
--into puts the tables under their headings in FILE, in the place of those that are there."""
import argparse
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile

import runs

SELECTIONS = [
    {"tokens": 576, "keep": 64}, {"tokens": 576, "keep": 128}, {"tokens": 576, "keep": 192},
    {"tokens": 2880, "keep": 320, "reps": 21}, {"tokens": 256, "keep": 64},
    {"tokens": 1024, "dim": 3584, "keep": 64, "reps": 21},
    {"tokens": 4096, "dim": 3584, "keep": 64, "reps": 5},
    {"tokens": 16384, "keep": 64, "reps": 3}, {"tokens": 16384, "keep": 1024, "reps": 3},
    {"tokens": 576, "keep": 64, "svd": "exact", "reps": 21},
    {"tokens": 2880, "keep": 320, "svd": "exact", "reps": 5},
]
TAIL = [
    {"tokens": 576, "keep": 64, "images": 120}, {"tokens": 576, "keep": 192, "images": 120},
    {"tokens": 2880, "keep": 320, "images": 40},
]
WORKERS = [
    {"tokens": 576, "keep": 64, "workers": 2}, {"tokens": 576, "keep": 192, "workers": 2},
    {"tokens": 2880, "keep": 320, "workers": 2, "reps": 21},
    {"tokens": 4096, "dim": 3584, "keep": 64, "workers": 2, "reps": 5},
    {"tokens": 16384, "keep": 64, "workers": 2, "reps": 5},
]
DTYPES = [{"tokens": 576, "keep": N, "dtype": dtype, "reps": 31}
          for N in (64, 192) for dtype in ("f16", "bf16")]
GROWTH = [{"tokens": T, "keep": 64, "images": 9, "reps": 1} for T in (2048, 4096, 8192, 16384)]
STEPS = [  # neighbours
    ({"tokens": 192, "keep": 64}, {"tokens": 196, "keep": 64}),
    ({"tokens": 576, "keep": 252}, {"tokens": 576, "keep": 264}),
    ({"tokens": 576, "keep": 384}, {"tokens": 576, "keep": 420}),
]
BUILT = [{"tokens": 576, "keep": 64}, {"tokens": 576, "keep": 192},
         {"tokens": 2880, "keep": 320, "reps": 15}]
BUILDS = [  # label, flags, environment
    ("AVX-512, and its OpenBLAS kernels", "-O3", {"OPENBLAS_CORETYPE": "SkylakeX"}),
    ("AVX-512", "-O3", {}),
    ("AVX2", "-O3 -DPRUNESID_SIMD=1", {}),
    ("SSE2 and BLAS", "-O3 -DPRUNESID_SIMD=0", {}),
    ("-O2", "-O2", {}),
    ("-O3 -march=native", "-O3 -march=native", {}),
]


def shape(case):
    return f"{case['tokens']} x {case.get('dim', 1024)}"


def command(case, environment=()):
    before = "".join(f"{name}={value} " for name, value in dict(environment).items())
    return f"`{before}prunesid_bench {runs.words(case)}`"


def table(title, head, rows):
    """-> its heading, and all of it in Markdown."""
    lines = ["| " + " | ".join(map(str, cells)) + " |\n"
             for cells in (head, ["---"] * len(head), *rows)]
    return f"### {title}", "".join(lines)


def in_input(line):
    """The workspace over the float32 input."""
    return f"{line['workspace_bytes'] / (line['tokens'] * line['dim'] * 4):.2f}"


def selections(options):
    lines = runs.run_cases(options.bench, SELECTIONS, options.rounds)
    for svd in ("krylov", "exact"):
        yield table(
            f"Ran by {svd.upper()}",
            ("shape", "N", "ms", "over one T x T x d sgemm", "steps", "columns refined",
             "workspace over input", "cores used", "command"),
            [(shape(case), case["keep"], f"{line['median_ms']:.3g}", f"{line['ratio']:.2f}",
              f"{line['iterations']:.0f}", f"{line['refined']:.0f}", in_input(line),
              f"{line['cores_used']:.2f}", command(case))
             for case, line in zip(SELECTIONS, lines) if line["svd_used"] == svd])


def milliseconds(ms):
    return "-" if ms is None else f"{ms:.3g}"


def tail(options):
    lines = runs.run_cases(options.bench, [{**case, "reps": 3} for case in TAIL], options.rounds)
    yield table(
        "The tail",
        ("shape", "N", "images", "p50, ms", "p95", "p99", "slowest", "slowest over p50",
         "not refined: images, p50", "refined", "by EXACT", "command"),
        [(shape(case), case["keep"], case["images"],
          *(milliseconds(line[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
          f"{line['max_ms'] / line['p50_ms']:.2f}", *ways(line), command(case))
         for case, line in zip(TAIL, lines)])


def ways(line):
    """How many images were found in each way, and the median of these."""
    counts = {"refined": line["n_refined_images"], "exact": line["n_exact_images"]}
    counts["krylov"] = line["images"] - sum(counts.values())
    return [f"{counts[way]:.0f}, {milliseconds(ms)}" if counts[way] else "0"
            for way, ms in line["p50_ms_of"].items()]


def workers(options):
    lines = runs.run_cases(options.bench, WORKERS, options.rounds)
    yield table(
        "One image over two workers",
        ("shape", "N", "workers", "ms", "by one, ms", "times as fast", "command"),
        [(shape(case), case["keep"], case["workers"], f"{line['median_ms']:.3g}",
          f"{line['plain_ms']:.3g}", f"{line['plain_ms'] / line['median_ms']:.2f}", command(case))
         for case, line in zip(WORKERS, lines)])


def dtypes(options):
    lines = runs.run_cases(options.bench, DTYPES, options.rounds)
    yield table(
        "16-bit input",
        ("shape", "N", "dtype", "ms", "as float32, ms", "ratio", "command"),
        [(shape(case), case["keep"], case["dtype"], f"{line['median_ms']:.3g}",
          f"{line['plain_ms']:.3g}", f"{line['median_ms'] / line['plain_ms']:.2f}", command(case))
         for case, line in zip(DTYPES, lines)])


def growth(options):
    lines = runs.run_cases(options.bench, GROWTH, options.rounds)
    of_one = [line["p50_ms"] / line["tokens"] for line in lines]
    yield table(
        "Growth with T",
        ("T", "ms", "ms a thousand tokens", "over the first", "not refined: images, p50",
         "refined", "by EXACT", "command"),
        [(case["tokens"], milliseconds(line["p50_ms"]), f"{1e3 * ms:.2f}", f"{ms / of_one[0]:.2f}",
          *ways(line), command(case)) for case, line, ms in zip(GROWTH, lines, of_one)])


def steps(options):
    cases = [{**case, "images": 15, "reps": 3} for pair in STEPS for case in pair]
    lines = runs.run_cases(options.bench, cases, options.rounds)
    times = [line["p50_ms"] for line in lines]
    yield table(
        "Steps between neighbours",
        ("shape, N", "ms", "neighbour", "ms", "step", "commands"),
        [(f"{shape(a)}, {a['keep']}", f"{x:.3g}", f"{shape(b)}, {b['keep']}", f"{y:.3g}",
          f"{max(x, y) / min(x, y):.2f}", f"{command(a)}, {command(b)}")
         for a, b, x, y in zip(cases[::2], cases[1::2], times[::2], times[1::2])])


def compile_bench(compiler, flags, folder):
    """-> the program, compiled with flags."""
    program = pathlib.Path(folder) / f"bench{flags.replace(' ', '')}"
    words = (f"{compiler} -std=c99 {flags} -Iinclude -Iexamples/common bench/prunesid_bench.c "
             f"examples/common/options.c -o {program} -llapacke -lopenblas -lm -pthread")
    subprocess.run(words.split(), cwd=runs.ROOT, check=True)
    return program


def builds(options):
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(compile_bench(options.cc, flags, folder), case, environment)
                for (_, flags, environment), case in itertools.product(BUILDS, BUILT)]
        lines = runs.run_all(jobs, options.rounds)
    rows = []
    for i, (label, flags, environment) in enumerate(BUILDS):
        for case, line in zip(BUILT, lines[i * len(BUILT):]):
            rows.append((label, shape(case), case["keep"], f"{line['median_ms']:.3g}",
                         f"{line['ratio']:.2f}", f"`{flags}`: {command(case, environment)}"))
    yield table(
        "Kernel levels and builds",
        ("kernels or flags", "shape", "N", "ms", "over one sgemm", "build and command"), rows)


TABLES = {make.__name__: make
          for make in (selections, tail, workers, dtypes, growth, steps, builds)}


def put_into(path, heading, markdown):
    """In the place of the first table under the heading."""
    pattern = rf"(?m)(^{re.escape(heading)}\n(?:(?!#|\|).*\n)*)(?:\|.*\n)+"
    text, n_found = re.subn(pattern, lambda found: found[1] + markdown, path.read_text(), count=1)
    if n_found == 0:
        print(f"{path} has no table under '{heading}'", file=sys.stderr)
    path.write_text(text)


def main():
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    runs.add_options(cli)
    cli.add_argument("table", nargs="*", help=f"of {', '.join(TABLES)} (default: all)")
    cli.add_argument("--into", type=pathlib.Path, metavar="FILE", help="puts them there as well")
    cli.add_argument("--cc", default="cc", help="the compiler for builds (default cc)")
    options = cli.parse_args()
    for name in options.table:
        if name not in TABLES:
            cli.error(f"no table '{name}': {', '.join(TABLES)}")
    for name in options.table or TABLES:
        for heading, markdown in TABLES[name](options):
            print(f"{heading}\n\n{markdown}", flush=True)
            if options.into:
                put_into(options.into, heading, markdown)


if __name__ == "__main__":
    main()
