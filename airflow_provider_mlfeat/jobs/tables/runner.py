"""Carrying out the statements of a script on a store."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import JobContext
from airflow_provider_mlfeat.jobs.tables.definer import DEFINING, Definer
from airflow_provider_mlfeat.jobs.tables.display import text_table
from airflow_provider_mlfeat.jobs.tables.load import format_of, load
from airflow_provider_mlfeat.jobs.tables.store import join_name
from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.errors import SqlError, SqlUnsupportedError
from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE, SessionOptions

if TYPE_CHECKING:
    from airflow_provider_mlfeat.jobs.tables.script import RunScriptSpec

log = logging.getLogger("mlfeat.job")

_ROWS_SHOWN = 20
_SHOWING = (
    s.ShowDatabases,
    s.ShowTables,
    s.ShowTableStatus,
    s.ShowCreateTable,
    s.DescribeTable,
    s.ShowVariables,
    s.ShowJobs,
)
_ROWS = (s.LoadData, s.Insert, s.TruncateTable, s.Select, s.SelectInto, s.SetVariable)


@dataclass
class Session:
    """What SET changes.

    :param variables: the value of every variable, with the language's defaults.
    """

    variables: dict[str, Any] = field(
        default_factory=lambda: {
            "execute_mode": "offline",
            "sync_job": True,
            "time_zone": DEFAULT_TIME_ZONE,
            "null_join_keys": "match",
        }
    )

    def set(self, statement: s.SetVariable) -> str:
        """Carry out a SET."""
        changed = {**self.variables, statement.name: statement.value}
        SessionOptions(str(changed["time_zone"]), str(changed["null_join_keys"]))
        self.variables = changed
        return f"{statement.name} = {statement.value}"


class ScriptRunner:
    """Runs a script's statements in order.

    :param spec: of the job.
    :param context: of the job.
    """

    def __init__(self, spec: RunScriptSpec, context: JobContext) -> None:
        self._spec, self._context = spec, context
        self._store = spec.store(context.secrets)
        self._definer = Definer(self._store, spec.database)
        self._session = Session()
        self._touched: dict[tuple[str, str], None] = {}
        self._jobs: list[tuple[int, str, str]] = []
        self.outputs: dict[str, int] = {}
        self.rows: int | None = None

    def refuse(self, statements: Sequence[s.Statement]) -> None:
        """Raise for a statement that is not for offline tables, before anything is done."""
        mode = "offline"
        for statement in statements:
            if isinstance(statement, s.SetVariable) and statement.name == "execute_mode":
                mode = str(statement.value)
            if not isinstance(statement, (*DEFINING, *_SHOWING, *_ROWS)):
                name = " ".join(statement.text.split()[:2]).upper()
                message = f"{name} is not for offline tables, which this script runner works on"
                raise SqlUnsupportedError(message, statement.position).with_source(self._spec.sql)
            if mode != "offline" and isinstance(statement, s.LoadData | s.Insert):
                message = f"this loads in execute_mode '{mode}', but the script runner works on offline tables"
                hint = "SET @@execute_mode='offline' before it."
                raise SqlUnsupportedError(message, statement.position, hint).with_source(self._spec.sql)

    def run(self, statement: s.Statement, number: int, count: int) -> None:
        """Carry out one statement; an error says which one it was."""
        self._context.progress.metric(statement=f"{number}/{count}")
        log.info("statement %d of %d: %s", number, count, _shortened(statement.text))
        try:
            outcome = self._run(statement, number)
        except SqlError as error:
            error.position = error.position or statement.position
            raise error.with_source(self._spec.sql) from None
        except UserError as error:
            line = f", line {statement.position.line}" if statement.position else ""
            raise UserError(f"statement {number}{line}: {error}") from error
        if outcome:
            log.info("%s", outcome)

    def versions(self) -> dict[str, int]:
        """The version of each table that the script dealt with and that is there."""
        from airflow_provider_mlfeat.tables.versions import current

        catalog = self._definer.catalog
        found = [(database, name) for database, name in self._touched if catalog.find_table(database, name)]
        return {join_name(database, name): current(self._store, database, name).version for database, name in found}

    def _run(self, statement: s.Statement, number: int) -> str:
        match statement:
            case s.SetVariable():
                return self._session.set(statement)
            case s.LoadData():
                return self._load(statement, number)
            case s.Insert():
                return self._insert(statement, number)
            case s.TruncateTable():
                return self._truncate(statement)
            case s.Select():
                return self._select(statement)
            case s.SelectInto():
                return self._select_into(statement)
            case s.CreateTable() | s.DropTable():
                outcome = self._definer.define(statement)
                self._touch(statement.table.database, statement.table.name)
                return outcome
        if isinstance(statement, DEFINING):
            return self._definer.define(statement)
        from airflow_provider_mlfeat.jobs.tables.showing import show

        return show(statement, self._store, self._definer, self._session.variables, self._jobs)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, statement: s.LoadData, number: int) -> str:
        from airflow_provider_mlfeat.tables.load import LoadOptions

        database, table = self._table(statement.table)
        path = self._local(statement.path)
        others = {"format": format_of([path]), "time_zone": self._session.variables["time_zone"]}
        options = LoadOptions.from_statement(statement.options, **others)
        identity, by_contents = self._identity(statement, number, database, table)
        report = load(self._store, database, table, [path], options, identity, self._context, by_contents=by_contents)
        self._jobs.append((number, "ImportOfflineData", statement.text))
        return f"{report.rows_loaded} rows of {report.files} files in '{join_name(database, table)}'"

    def _insert(self, statement: s.Insert, number: int) -> str:
        """Rows go the way of a file of JSON lines: the same conversions, defaults and refusals as for a load."""
        from airflow_provider_mlfeat.tables.load import LoadOptions

        if statement.ignore:
            raise SqlUnsupportedError("INSERT IGNORE is not for offline tables", statement.position)
        database, table = self._table(statement.table)
        definition = self._definer.catalog.get_table(database, table)
        columns = statement.columns or tuple(column.name for column in definition.columns)
        given = {name.lower() for name in columns}
        missing = [column for column in definition.columns if column.has_default and column.name.lower() not in given]
        defaults = {column.name: column.default for column in missing}
        lines = (json.dumps(defaults | dict(zip(columns, row, strict=True))) for row in statement.rows)
        path = self._context.scratch / f"insert-{number}.json"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        options = LoadOptions(format="json", mode="append", time_zone=self._session.variables["time_zone"])
        identity, _ = self._identity(statement, number, database, table)
        report = load(self._store, database, table, [str(path)], options, identity, self._context)
        return f"{report.rows_loaded} rows in '{join_name(database, table)}'"

    def _truncate(self, statement: s.TruncateTable) -> str:
        from airflow_provider_mlfeat.tables.delta import open_table
        from airflow_provider_mlfeat.tables.store import storage_errors

        database, table = self._table(statement.table)
        with storage_errors(f"emptying table '{join_name(database, table)}'"):
            open_table(self._store, database, table).delete()
        return f"'{join_name(database, table)}' is empty"

    def _identity(self, statement: s.Statement, number: int, database: str, table: str) -> tuple[str, bool]:
        """The name of a statement that adds rows, and whether the files' contents belong to it.

        What a statement added counts until the rows are taken away as a whole; then running it again adds them again.
        """
        from airflow_provider_mlfeat.tables.commits import commits
        from airflow_provider_mlfeat.tables.delta import open_table

        opened = open_table(self._store, database, table)
        emptied = 0
        for entry in commits(opened, self._store.storage_options):
            if entry.operation in ("DELETE", "RESTORE") or str(entry.parameters.get("mode")) == "Overwrite":
                emptied = entry.version
                break
        run = self._spec.load_id or f"script-{files.digest_text(self._spec.sql)[:16]}"
        text = files.digest_text(statement.text)[:8]
        return f"{run}/{number}-{text}@{emptied}", not self._spec.load_id

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _select(self, statement: s.Select) -> str:
        answer = self._answer(statement.query)
        self.rows = answer.rows
        shown: list[list[Any]] = []
        for batch in answer.batches():
            shown += [list(row.values()) for row in batch.slice(0, _ROWS_SHOWN - len(shown)).to_pylist()]
            if len(shown) == _ROWS_SHOWN:
                break
        more = f"\n… {answer.rows} rows" if answer.rows > len(shown) else ""
        return text_table(answer.schema.names, shown) + more

    def _select_into(self, statement: s.SelectInto) -> str:
        from airflow_provider_mlfeat.tables.export import OutfileOptions, write_outfile

        path = self._local(statement.path)
        options = OutfileOptions.of(statement.options)
        answer = self._answer(statement.query)
        self._context.progress.stage("write", total=answer.rows)
        report = write_outfile(
            answer.batches(), answer.schema, path, options, progress=self._context.progress, rows=answer.rows
        )
        self.rows = report.rows
        self.outputs[path] = report.rows
        self._jobs.append((len(self._jobs) + 1, "ExportOfflineData", statement.text))
        return f"{report.rows} rows in '{path}'"

    def _answer(self, query: s.Query) -> Any:
        from airflow_provider_mlfeat.jobs.tables.answers import answer_query
        from airflow_provider_mlfeat.jobs.tables.inputs import QueryInputs

        variables = self._session.variables
        inputs = QueryInputs(self._store, self._definer.catalog, {}, self._definer.database, variables["time_zone"])
        answer = answer_query(
            query,
            inputs,
            self._context,
            engine=self._spec.engine,
            master=self._spec.master,
            null_join_keys=str(variables["null_join_keys"]),
            target=self._context.scratch / f"answer-{uuid4().hex}",
        )
        for database, table in inputs.stored:
            self._touch(database, table)
        return answer

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _table(self, name: s.TableName) -> tuple[str, str]:
        """Database and table as declared; it must exist."""
        found = self._definer.catalog.get_table(name.database or self._definer.database, name.name)
        self._touch(found.database, found.name)
        return found.database, found.name

    def _touch(self, database: str, table: str) -> None:
        found = self._definer.catalog.find_table(database or self._definer.database, table)
        if found is not None:
            self._touched[found.database, found.name] = None

    def _local(self, path: str) -> str:
        return map_path(path, self._spec.path_map)


def map_path(path: str, path_map: dict[str, str]) -> str:
    """A script's path as it is here: the longest beginning of it that the map holds gives way."""
    for beginning in sorted(path_map, key=len, reverse=True):
        folder = beginning.rstrip("/")
        if path == folder or path.startswith(f"{folder}/"):
            return path_map[beginning].rstrip("/") + path.removeprefix(folder)
    return path


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"
