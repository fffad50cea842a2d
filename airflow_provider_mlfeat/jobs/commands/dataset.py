"""``mlfeat dataset``: build a dataset, or look at one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.commands.storage import add_storage_arguments, storage_fields


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    build = commands.add_parser("build", help="make a dataset of a feature set", description="Make a dataset.")
    build.add_argument(
        "feature_set", metavar="FEATURE_SET", nargs="?", default="", help="NAME, NAME@3 or DATABASE.NAME"
    )
    build.add_argument("--path", default="", help="a parquet file or folder in place of a feature set")
    build.add_argument("--label", required=True, help="the label's column, 0 or 1")
    build.add_argument("--profile", choices=("recommended", "numeric", "faithful", "declared"), default="recommended")
    build.add_argument("--fields", metavar="FILE", help="a JSON file with a list of declared fields")
    build.add_argument("--split", choices=("time", "key", "random", "positional"), help="how rows are divided")
    build.add_argument("--split-column", action="append", default=[], metavar="NAME", help="of a split by key")
    build.add_argument("--key", action="append", default=[], metavar="NAME", help="a column that identifies a row")
    build.add_argument("--time", default="", metavar="NAME", help="the column with the row's time")
    build.add_argument("--drop", action="append", default=[], metavar="NAME", help="a column to leave out")
    build.add_argument("--warn", action="store_true", help="build it also when it leaks")
    build.add_argument("--engine", choices=("batch", "spark"), default="batch", help="who goes over the rows")
    build.add_argument("--master", default="", metavar="URL", help="of Spark; the default is this machine")
    build.add_argument("--output", default="", metavar="FOLDER", help="folder of all datasets")
    add_storage_arguments(build)
    build.set_defaults(execute=_build)
    show = commands.add_parser("show", help="say what a dataset holds", description="Say what a dataset holds.")
    show.add_argument("folder", metavar="FOLDER")
    show.add_argument("--check", action="store_true", help="read every file and compare its digest")
    show.set_defaults(execute=_show)


def _build(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.commands.run import run_document

    document: dict[str, Any] = {
        "kind": "build_dataset",
        **storage_fields(options),
        "feature_set": options.feature_set,
        "path": options.path,
        "label_column": options.label,
        "profile": "declared" if options.fields else options.profile,
        "fields": _fields(options.fields) if options.fields else [],
        "key_columns": options.key,
        "time_column": options.time,
        "drop_columns": options.drop,
        "leakage": "warn" if options.warn else "refuse",
        "output": options.output,
        "engine": options.engine,
        "master": options.master,
    }
    if options.split:
        document["split"] = {"kind": options.split, "columns": options.split_column}
    print(json.dumps(run_document(document), indent=1))
    return 0


def _fields(path: str) -> list[Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(found, list):
        raise UserError(f"{path} must hold a list of fields")
    return found


def _show(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.dataset.folder import Dataset
    from airflow_provider_mlfeat.jobs.tables.display import text_table

    dataset = Dataset.open(options.folder)
    if options.check:
        dataset.check()
    manifest = dataset.manifest
    print(f"dataset {manifest.fingerprint[:16]} of {manifest.feature_set['reference']}, profile {manifest.profile}")
    print(f"encoder {manifest.encoder_fingerprint[:16]}, plan {(manifest.plan_id or 'none')[:16]}\n")
    rows = [[name, manifest.rows[name], manifest.positives[name]] for name in ("train", "valid", "test")]
    print(text_table(["split", "rows", "positives"], rows) + "\n")
    fields = [[one["name"], one["column"], one["kind"], one["size"]] for one in manifest.fields]
    fields += [[one["name"], one["column"], one["kind"], ""] for one in manifest.values]
    print(text_table(["field", "column", "kind", "size"], fields))
    for one in manifest.dropped:
        print(f"left out: column '{one['column']}' {one['reason']}")
    for text in manifest.warnings:
        print(f"warning: {text}")
    return 0
