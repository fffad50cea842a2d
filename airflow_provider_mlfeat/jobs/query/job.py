"""A feature query over files, as a job."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec

Engine = Literal["batch", "spark"]


class QuerySpec(JobSpec):
    """Spec of `QueryJob`.

    :param kind: ``query``.
    :param sql: a script with one query; CREATE TABLE statements before it give types to the files' columns.
    :param tables: a parquet or csv file, a folder of parquet files or a pattern, by table name.
    :param output: where the answer goes: a parquet file, or on Spark a folder of them.
    :param engine: ``batch`` runs in the job's process, ``spark`` on Spark.
    :param master: Spark's master.
    :param database: the current database.
    :param functions: modules that register functions of your own.
    :param memory: what the batch engine may take for rows, such as ``4g``; more waits on disk. None is no limit.
    """

    kind: Literal["query"] = "query"
    sql: str = Field(min_length=1)
    tables: dict[str, str]
    output: str = Field(min_length=1)
    engine: Engine = "batch"
    master: str = "local[*]"
    database: str = ""
    functions: tuple[str, ...] = ()
    memory: str | None = None


class QueryResult(JobResult):
    """Result of `QueryJob`.

    :param kind: ``query``.
    :param output: where the answer is.
    :param rows: how many rows it has.
    :param columns: how many columns.
    :param plan_id: what the query means, as a number that training and serving compare.
    :param engine: which driver ran it.
    :param stages: seconds per stage of the batch driver.
    """

    kind: Literal["query"] = "query"
    output: str
    rows: int
    columns: int
    plan_id: str
    engine: Engine
    stages: dict[str, float] = Field(default_factory=dict)


class QueryJob(Job[QuerySpec, QueryResult]):
    """Run a feature query over parquet or csv files, in this process or on Spark."""

    kind: ClassVar[str] = "query"
    spec_type: ClassVar[type[JobSpec]] = QuerySpec
    result_type: ClassVar[type[JobResult]] = QueryResult

    def inputs(self, spec: QuerySpec) -> Sequence[Path]:
        """The tables' files, and the sources of the user's functions."""
        from airflow_provider_mlfeat.jobs.query.tables import files_of

        sources = [_source_of(module) for module in spec.functions]
        return [*sources, *(Path(file) for path in spec.tables.values() for file in files_of(path))]

    def run(self, spec: QuerySpec, context: JobContext) -> QueryResult:
        """Bind, run, write, and read back how many rows there are."""
        from airflow_provider_mlfeat.jobs.query.script import bind_query

        context.progress.stage("bind", unit="queries")
        import_functions(spec.functions)
        bound = bind_query(spec.sql, spec.tables, database=spec.database)
        target = Path(spec.output)
        run = _run_batch if spec.engine == "batch" else _run_spark
        stages = run(spec, bound, target, context)
        rows = _count_rows(target)
        return QueryResult(
            output=str(target),
            rows=rows,
            columns=len(bound.plan.schema),
            plan_id=bound.plan.plan_id,
            engine=spec.engine,
            stages=stages,
            artifacts=(Artifact.of("rows", target),),
        )


def parse_size(text: str | None) -> int | None:
    """Bytes of a text such as ``512m`` or ``4g``."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise UserError(f"'{text}' is no size: write a number with k, m, g or t, such as 4g")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def import_functions(modules: Sequence[str]) -> None:
    """Import the modules that register a user's functions."""
    for module in modules:
        _source_of(module)
        importlib.import_module(module)


def _source_of(module: str) -> Path:
    try:
        found = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise UserError(f"no module '{module}' with functions; is its folder on PYTHONPATH?")
    return Path(found.origin)


def _run_batch(spec: QuerySpec, bound: Any, target: Path, context: JobContext) -> dict[str, float]:
    import pyarrow.parquet as pq

    from airflow_provider_mlfeat.engine.batch import run_batch
    from airflow_provider_mlfeat.jobs.query.timings import reported_timings

    timings = reported_timings(context.progress)
    limit = parse_size(spec.memory)
    table = run_batch(bound.plan, bound.tables, timings=timings, memory_limit=limit, spill_folder=context.scratch)
    with timings.stage("write"), files.staged_file(target) as staging:
        pq.write_table(table, staging)
    return {name: round(seconds, 6) for name, seconds in timings.seconds.items()}


def _run_spark(spec: QuerySpec, bound: Any, target: Path, context: JobContext) -> dict[str, float]:
    from airflow_provider_mlfeat.engine.spark import run_spark

    if target.exists():
        if not target.is_dir() or not (target / "_SUCCESS").exists():
            raise UserError(f"{target} exists and is no earlier answer")
        files.remove(target)
    context.progress.stage("spark", unit="tasks")

    def report(done: int, _: int) -> None:
        context.progress.advance(done - context.progress.snapshot.done)

    answer = run_spark(bound.plan, bound.tables, master=spec.master, progress=report)
    staging = target.parent / f".{target.name}.{context.scratch.name}"
    try:
        answer.write_parquet(str(staging))
        staging.rename(target)
    finally:
        files.remove(staging)
    return {}


def _count_rows(target: Path) -> int:
    """Rows that are really there."""
    import pyarrow.dataset as ds

    return int(ds.dataset(str(target), format="parquet").count_rows())
