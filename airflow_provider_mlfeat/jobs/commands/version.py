"""``mlfeat version``: which code this is."""

from __future__ import annotations

import argparse
import platform

import airflow_provider_mlfeat
from airflow_provider_mlfeat.jobs.fingerprint import code_version


def register(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print version, code version and interpreter."""
    print(f"airflow-provider-mlfeat {airflow_provider_mlfeat.__version__}")
    print(f"code {code_version()}")
    print(f"python {platform.python_version()}")
    return 0
