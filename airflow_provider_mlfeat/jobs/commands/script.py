"""``mlfeat script``: run a SQL script on the tables."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from airflow_provider_mlfeat.jobs.commands.storage import add_storage_arguments, parse_pairs, storage_fields


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the script")
    add_storage_arguments(parser)
    parser.add_argument("--database", default="", help="the current database at the beginning; created when missing")
    parser.add_argument(
        "--path-map",
        action="append",
        default=[],
        metavar="THERE=HERE",
        help="what the beginning of a path in the script stands for here",
    )
    parser.add_argument("--engine", choices=("auto", "batch", "spark"), default="auto")
    parser.add_argument("--master", default="", help="Spark's master")
    parser.add_argument(
        "--functions", action="append", default=[], metavar="MODULE", help="import a module with your own functions"
    )
    parser.add_argument(
        "--load-id", default="", metavar="ID", help="name of this run; the default goes by the script and the files"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the script with progress on standard error, and print the result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document
    from airflow_provider_mlfeat.jobs.query.script import read_script

    sys.path.insert(0, str(Path.cwd()))
    document = {
        "kind": "run_script",
        **storage_fields(options),
        "sql": read_script(options.file),
        "database": options.database,
        "path_map": parse_pairs(options.path_map, "--path-map", "THERE=HERE"),
        "engine": options.engine,
        "master": options.master,
        "functions": options.functions,
        "load_id": options.load_id,
    }
    print(json.dumps(run_document(document), indent=1))
    return 0
