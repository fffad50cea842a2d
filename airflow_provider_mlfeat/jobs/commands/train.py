"""``mlfeat train``: train a model on a dataset."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_mlfeat.jobs.commands.storage import parse_pairs


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="the dataset's folder")
    parser.add_argument(
        "--model", default="deepfm", metavar="KIND", help="deepfm, wide_deep, lr, xgboost or module:package.name:Class"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, such as epochs=5 or dropout=0.2"
    )
    parser.add_argument("--name", default="", help="of the model; the default is its kind")
    parser.add_argument("--output", default="", metavar="FOLDER", help="folder of all models")
    parser.add_argument("--root", default="", help="where tables are; models lie in .models/ below it")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Train with progress on standard error, and print the result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document
    from airflow_provider_mlfeat.jobs.training.texts import typed_settings

    document: dict[str, Any] = {
        "kind": "train_model",
        "dataset": options.dataset,
        "model": options.model,
        "settings": typed_settings(parse_pairs(options.set, "--set", "NAME=VALUE")),
        "name": options.name,
        "output": options.output,
        "root": options.root,
    }
    print(json.dumps(run_document(document), indent=1))
    return 0
