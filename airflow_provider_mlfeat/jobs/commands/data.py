"""``mlfeat data``: generate the data of the example pipelines."""

from __future__ import annotations

import argparse
import json


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("dataset", choices=("jd", "talkingdata"), help="purchase intention, or clicks with fraud")
    parser.add_argument("directory", metavar="FOLDER", help="where it goes; equal data that is there is kept")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="1 is 13,916 requests or 200,000 clicks (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: %(default)s)")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Generate with progress on standard error, and print the result."""
    from airflow_provider_mlfeat.jobs.commands.run import run_document

    document = {
        "kind": "sample_data",
        "dataset": options.dataset,
        "directory": options.directory,
        "scale": options.scale,
        "seed": options.seed,
    }
    print(json.dumps(run_document(document), indent=1))
    return 0
