"""What a dataset is: one JSON document, written last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

MANIFEST_FILE = "dataset.json"
VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The description of a dataset's folder.

    :param fingerprint: identity of its contents.
    :param identity: of what was asked: source, fields, split, seed; equal requests have equal ones.
    :param encoder_fingerprint: of the encoder beside it.
    :param plan_id: the feature query's; None for rows that come from a file.
    :param feature_set: where the rows come from: ``reference`` (``name@3``), ``name``, ``version``, ``uri`` and
        ``fingerprint``; for a file, its path and digest.
    :param profile: ``faithful``, ``recommended``, ``numeric`` or ``declared``.
    :param fields: of the ids matrix, in order: name, column, kind and size.
    :param values: of the values matrix, in order: name, column and kind.
    :param dropped: columns that the profile left out: column and reason.
    :param label: the label's column.
    :param keys: the columns that identify a row.
    :param rows: by split.
    :param positives: rows with label 1, by split.
    :param split: how rows were divided, with the boundaries that were found.
    :param seed: of the shuffle; None when the rows lie as they came.
    :param shards: of the training split: first row and number of rows of each part that was shuffled by itself.
    :param warnings: what the leakage checks found that is no error.
    :param files: size and SHA-256 of each file, by its path in the folder.
    :param version: of this document.
    """

    fingerprint: str
    identity: str
    encoder_fingerprint: str
    plan_id: str | None
    feature_set: dict[str, Any]
    profile: str
    fields: list[dict[str, Any]]
    values: list[dict[str, Any]]
    dropped: list[dict[str, str]]
    label: str
    keys: list[str]
    rows: dict[str, int]
    positives: dict[str, int]
    split: dict[str, Any]
    seed: int | None
    shards: list[list[int]]
    warnings: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = VERSION

    def write(self, folder: Path) -> None:
        """Write it into a dataset's folder."""
        files.write_json(folder / MANIFEST_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder; raises UserError where there is none that can be read."""
        path = folder / MANIFEST_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} is no dataset: it has no {MANIFEST_FILE}") from None
        except ValueError:
            raise UserError(f"{path} is damaged: it is no JSON") from None
        if not isinstance(document, dict) or document.get("version") != VERSION:
            raise UserError(f"{path} is of a version that this release does not read: build the dataset again")
        known = {one.name for one in fields(cls)}
        if set(document) != known:
            wrong = min(set(document) ^ known)
            raise UserError(f"{path} is damaged: its entry '{wrong}' is missing or unknown")
        return cls(**document)
