"""Runs of prunesid_bench for the scripts beside it: many cases, turn by turn in several rounds, so
that a busy moment of the machine hits all alike; and their medians. Standard library only."""
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build/bench/prunesid_bench"


def add_options(cli):
    cli.add_argument("--bench", default=PROGRAM, help="the program (default: in build/)")
    cli.add_argument("--rounds", type=int, default=3, help="of all cases (default 3)")


def words(case):
    """{"tokens": 576, "dtype": "f16"} -> "--tokens 576 --dtype f16"."""
    return " ".join(f"--{name} {value}" for name, value in case.items())


def run(program, case, environment=()):
    """What the program says of one case. One worker runs on one core, the last."""
    cores = sorted(os.sched_getaffinity(0))
    pinned = cores if case.get("workers", 1) > 1 else cores[-1:]
    done = subprocess.run(
        [str(program), *words(case).split(), "--json"], stdout=subprocess.PIPE, check=True,
        env={"OPENBLAS_NUM_THREADS": "1", **os.environ, **dict(environment)},
        preexec_fn=lambda: os.sched_setaffinity(0, pinned))
    return json.loads(done.stdout)


def medians(lines):
    """Of each number in several runs of a case; what is no number, from the first."""
    merged = {}
    for key, value in lines[0].items():
        values = [line[key] for line in lines]
        if isinstance(value, dict):
            merged[key] = medians(values)
        elif isinstance(value, int):
            merged[key] = statistics.median_low(values)
        elif isinstance(value, float):
            merged[key] = statistics.median(values)
        else:
            merged[key] = value
    return merged


def run_all(jobs, rounds):
    """jobs: (program, case, environment) each -> the medians of each, in their order."""
    lines = [[] for _ in jobs]
    for turn in range(rounds):
        for i, job in enumerate(jobs):
            print(f"round {turn + 1} of {rounds}, case {i + 1} of {len(jobs)}: {words(job[1])}",
                  file=sys.stderr)
            lines[i].append(run(*job))
    return [medians(of_case) for of_case in lines]


def run_cases(program, cases, rounds):
    return run_all([(program, case, ()) for case in cases], rounds)
