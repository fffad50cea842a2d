"""The commands that only need the language: check, explain and format of a script file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.definitions import define
from airflow_provider_mlfeat.sql.deployments import long_windows
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.explain import explain as explain_plan
from airflow_provider_mlfeat.sql.format import format_sql
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE, Mode, SessionOptions, plan_query
from airflow_provider_mlfeat.sql.syntax import parse_script

ColumnReader = Callable[[s.CreateTableLike], tuple[ColumnDefinition, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command answers.

    :param text: what to print.
    :param code: the exit code: 0, or 1 when the script is refused.
    """

    text: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A query of a script.

    :param statement: its statement: Select, SelectInto or Deploy.
    :param plan: its plan, or None when it is refused.
    :param error: why it is refused.
    """

    statement: s.Statement
    plan: Plan | None = None
    error: SqlError | None = None


def bind_script(
    text: str, catalog: Catalog | None = None, database: str = "", columns_of: ColumnReader | None = None
) -> Iterator[BoundQuery]:
    """Bind a script's queries in order; definitions and SET apply to what follows them.

    An error in a statement does not stop the script: it is handed out and the next statement is looked at.

    :param text: the script.
    :param catalog: tables that exist before the script; it is changed.
    :param database: the current database at the beginning.
    :param columns_of: reads the columns of the source of CREATE TABLE … LIKE; without it the statement is an error.
    """
    catalog = catalog if catalog is not None else Catalog()
    time_zone, null_join_keys, mode = DEFAULT_TIME_ZONE, "match", "batch"
    for statement in parse_script(text):
        try:
            match statement:
                case s.SetVariable(name="time_zone"):
                    time_zone = SessionOptions(str(statement.value)).time_zone
                case s.SetVariable(name="null_join_keys"):
                    null_join_keys = str(statement.value)
                case s.SetVariable(name="execute_mode"):
                    mode = "request" if statement.value == "request" else "batch"
                case s.Select() | s.SelectInto() | s.Deploy():
                    wanted: Mode = "request" if mode == "request" or isinstance(statement, s.Deploy) else "batch"
                    buckets = long_windows(statement) if isinstance(statement, s.Deploy) else {}
                    plan = plan_query(
                        statement.query,
                        catalog,
                        mode=wanted,
                        database=database,
                        time_zone=time_zone,
                        null_join_keys=null_join_keys,
                        long_windows=buckets,
                    )
                    yield BoundQuery(statement, plan)
                case s.CreateTableLike():
                    define(_with_columns(statement, columns_of), catalog, database)
                case _:
                    database = define(statement, catalog, database)
        except SqlError as error:
            error.position = error.position or statement.position
            yield BoundQuery(statement, error=error.with_source(text))


def _with_columns(statement: s.CreateTableLike, columns_of: ColumnReader | None) -> s.CreateTable:
    if columns_of is None:
        message = f"the columns of '{statement.table}' stand in '{statement.path}', which is not read here"
        raise SqlError(message, statement.position, "Write the columns into the statement.")
    table = TableDefinition(statement.table.database, statement.table.name, columns_of(statement))
    return s.CreateTable(table, statement.if_not_exists, text=statement.text, position=statement.position)


def check(
    path: str | Path, catalog: Catalog | None = None, database: str = "", columns_of: ColumnReader | None = None
) -> Outcome:
    """Bind everything in a script; the text names each error and warning with file, line and column.

    :param path: the script.
    :param catalog: tables that exist before the script.
    :param database: the current database at the beginning.
    :param columns_of: reads the columns of the source of CREATE TABLE … LIKE; without it the statement is an error.
    """
    try:
        queries = list(bind_script(_read(path), catalog, database, columns_of))
    except SqlError as error:
        return Outcome(_message(error, path) + "\n", 1)
    errors = [query.error for query in queries if query.error is not None]
    plans = [query.plan for query in queries if query.plan is not None]
    lines = [_message(error, path) for error in errors]
    lines += [f"{path}:{warning.replace(': ', ': warning: ', 1)}" for plan in plans for warning in plan.warnings]
    lines.append(f"{path}: {_count(len(plans), 'query', 'queries')} bound, {_count(len(errors), 'error', 'errors')}")
    return Outcome("\n".join(lines) + "\n", 1 if errors else 0)


def explain(
    path: str | Path, catalog: Catalog | None = None, database: str = "", columns_of: ColumnReader | None = None
) -> Outcome:
    """The plans of a script's queries as trees; parameters are those of `check`."""
    try:
        queries = list(bind_script(_read(path), catalog, database, columns_of))
    except SqlError as error:
        return Outcome(_message(error, path) + "\n", 1)
    texts = [explain_plan(q.plan) if q.plan is not None else f"{_message(q.error, path)}\n" for q in queries]
    return Outcome("\n".join(texts), 1 if any(query.error is not None for query in queries) else 0)


def format(path: str | Path, *, write: bool = False, check_only: bool = False) -> Outcome:  # noqa: A001 - the command's name
    """The script, laid out.

    :param path: the script.
    :param write: write it back in place of printing it.
    :param check_only: print nothing but whether the file is laid out already; code 1 when it is not.
    """
    text = _read(path)
    try:
        formatted = format_sql(text)
    except SqlError as error:
        return Outcome(_message(error, path) + "\n", 1)
    if check_only:
        return Outcome("", 0) if formatted == text else Outcome(f"{path} would be formatted\n", 1)
    if not write:
        return Outcome(formatted)
    if formatted != text:
        Path(path).write_text(formatted, encoding="utf-8")
    return Outcome(f"{path} {'formatted' if formatted != text else 'unchanged'}\n")


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def _message(error: SqlError | None, path: str | Path) -> str:
    assert error is not None
    error.path = str(path)
    return str(error)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
