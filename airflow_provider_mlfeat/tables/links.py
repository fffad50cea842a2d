"""Links: files that belong to a table without being copied, as long as they stay what they were.

A link is a symbolic link below the table, so that every Delta reader follows it, and a description beside it that says
what the file was when it was linked.
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

_FOLDER = "_links"


def is_link(path: str) -> bool:
    """Whether a table's file is a link."""
    return path.startswith(f"{_FOLDER}/")


def make_link(table: str, source: str, number: int) -> str:
    """Link a file into a table; the link's path below the table.

    :param table: the table's folder.
    :param source: the file.
    :param number: its place among the files of the load.
    """
    target = Path(source).absolute()
    name = f"{_FOLDER}/{number:05}-{uuid4().hex}.parquet"
    link = Path(table) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    status = target.stat()
    identity = {"path": str(target), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    files.write_json(link.with_suffix(".json"), identity | {"sha256": files.digest_file(target)})
    link.symlink_to(target)
    return name


def remove_link(table: str, path: str) -> None:
    """Take a link away."""
    link = Path(table) / path
    link.unlink(missing_ok=True)
    link.with_suffix(".json").unlink(missing_ok=True)


def resolve_link(table: str, path: str) -> str:
    """The file behind a link; UserError when it is gone or is not what it was."""
    link = Path(table) / path
    try:
        identity = json.loads(link.with_suffix(".json").read_text(encoding="utf-8"))
        status = Path(identity["path"]).stat()
    except FileNotFoundError as error:
        raise UserError(f"'{error.filename}', which a table links to (deep_copy=false), is gone") from None
    if status.st_size != identity["size"] or (
        status.st_mtime_ns != identity["mtime_ns"] and files.digest_file(Path(identity["path"])) != identity["sha256"]
    ):
        message = (
            f"'{identity['path']}' has changed since it was linked (deep_copy=false); restore the file, or load it"
        )
        raise UserError(message)
    return str(identity["path"])
