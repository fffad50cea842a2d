"""``mlfeat sql``: check, explain, format and run feature SQL."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError

_ROWS_SHOWN = 20


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    for name, execute, summary in (
        ("check", _check, "bind everything in a script; names each error with file, line and column"),
        ("explain", _explain, "show the plans of a script's queries"),
        ("format", _format, "lay a script out"),
        ("run", _run, "run a script's query over files"),
        ("request", _request, "answer one request row from files as history"),
    ):
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        command.add_argument("file", metavar="FILE", help="the script")
        command.set_defaults(execute=execute)
        if name == "format":
            command.add_argument("--write", action="store_true", help="write the file in place")
            command.add_argument("--check", action="store_true", help="only tell whether the file is laid out")
            continue
        command.add_argument(
            "--table", action="append", default=[], metavar="NAME=PATH", help="a parquet or csv file, folder or pattern"
        )
        command.add_argument("--database", default="", help="the current database")
        command.add_argument(
            "--functions", action="append", default=[], metavar="MODULE", help="import a module with your own functions"
        )
        if name in ("run", "request"):
            command.add_argument("--query", type=int, metavar="N", help="which query, where the script has several")
        if name == "run":
            command.add_argument("--engine", choices=("batch", "spark"), default="batch")
            command.add_argument("--master", default="local[*]", help="Spark's master")
            command.add_argument("--memory", metavar="SIZE", help="what the batch engine may take, such as 4g")
            command.add_argument("--out", metavar="PATH", help="write parquet there instead of showing the first rows")
        if name == "request":
            command.add_argument("--request", required=True, metavar="ROW.json", help="the row: a list or an object")


def _columns_of(statement: Any) -> Any:
    """The columns of the file of a CREATE TABLE … LIKE; only a script with such a statement reads files."""
    from airflow_provider_mlfeat.jobs.query.tables import columns_of_source

    return columns_of_source(statement)


def _check(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.sql.commands import check

    return _print(check(options.file, _catalog(options), options.database, _columns_of))


def _explain(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.sql.commands import explain

    return _print(explain(options.file, _catalog(options), options.database, _columns_of))


def _format(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.query.script import read_script
    from airflow_provider_mlfeat.sql.commands import format as format_script

    read_script(options.file)
    return _print(format_script(options.file, write=options.write, check_only=options.check))


def _catalog(options: argparse.Namespace) -> Any:
    """The tables that exist beside those that the script creates."""
    from airflow_provider_mlfeat.jobs.query.script import read_script
    from airflow_provider_mlfeat.sql.catalog import Catalog

    text = read_script(options.file)
    _import_functions(options)
    if not options.table:
        # No file is looked at, so the engine's packages need not be there.
        return Catalog()
    from airflow_provider_mlfeat.jobs.query.tables import BoundTables, parse_bindings
    from airflow_provider_mlfeat.sql.syntax import parse_script

    return BoundTables(parse_bindings(options.table), tuple(parse_script(text)), options.database).catalog


def _print(outcome: Any) -> int:
    sys.stdout.write(outcome.text)
    # A script that is refused is the user's mistake.
    return 2 if outcome.code else 0


def _import_functions(options: argparse.Namespace) -> None:
    if not options.functions:
        return
    from airflow_provider_mlfeat.jobs.query.job import import_functions

    # As for a script: modules beside the caller are found.
    sys.path.insert(0, str(Path.cwd()))
    import_functions(options.functions)


def _bound(options: argparse.Namespace) -> Any:
    from airflow_provider_mlfeat.jobs.query.script import bind_query, read_script
    from airflow_provider_mlfeat.jobs.query.tables import parse_bindings

    _import_functions(options)
    return bind_query(
        read_script(options.file),
        parse_bindings(options.table),
        database=options.database,
        path=options.file,
        number=options.query,
    )


def _run(options: argparse.Namespace) -> int:
    if options.out:
        return _run_job(options)
    bound = _bound(options)
    if options.engine == "batch":
        from airflow_provider_mlfeat.engine.batch import run_batch
        from airflow_provider_mlfeat.jobs.query.job import parse_size

        table = run_batch(bound.plan, bound.tables, memory_limit=parse_size(options.memory))
    else:
        from airflow_provider_mlfeat.engine.spark import run_spark

        table = run_spark(bound.plan, bound.tables, master=options.master).to_arrow()
    rows = table.slice(0, _ROWS_SHOWN).to_pylist()
    print("\t".join(table.column_names))
    for row in rows:
        print("\t".join("NULL" if value is None else str(value) for value in row.values()))
    if table.num_rows > _ROWS_SHOWN:
        print(f"… {table.num_rows} rows; --out PATH writes them all")
    return 0


def _run_job(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.commands.run import run_document
    from airflow_provider_mlfeat.jobs.query.script import read_script
    from airflow_provider_mlfeat.jobs.query.tables import parse_bindings

    document = {
        "kind": "query",
        "sql": read_script(options.file),
        "tables": parse_bindings(options.table),
        "output": options.out,
        "engine": options.engine,
        "master": options.master,
        "database": options.database,
        "functions": options.functions,
        "memory": options.memory,
    }
    _import_functions(options)
    print(json.dumps(run_document(document), indent=1))
    return 0


def _request(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.engine.history import MemoryHistory
    from airflow_provider_mlfeat.engine.reading import read_table
    from airflow_provider_mlfeat.engine.request import RequestProgram
    from airflow_provider_mlfeat.engine.requirements import table_schemas

    bound = _bound(options)
    schemas = table_schemas(bound.plan.root)
    history = MemoryHistory(schemas)
    program = RequestProgram(bound.plan, history)
    for table, schema in schemas.items():
        history.load(table, read_table(bound.tables[table], schema, table[1]))
    answers = program.run([_row(options.request, program.request_schema)])
    names = [column.name for column in program.schema]
    print(json.dumps([dict(zip(names, answer, strict=True)) for answer in answers], indent=1, default=str))
    return 0


def _row(path: str, schema: Any) -> list[Any]:
    """The request row of a JSON file, as Python values in the table's order."""
    import datetime

    from airflow_provider_mlfeat.sql.types import Kind

    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from None
    if isinstance(document, dict):
        missing = [column.name for column in schema if column.name not in document]
        if missing:
            raise UserError(f"{path}: the request row lacks {', '.join(missing)}")
        document = [document[column.name] for column in schema]
    if not isinstance(document, list) or len(document) != len(schema):
        names = ", ".join(column.name for column in schema)
        raise UserError(f"{path}: a request row has {len(schema)} values: {names}")
    for place, column in enumerate(schema):
        if column.type.kind is Kind.DATE and isinstance(document[place], str):
            document[place] = datetime.date.fromisoformat(document[place])
    return document
