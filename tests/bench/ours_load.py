"""LOAD DATA as a worker of the bench: `python -m tests.bench.ours_load`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.rivals.worker import serve

SQL = """CREATE TABLE events (id bigint, user_id string, at timestamp, type string, price double, number int,
    rate float, day date, session string)"""


def start(threads: int) -> tuple[Callable[..., dict[str, Any]], str]:
    """The loader with so many threads; each run makes a new table and loads one file."""
    from airflow_provider_mlfeat.sql.statements import CreateTable
    from airflow_provider_mlfeat.sql.syntax import parse_script
    from airflow_provider_mlfeat.tables.definitions import create_table
    from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
    from airflow_provider_mlfeat.tables.store import TableStore

    statement = next(iter(parse_script(SQL)))
    assert isinstance(statement, CreateTable)

    def run(source: str, out: str) -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        store = TableStore(out)
        create_table(store, statement.table)
        form: Any = Path(source).suffix[1:]
        report = load_files(store, "", "events", source, LoadOptions(format=form, threads=threads, time_zone="UTC"))
        return {"rows": report.rows_loaded}

    return run, "LOAD DATA"


if __name__ == "__main__":
    serve(start)
