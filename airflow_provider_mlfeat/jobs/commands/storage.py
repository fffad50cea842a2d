"""The arguments of commands on tables: where the tables are."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_provider_mlfeat.errors import UserError


def add_storage_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--root`` and ``--storage``."""
    parser.add_argument(
        "--root",
        default="",
        metavar="PATH",
        help="folder or object-store prefix of the tables; the default is $MLFEAT_TABLES, else ~/.mlfeat/tables",
    )
    parser.add_argument(
        "--storage",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the object store, such as AWS_REGION=eu-central-1; secrets come from the environment",
    )


def storage_fields(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments as fields of a spec."""
    return {"root": options.root, "storage_options": parse_pairs(options.storage, "--storage", "NAME=VALUE")}


def parse_pairs(given: list[str], argument: str, form: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping."""
    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise UserError(f"{argument} takes {form}, not '{text}'")
        pairs[name] = value
    return pairs
