#!/usr/bin/env python3
"""Turns the oracle's JSON expectations into plain text that the tests read with fscanf.

    convert.py SOURCE TARGET     SOURCE/<set>/expected*.json -> TARGET/<set>/expected*.txt

A file is the number of cases, then for each case: the preset asked for and the preset used,
T d N reserved scores(0/1) kept K survivors, rho phi tau, the picks in order, and the T groups.
tau is 0 where nothing was pruned (K is 0 then).

SOURCE/<set>/represented.json becomes TARGET/<set>/expected_represented.txt: the number of cases, then
for each: N, whether of the own group (0/1), coverage, and the sum of the merged rows' elements and of
their squares; the kept tokens, the T groups, the T representatives, the counts of the kept ones.
"""
import json
import pathlib
import sys


def lines(case, asked):
    yield "{} {}".format(asked, case["preset"])
    yield " ".join(str(int(case[key])) for key in ("tokens", "dim", "budget", "reserved",
                                                   "scores", "keep", "groups", "survivors"))
    yield " ".join(repr(float(case[key] or 0)) for key in ("rho", "phi", "tau"))
    for key in ("order", "group"):
        yield " ".join(map(str, case[key]))


def represented_lines(case):
    yield " ".join(repr(case[key]) for key in ("budget", "in_group", "coverage", "sum", "square"))
    for key in ("indices", "group", "representative", "count"):
        yield " ".join(map(str, case[key]))


def main(source, target):
    for path in sorted(pathlib.Path(source).glob("*/represented.json")):
        cases = json.loads(path.read_text())["cases"]
        text = [str(len(cases))] + [line for case in cases for line in represented_lines(case)]
        out = pathlib.Path(target) / path.parent.name / "expected_represented.txt"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(text) + "\n")
    for path in sorted(pathlib.Path(source).glob("*/expected*.json")):
        content = json.loads(path.read_text())
        cases = content["cases"] if "cases" in content else [content]
        text = [str(len(cases))]
        for case in cases:
            assert sorted(case["order"]) == case["indices"] and len(case["order"]) == case["keep"]
            text += lines(case, case.get("asked", case["preset"]))
        out = pathlib.Path(target) / path.parent.name / (path.stem + ".txt")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
