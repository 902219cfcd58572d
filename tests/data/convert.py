#!/usr/bin/env python3
"""Turns the oracle's JSON expectations into plain text that the tests read with fscanf.

    convert.py SOURCE TARGET     SOURCE/<set>/expected*.json -> TARGET/<set>/expected*.txt

A file is the number of cases, then for each case: the preset asked for and the preset used,
T d N reserved scores(0/1) kept K survivors, rho phi tau, the picks in order, and the T groups.
tau is 0 where nothing was pruned (K is 0 then).
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


def main(source, target):
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
