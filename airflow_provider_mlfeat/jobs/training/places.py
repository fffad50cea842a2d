"""Where models and evaluations are kept."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.tables.store import default_root

_NAME = re.compile(r"\w[\w.-]*")


def folder_of(root: str, output: str, what: str, name: str, identity: str) -> Path:
    """The folder of a model or evaluation: its name, and below it one folder per identity.

    :param root: where tables are; folders for `what` lie beside the databases. Empty is the default.
    :param output: the folder to use in place of that.
    :param what: ``models`` or ``evaluations``.
    :param name: of the model.
    :param identity: SHA-256 of what is asked for.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a model: letters, digits, '_', '-' and '.' can")
    place = (output or root or default_root()).removeprefix("file://")
    if "://" in place:
        raise UserError(f"{what} need a local or mounted folder, and '{place}' is in an object store: give an output")
    base = Path(place).expanduser().absolute()
    # A database's name does not begin with a dot, so the two cannot meet.
    return (base if output else base / f".{what}") / name / identity[:16]
