#!/usr/bin/env python3
"""Breaks the header in one place at a time and counts how often a test notices.

    tests/mutate.py [--count 150] [--jobs 2] [--only TEXT] [--list]

A mutant is a replacement of text that has to be there: the list HAND, and places in the
implementation that RULES find (a comparison flipped, one off, a check dropped), evenly
spaced so that there are as many as asked for. The header is compiled alone and linked with
tests that were compiled once, and last into those that look at private names; the first test that
fails, crashes or hangs kills the mutant. Prints the survivors and the share killed. Needs gcc and
what the tests need. MIT licence.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The quick ones first.
TESTS = ["group", "quotas", "gather", "redundancy", "threshold", "faults", "errors", "budgets",
         "positions", "nms", "batch", "torture", "properties", "select"]
INLINE = ["verdict", "merge", "kernels", "lapack", "psca"]  # see private names, or are LAPACK
SECONDS = 60  # of a test: beyond it hangs

HAND = [
    ("x = x < -700.0 ? -700.0 : x;", ""),
    ("x = x > 700.0 ? 700.0 : x;", ""),
    ("(size_t)indices[j] >= n_rows", "(size_t)indices[j] > n_rows"),
    ("rows == out && j > 0 && indices[j] <= indices[j - 1]",
     "rows == out && j > 0 && indices[j] < indices[j - 1]"),
    ("if (rows == out && row_stride_bytes != out_stride_bytes) return PRUNESID_ERROR_STRIDE;", ""),
    ("if (batch->config.reserved >= INT32_MAX) return PRUNESID_ERROR_RESERVED;", ""),
    ("if (config->reserved >= config->budget) return PRUNESID_ERROR_RESERVED;", ""),
    ("PRUNESID_TAKE_(job->ranking, prunesid_rank_, prunesid_max_(T, K));",
     "PRUNESID_TAKE_(job->ranking, prunesid_rank_, 1);"),
    ("if (rule == PRUNESID_TAU_PAIRS) return (double)N / 32.0 * information->rho;",
     "if (rule == PRUNESID_TAU_PAIRS) return (double)N / 31.0 * information->rho;"),
    ("const double lambda = 18.0 * (double)N / (double)T;",
     "const double lambda = 17.0 * (double)N / (double)T;"),
    ("return (lambda > 1.0 ? lambda : 1.0) * information->rho_cells;",
     "return lambda * information->rho_cells;"),
    # What float32 cannot decide: one of the decisions taken another way.
    ("gap = fabs(theta_k - theta_l);", "gap = theta_k - theta_l;"),
    ("return pair < gap ? pair / gap : 1.0;", "return pair < gap ? pair / gap : 0.0;"),
    ("return sqrt(square) + job->outside[k];", "return 0.0 * (square + job->outside[k]);"),
    ("if (job->key[i] - second > 2.0 * most || !(job->key[i] > 0.0)) continue;",
     "if (job->key[i] - second > 0.0 * most || !(job->key[i] > 0.0)) continue;"),
    ("if (fabs(v[k]) + prunesid_loading_error_(job, i, k) < lowest) continue;",
     "if (v[k] + prunesid_loading_error_(job, i, k) < lowest) continue;"),
    ("if (excess <= 1.0 && !has_started_again && prunesid_has_cluster_(job, b)) {",
     "if (excess <= 1.0 && !has_started_again && prunesid_has_cluster_(job, 4 * b)) {"),
    ("if (prunesid_has_cluster_(job, 2 * b)) return 0;", "if (w == 4321) return 0;"),
    ("if (!(prunesid_ritz_value_(job, K - 1) > PRUNESID_RESOLVED_ * first)) return 0;", ""),
    ("while (found < k && values[k - 1 - found] > least) found++;", "found = k;"),
    ("if (excess <= 1.0) {", "if (excess <= 1000.0) {"),
    ("if (!is_new && is_done && r->is_float64) return 0;", "if (!is_new && is_done) return 0;"),
    ("if (!is_new && r->n_passes == PRUNESID_PASSES_) return -1;", ""),
    ("if (ahead > job->error[j] + largest && ahead > PRUNESID_ALIKE_ * job->key[i]) break;",
     "if (ahead > 0.0) break;"),
    ("if (!prunesid_order_matters_(job, i, j, tau, wants_order)) continue;",
     "if (b + 1 == c) continue;"),
    ("*has_changed |= prunesid_level_(job, i, j);", ""),
    ("if (n_open == 0 || !prunesid_improve_components_(job, &stats, &status)) break;", "break;"),
    # Ties, and what the reference rounds otherwise.
    ("if (*who >= 0 && (cosine < *nearest || (cosine <= *nearest && j > *who))) return;",
     "if (*who >= 0 && cosine <= *nearest) return;"),
    ("const double doubt = 2.0 * (terms + 8.0) * PRUNESID_U_;", "const double doubt = 0.0 * terms;"),
]

RULES = [
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "),
    (r" == ", " != "), (r" && ", " || "), (r" \+ 1\b", ""), (r" - 1\b", ""),
    (r"\b0\.0\b", "1.0"), (r"\bi = 0;", "i = 1;"),
    (r"^    if \([^\n]*\) return PRUNESID_ERROR_\w+;$", "    ;"),
    (r"^    PRUNESID_TRY_\([^\n]*\);$", "    ;"),
    (r"\+= ", "-= "), (r"\bbreak;", ";"), (r"\bcontinue;", ";"),
]


def sections(text):
    """Yields name, begin, end of every section that a tag opens in the implementation."""
    tags = list(re.finditer(r"^/\* -+ >>(\w+)", text, re.M))
    for tag, after in zip(tags, tags[1:] + [None]):
        yield tag.group(1), tag.end(), after.start() if after else len(text)


def mutants(text, count):
    found = []
    for old, new in HAND:
        if text.count(old) != 1:
            sys.exit(f"mutate.py: {text.count(old)} times, not once: {old!r}")
        at = text.index(old)
        found.append(("hand", at, at + len(old), new))
    places = []
    comments = [match.span() for match in re.finditer(r"/\*.*?\*/", text, re.S)]
    for name, begin, end in sections(text):
        code = text[begin:end]
        for pattern, new in RULES:
            for match in re.finditer(pattern, code, re.M):
                if not any(a <= begin + match.start() < b for a, b in comments):
                    places.append((name, begin + match.start(), begin + match.end(), new))
    places.sort(key=lambda place: place[1])
    step = max(1.0, len(places) / max(1, count - len(found)))
    chosen = [places[int(i * step)] for i in range(int(len(places) / step))]
    return found + chosen


def describe(text, mutant):
    name, begin, end, new = mutant
    line = text.count("\n", 0, begin) + 1
    whole = text[text.rfind("\n", 0, begin) + 1:text.find("\n", end)].strip()
    return f"{name}, line {line}: {text[begin:end].strip()!r} -> {new.strip()!r} in: {whole}"


def compile_test(name, objects, *flags):
    run = ["gcc", "-std=c99", "-w", *flags, f'-DPRUNESID_TEST_DATA="{ROOT}/tests/data"',
           f'-DPRUNESID_EXAMPLES_DATA="{ROOT}/examples/data"', f"-I{ROOT}/include",
           f"-I{ROOT}/examples/common", "-c", f"{ROOT}/tests/test_{name}.c", "-o",
           f"{objects}/{name}.o"]
    subprocess.run(run, check=True)


def fails(name, objects):
    """Whether that test, of these objects, fails, crashes or hangs."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", PRUNESID_TEST_RUNS="20")
    if name == "select":
        del environment["PRUNESID_TEST_RUNS"]  # it would try more, not fewer
    program = f"{objects[-1]}.test"
    subprocess.run(["gcc", *objects, "-o", program, "-lcmocka", "-llapacke", "-lopenblas", "-lm",
                    "-lpthread"], check=True)
    try:
        return subprocess.run([program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False, timeout=SECONDS, env=environment).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def try_header(text, objects):
    """The test that fails, None if all pass, "compiler" if this is no C."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "prunesid.h").write_text(text, encoding="ascii")
        pathlib.Path(folder, "unit.c").write_text(
            '#define PRUNESID_IMPLEMENTATION\n#include "prunesid.h"\n', encoding="ascii")
        built = subprocess.run(["gcc", "-std=c99", "-w", "-O1", f"-I{folder}", "-c",
                                f"{folder}/unit.c", "-o", f"{folder}/unit.o"],
                               capture_output=True, check=False)
        if built.returncode != 0:
            return "compiler"
        for name in TESTS:
            if fails(name, [f"{objects}/{name}.o", f"{folder}/unit.o"]):
                return name
        for name in INLINE:
            compile_test(name, folder, "-O1", f"-I{folder}")
            if fails(name, [f"{folder}/{name}.o"]):
                return name
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants whose description holds this")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    given = parser.parse_args()
    text = (ROOT / "include/prunesid.h").read_text(encoding="ascii")
    chosen = [m for m in mutants(text, given.count) if given.only in describe(text, m)]
    if given.list:
        print("\n".join(describe(text, mutant) for mutant in chosen))
        print(f"{len(chosen)} mutants")
        return
    with tempfile.TemporaryDirectory() as objects:
        for name in TESTS:
            compile_test(name, objects, "-O2", "-DPRUNESID_DECLARATIONS")
        failing = try_header(text, objects)
        if failing is not None:
            sys.exit(f"mutate.py: {failing} fails on the header as it is")
        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            results = []
            for by in pool.map(
                    lambda m: try_header(text[:m[1]] + m[3] + text[m[2]:], objects), chosen):
                results.append(by)
                print(f"{len(results)} of {len(chosen)}: {by or 'survives'}", file=sys.stderr)
    tried = [(m, by) for m, by in zip(chosen, results) if by != "compiler"]
    survivors = [m for m, by in tried if by is None]
    for mutant in survivors:
        print("survives:", describe(text, mutant))
    killed = len(tried) - len(survivors)
    print(f"{killed} of {len(tried)} mutants killed, {100.0 * killed / max(1, len(tried)):.0f} %"
          f" ({len(chosen) - len(tried)} do not compile)")


main()
