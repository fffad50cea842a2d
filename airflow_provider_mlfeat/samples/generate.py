"""Write a synthetic data set into a folder: the same files for the same kind, scale and seed, in bounded memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import airflow_provider_mlfeat
from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

MANIFEST = "sample.json"
KINDS = ("jd", "talkingdata")
# How many clicks the scale 1 of the fraud data has.
CLICKS = 200_000
_POPULATIONS_PER_FILE = 16
_POPULATION_ROWS = 157_000
# Called after each part with its rows; raises to stop.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A data set on disk.

    :param directory: its folder.
    :param rows: rows of each table.
    :param existed: whether an earlier call had written it.
    """

    directory: Path
    rows: dict[str, int]
    existed: bool


def generate(
    kind: str, directory: Path, scale: float = 1.0, seed: int = 0, progress: Progress = lambda rows: None
) -> Sample:
    """Write the data set, or find the one that an equal call wrote; a folder with anything else in it is refused."""
    if kind not in KINDS:
        raise UserError(f"unknown kind of data '{kind}'; there is {' and '.join(KINDS)}")
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"the scale must be a number above 0, not {scale}")
    identity = {"kind": kind, "scale": scale, "seed": seed, "version": airflow_provider_mlfeat.__version__}
    existing = _existing(directory, identity)
    if existing is not None:
        return Sample(directory, existing, existed=True)
    parts = _populations(scale, seed) if kind == "jd" else _clicks(scale, seed)
    with files.staged_directory(directory) as staging:
        rows = _write(parts, staging, "parquet" if kind == "jd" else "csv", progress)
        (staging / MANIFEST).write_text(json.dumps({**identity, "rows": rows}, indent=1))
    return Sample(directory, rows, existed=False)


def expected_rows(kind: str, scale: float) -> int:
    """About how many rows a call will write, for showing progress."""
    return round(scale * (_POPULATION_ROWS if kind == "jd" else CLICKS))


def _existing(directory: Path, identity: dict[str, object]) -> dict[str, int] | None:
    if not directory.exists():
        return None
    try:
        found = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        raise UserError(f"{directory} exists and holds no generated data; name a folder that does not exist") from None
    rows = found.pop("rows")
    if found != identity:
        raise UserError(
            f"{directory} holds {found['kind']} data of scale {found['scale']}, seed {found['seed']}, version "
            f"{found['version']}; name another folder, or delete it"
        )
    return {str(name): int(count) for name, count in rows.items()}


def _populations(scale: float, seed: int) -> Iterator[dict[str, pa.Table]]:
    from airflow_provider_mlfeat.samples.jd.tables import population

    for number in range(math.ceil(scale)):
        yield population(seed, number, min(scale - number, 1.0))


def _clicks(scale: float, seed: int) -> Iterator[dict[str, pa.Table]]:
    from airflow_provider_mlfeat.samples.talkingdata import BLOCK, block

    wanted = max(round(scale * CLICKS), 1)
    written = number = 0
    while written < wanted:
        table = block(seed, number, min(wanted - written, BLOCK))
        written, number = written + table.num_rows, number + 1
        yield {"clicks": table}


def _write(parts: Iterator[dict[str, pa.Table]], folder: Path, form: str, progress: Progress) -> dict[str, int]:
    """One folder per table, a file per few parts; only one part is in memory."""
    rows: dict[str, int] = {}
    writers: dict[str, pa.parquet.ParquetWriter | pa.csv.CSVWriter] = {}
    try:
        for number, tables in enumerate(parts):
            if number % _POPULATIONS_PER_FILE == 0:
                _close(writers)
                for name, table in tables.items():
                    (folder / name).mkdir(exist_ok=True)
                    path = folder / name / f"part-{number // _POPULATIONS_PER_FILE:05d}.{form}"
                    writers[name] = (
                        pa.parquet.ParquetWriter(path, table.schema)
                        if form == "parquet"
                        else pa.csv.CSVWriter(path, table.schema)
                    )
            for name, table in tables.items():
                writers[name].write_table(table)
                rows[name] = rows.get(name, 0) + table.num_rows
            progress(sum(table.num_rows for table in tables.values()))
    finally:
        _close(writers)
    return rows


def _close(writers: dict[str, pa.parquet.ParquetWriter | pa.csv.CSVWriter]) -> None:
    for writer in writers.values():
        writer.close()
    writers.clear()
