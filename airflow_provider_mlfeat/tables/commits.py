"""What a table's log says of each version, under the version's own number.

Delta's own history counts back from the version that was opened, while it lists the newest entries of the log: when
another writer has committed since, or an older version was opened, every number in it is wrong. Here each entry comes
from the file that carries the number in its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable

from airflow_provider_mlfeat.tables.store import filesystem

METADATA = "mlfeat"
_LOG = "_delta_log"


@dataclass(frozen=True, slots=True)
class Commit:
    """An entry of a table's log.

    :param version: the version that it made.
    :param timestamp: when, in milliseconds.
    :param operation: what, as Delta writes it: ``WRITE``, ``RESTORE``, …
    :param parameters: of the operation.
    :param notes: what this package noted.
    """

    version: int
    timestamp: int
    operation: str
    parameters: Mapping[str, Any]
    notes: Mapping[str, Any]


def commits(table: DeltaTable, storage_options: Mapping[str, str]) -> Iterator[Commit]:
    """The entries of a table's log from the version that is open downwards, as far back as the log goes.

    :param table: the table.
    :param storage_options: access to an object store.
    """
    system = filesystem(table.table_uri.removeprefix("file://").rstrip("/"), storage_options)
    for version in range(table.version(), -1, -1):
        try:
            with system.open_input_file(f"{_LOG}/{version:020}.json") as stream:
                text = stream.read()
        except FileNotFoundError:
            # Delta takes old entries away once a checkpoint holds what they say of files.
            return
        yield _commit(version, text)


def adds(table: DeltaTable, version: int, path: str, storage_options: Mapping[str, str]) -> bool:
    """Whether the log has a version, and it was made by a commit that added a file.

    :param table: the table, at any version.
    :param version: which.
    :param path: the file, below the table.
    :param storage_options: access to an object store.
    """
    system = filesystem(table.table_uri.removeprefix("file://").rstrip("/"), storage_options)
    try:
        with system.open_input_file(f"{_LOG}/{version:020}.json") as stream:
            actions = _actions(stream.read())
    except FileNotFoundError:
        return False
    return any(unquote(action["add"]["path"]) == path for action in actions if "add" in action)


def _actions(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split(b"\n") if line.strip()]


def _commit(version: int, text: bytes) -> Commit:
    info: dict[str, Any] = next((action["commitInfo"] for action in _actions(text) if "commitInfo" in action), {})
    return Commit(
        version,
        int(info.get("timestamp") or 0),
        str(info.get("operation") or ""),
        info.get("operationParameters") or {},
        info.get(METADATA) or {},
    )
