"""``mlfeat evaluate``: judge a model on a split of a dataset."""

from __future__ import annotations

import argparse
import json


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="the model's folder")
    parser.add_argument("dataset", metavar="DATASET", help="the dataset's folder")
    parser.add_argument("--split", choices=("test", "valid", "train"), default="test")
    parser.add_argument(
        "--encoder",
        choices=("same", "model"),
        default="same",
        help="'model' encodes the raw features anew, for a model of another dataset",
    )
    parser.add_argument("--slice", action="append", default=[], metavar="COLUMN", help="look at a feature by value")
    parser.add_argument("--output", default="", metavar="FOLDER", help="folder of all evaluations")
    parser.add_argument("--root", default="", help="where tables are; evaluations lie in .evaluations/ below it")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Evaluate with progress on standard error, and print the result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document

    document = {
        "kind": "evaluate_model",
        "model": options.model,
        "dataset": options.dataset,
        "split": options.split,
        "encoder": options.encoder,
        "slices": options.slice,
        "output": options.output,
        "root": options.root,
    }
    print(json.dumps(run_document(document), indent=1))
    return 0
