"""``mlfeat load``: load files into a table."""

from __future__ import annotations

import argparse
import json

from airflow_provider_mlfeat.jobs.commands.storage import add_storage_arguments, parse_pairs, storage_fields


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, folders and patterns")
    parser.add_argument("--into", required=True, metavar="TABLE", help="TABLE or DATABASE.TABLE; it must exist")
    add_storage_arguments(parser)
    parser.add_argument("--format", choices=("csv", "parquet", "orc", "json"), help="the default goes by the names")
    parser.add_argument("--mode", choices=("error_if_exists", "append", "overwrite"), default="error_if_exists")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of LOAD DATA, such as delimiter=;",
    )
    parser.add_argument("--max-bad-rows", type=int, metavar="N", help="how many rows may go into quarantine")
    parser.add_argument("--max-bad-share", type=float, metavar="SHARE", help="which share of the rows may, 0 to 1")
    parser.add_argument("--load-id", default="", metavar="ID", help="the same id is loaded into a table once")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Load with progress on standard error, and print the result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document

    document = {
        "kind": "load_table",
        **storage_fields(options),
        "table": options.into,
        "paths": options.paths,
        "format": options.format or "",
        "mode": options.mode,
        "options": _checked(parse_pairs(options.option, "--option", "NAME=VALUE")),
        "max_bad_rows": options.max_bad_rows,
        "max_bad_share": options.max_bad_share,
        "load_id": options.load_id,
    }
    print(json.dumps(run_document(document), indent=1))
    return 0


def _checked(given: dict[str, str]) -> dict[str, bool | int | str]:
    """The options as LOAD DATA reads them."""
    from airflow_provider_mlfeat.sql.options import LOAD_OPTIONS, check_option

    options = (check_option(LOAD_OPTIONS, name, value, "option of LOAD DATA", None) for name, value in given.items())
    return dict(options)
