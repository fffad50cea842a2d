"""Run a file of cases on one engine.

``python tests/conformance/run.py --cases FILE.jsonl --engine batch|spark|request|oracle|oracle-request``
prints the counts per feature, every failing case with what was expected and what came, and last the line
``ENGINE passed/total``. The exit code is 0 only when all cases pass apart from the documented deviations.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a script: the project's root, not this folder, is where imports start.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.conformance.cases import load_cases
from tests.conformance.drivers import ENGINES
from tests.conformance.runner import run_cases


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Run a file of language cases on one engine.")
    parser.add_argument("--cases", type=Path, required=True, help="a file with one case a line")
    parser.add_argument("--engine", choices=sorted(ENGINES), required=True)
    parser.add_argument("--json", type=Path, help="write the outcomes to this file, too")
    parser.add_argument("--only", type=re.compile, help="run the cases whose key, name or SQL this expression finds")
    options = parser.parse_args(arguments)

    cases = load_cases(options.cases)
    if options.only:
        cases = [case for case in cases if options.only.search(f"{case.key} {case.name}\n{case.sql}")]
    report = run_cases(cases, ENGINES[options.engine]())
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1, default=str), encoding="utf-8")
    print("\n".join(report.lines()))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
