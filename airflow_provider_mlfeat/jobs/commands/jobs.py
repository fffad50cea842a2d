"""``mlfeat jobs``: which jobs there are, and what their specs hold."""

from __future__ import annotations

import argparse
import inspect
import json

from airflow_provider_mlfeat.errors import MissingExtraError
from airflow_provider_mlfeat.jobs.registry import job_of, kinds


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("kind", nargs="?", help="print the JSON schema of this kind's spec")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """List kinds with their first docstring line, or print one kind's schema."""
    if options.kind:
        print(json.dumps(job_of(options.kind).spec_type.model_json_schema(), indent=1))
        return 0
    width = max(len(kind) for kind in kinds())
    for kind in kinds():
        print(f"{kind:{width}}  {_summary(kind)}")
    return 0


def _summary(kind: str) -> str:
    try:
        return (inspect.getdoc(type(job_of(kind))) or "").partition("\n")[0]
    except MissingExtraError as error:
        return f"({error})"
