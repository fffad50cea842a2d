"""A folder that this machine can write to."""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_provider_mlfeat.errors import UserError


def require_writable_folder(folder: Path) -> None:
    """Make `folder` where it does not exist, and prove that a file can be written in it.

    :param folder: the folder.
    :raises UserError: it cannot be made, or not written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder '{folder}' cannot be made: {error.strerror}") from None
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"the folder '{folder}' cannot be written to: {error.strerror}") from None
