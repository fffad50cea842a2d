"""SELECT … INTO OUTFILE: an answer as a folder of csv or parquet files, written as a whole or not at all.

The parts are written to a folder beside the target, which then takes the target's place in one step (`directories`).
Beside the parts stand ``_schema.json`` (columns with their types, format, rows, the parts) and an empty ``_SUCCESS``.
Readers that know such folders pass over names that begin with ``_``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.options import OUTFILE_OPTIONS, Value, check_option
from airflow_provider_mlfeat.tables import directories
from airflow_provider_mlfeat.tables.blocks import blocks
from airflow_provider_mlfeat.tables.export_parts import Parts
from airflow_provider_mlfeat.tables.statistics import type_words
from airflow_provider_mlfeat.tables.store import storage_errors

SUCCESS = "_SUCCESS"
SCHEMA = "_schema.json"
_WITHOUT_MEANING = ("create_if_not_exists", "skip_cvt", "sql")


class Counter(Protocol):
    """Something that counts rows as they are done; a job's progress is one. It may raise to stop the work."""

    def advance(self, amount: float = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class OutfileOptions:
    """The options of INTO OUTFILE.

    :param format: ``csv`` or ``parquet``.
    :param mode: ``error_if_exists``, ``overwrite``, or ``append`` to an export of the same columns and format.
    :param delimiter: between the fields of csv.
    :param header: whether each csv file begins with the columns' names.
    :param null_value: what NULL is in csv.
    :param quote: a character around all texts of csv, '' for none; without it ``"`` stands where it is needed.
    :param coalesce: how many files; 0 makes as many as their size asks for.
    :param ignored: options that were given and mean nothing here.
    """

    format: str = "csv"
    mode: str = "error_if_exists"
    delimiter: str = ","
    header: bool = True
    null_value: str = "null"
    quote: str | None = None
    coalesce: int = 0
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Value]) -> OutfileOptions:
        """Check what a statement or a user wrote; raises UserError for what is refused."""
        what = "option of INTO OUTFILE"
        checked = dict(check_option(OUTFILE_OPTIONS, name, value, what, None) for name, value in options.items())
        ignored = tuple(sorted(name for name in checked if name in _WITHOUT_MEANING))
        meant: dict[str, Any] = {name: value for name, value in checked.items() if name not in ignored}
        made = cls(**meant, ignored=ignored)
        if made.format not in ("csv", "parquet"):
            raise UserError(f"INTO OUTFILE writes format 'csv' or 'parquet', not '{made.format}'")
        if made.quote and (made.quote in made.delimiter or made.quote in "\r\n"):
            raise UserError(f"{what} 'quote' cannot be the delimiter or a line break")
        if any(character in made.delimiter for character in "\r\n"):
            raise UserError(f"{what} 'delimiter' cannot hold a line break")
        return made

    def layout(self) -> dict[str, Any]:
        """What files of one folder have to agree in."""
        if self.format == "parquet":
            return {"format": "parquet"}
        return {"format": "csv"} | {
            name: getattr(self, name) for name in ("delimiter", "header", "null_value", "quote")
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    :param path: the folder.
    :param format: of its files.
    :param mode: how it treated what was there.
    :param rows: rows that were written now.
    :param total_rows: rows of the folder, with those that an append found.
    :param files: names of the parts that were written now.
    :param bytes: their size.
    :param columns: name and type of each column.
    :param ignored: options without meaning here.
    """

    path: str
    format: str
    mode: str
    rows: int
    total_rows: int
    files: tuple[str, ...]
    bytes: int
    columns: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...] = ()


def write_outfile(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    directory: str | Path,
    options: OutfileOptions | None = None,
    progress: Counter | None = None,
    rows: int | None = None,
) -> ExportReport:
    """Write an answer to a folder; rows keep their order in the order of the files.

    :param batches: the answer.
    :param schema: its columns.
    :param directory: a local folder, plain or as ``file://``.
    :param options: how.
    :param progress: counts rows.
    :param rows: how many rows there are, when known; with coalesce > 1 each file then holds one run of them, otherwise
        blocks of rows go to the files in turn.
    """
    options = options or OutfileOptions()
    target = _folder(directory)
    _check_names(schema)
    with storage_errors(f"writing '{target}'"):
        found = _check_target(target, options, schema)
        with directories.staged(target) as staging:
            parts = Parts(staging, schema, options, first=len(found["files"]) if found else 0)
            with parts:
                for number, block in enumerate(blocks(batches)):
                    parts.write(block, number, rows)
                    if progress is not None:
                        progress.advance(block.num_rows)
            written = parts.written()
            with directories.locked(target):
                # What is there may have changed meanwhile.
                before = _check_target(target, options, schema)
                document = _document(schema, options, _link(target, staging, before) + written)
                (staging / SCHEMA).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
                (staging / SUCCESS).touch()
                directories.put_in_place(staging, target, replace=options.mode != "error_if_exists")
    return ExportReport(
        path=str(target),
        format=options.format,
        mode=options.mode,
        rows=sum(part["rows"] for part in written),
        total_rows=document["rows"],
        files=tuple(part["name"] for part in written),
        bytes=sum(part["bytes"] for part in written),
        columns=tuple((field.name, type_words(field.type)) for field in schema),
        ignored=options.ignored,
    )


def read_schema(directory: str | Path) -> dict[str, Any]:
    """The document ``_schema.json`` of an export; raises UserError when the folder is none."""
    folder = _folder(directory)
    document = _read_schema(folder)
    if document is None:
        raise UserError(f"{folder} holds no export: there is no {SCHEMA} in it")
    return document


# ── the target ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _folder(directory: str | Path) -> Path:
    text = str(directory).removeprefix("file://")
    if "://" in text:
        raise UserError(f"INTO OUTFILE writes to local folders, not to '{text}'; a mounted store is one")
    if not text:
        raise UserError("INTO OUTFILE needs the path of a folder")
    return Path(text).expanduser().absolute()


def _check_names(schema: pa.Schema) -> None:
    seen: set[str] = set()
    for name in schema.names:
        if name in seen:
            raise UserError(f"the answer has two columns '{name}'; rename one with AS")
        seen.add(name)
    if not seen:
        raise UserError("the answer has no columns to write")


def _read_schema(folder: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(f"{folder / SCHEMA} cannot be read: {error}") from None
    return document


def _check_target(target: Path, options: OutfileOptions, schema: pa.Schema) -> dict[str, Any] | None:
    """The document of the export that is appended to; raises UserError when the mode forbids what is there."""
    if not os.path.lexists(target):
        above = next(folder for folder in target.parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{target} cannot be made, because {above} is a file")
        return None
    if options.mode == "error_if_exists":
        raise UserError(f"{target} exists; mode='overwrite' replaces it and mode='append' adds to it")
    if not target.is_dir() or target.is_symlink():
        raise UserError(f"{target} is not a folder, and INTO OUTFILE writes folders")
    document = _read_schema(target)
    if document is None and any(target.iterdir()) and not (options.mode == "overwrite" and (target / SUCCESS).exists()):
        raise UserError(f"{target} is not empty and holds no earlier export, so it is left alone; name another folder")
    if options.mode == "overwrite" or document is None:
        return None
    columns = _columns(schema)
    if document["columns"] != columns:
        raise UserError(f"{target} has other columns than the answer: {_difference(document['columns'], columns)}")
    for name, value in options.layout().items():
        if document["options"].get(name) != value:
            there = document["options"].get(name)
            raise UserError(f"{target} was written with {name}={there!r}, so {name}={value!r} cannot be appended")
    return document


def _difference(there: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    for old, new in zip(there, now, strict=False):
        if old != new:
            return f"'{old['name']}' {old['type']} is there where the answer has '{new['name']}' {new['type']}"
    return f"{len(there)} are there, and the answer has {len(now)}"


def _link(target: Path, staging: Path, before: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The files of an export in another folder too, without a copy where the file system can do that."""
    found: list[dict[str, Any]] = before["files"] if before else []
    for part in found:
        try:
            os.link(target / part["name"], staging / part["name"])
        except FileNotFoundError:
            raise UserError(f"{target} lacks its file '{part['name']}'; mode='overwrite' makes it anew") from None
        except OSError:
            shutil.copyfile(target / part["name"], staging / part["name"])
    return found


def _columns(schema: pa.Schema) -> list[dict[str, Any]]:
    return [{"name": field.name, "type": type_words(field.type), "arrow": str(field.type)} for field in schema]


def _document(schema: pa.Schema, options: OutfileOptions, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "columns": _columns(schema),
        "options": options.layout(),
        "rows": sum(part["rows"] for part in parts),
        "files": parts,
    }
