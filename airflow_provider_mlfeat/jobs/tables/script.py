"""A whole script of the feature language on the tables, statement by statement."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec


class RunScriptSpec(TableJobSpec):
    """Spec of `RunScriptJob`.

    :param kind: ``run_script``.
    :param sql: the script.
    :param database: the current database at the beginning; it is created when it does not exist.
    :param path_map: what beginnings of paths in the script stand for here; the longest that fits holds.
    :param engine: ``auto``, ``batch`` or ``spark``, for the script's queries.
    :param master: Spark's master; empty is this machine.
    :param functions: modules that register functions of your own.
    :param load_id: name of this run; what it has loaded or inserted is not loaded or inserted again. Empty goes by
        the script's text and the files' contents.
    """

    kind: Literal["run_script"] = "run_script"
    sql: str = Field(min_length=1)
    database: str = ""
    path_map: dict[str, str] = Field(default_factory=dict)
    engine: Literal["auto", "batch", "spark"] = "auto"
    master: str = ""
    functions: tuple[str, ...] = ()
    load_id: str = ""


class RunScriptResult(JobResult):
    """Result of `RunScriptJob`.

    :param kind: ``run_script``.
    :param statements: how many there were.
    :param tables: the version of each table that the script created, changed or read.
    :param outputs: rows of each folder that INTO OUTFILE wrote.
    :param rows: rows of the last query; None without one.
    """

    kind: Literal["run_script"] = "run_script"
    statements: int
    tables: dict[str, int]
    outputs: dict[str, int]
    rows: int | None


class RunScriptJob(Job[RunScriptSpec, RunScriptResult]):
    """Run a SQL script on the tables: create, load, query, export; running it again doubles nothing."""

    kind: ClassVar[str] = "run_script"
    spec_type: ClassVar[type[JobSpec]] = RunScriptSpec
    result_type: ClassVar[type[JobResult]] = RunScriptResult

    def is_cacheable(self, spec: RunScriptSpec) -> bool:
        """No: each statement looks at the tables itself."""
        return False

    def run(self, spec: RunScriptSpec, context: JobContext) -> RunScriptResult:
        """Read the whole script first, so that a mistake in its last line costs no work; then carry it out."""
        from airflow_provider_mlfeat.jobs.query.job import import_functions
        from airflow_provider_mlfeat.jobs.tables.runner import ScriptRunner
        from airflow_provider_mlfeat.sql.syntax import parse_script

        import_functions(spec.functions)
        statements = parse_script(spec.sql)
        runner = ScriptRunner(spec, context)
        runner.refuse(statements)
        for number, statement in enumerate(statements, 1):
            runner.run(statement, number, len(statements))
        return RunScriptResult(
            statements=len(statements), tables=runner.versions(), outputs=runner.outputs, rows=runner.rows
        )
