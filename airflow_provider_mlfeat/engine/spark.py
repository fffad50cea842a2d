"""The Spark driver: a plan over tables that Spark reads, on one machine or many.

The plan is cut into fragments (``spark_fragments``). Spark scans the tables, prunes columns and shuffles; what happens
to rows inside a partition is the batch driver's work (``spark_tasks``). All fragments of one level run in one stage,
so that a query of several windows over several keys costs one shuffle, and one more for the joins above them.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.engine import spark_bootstrap
from airflow_provider_mlfeat.engine.column import arrow_type
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_planning import (
    SparkOptions,
    plan_job,
    sampled_tables,
    splittable_fragments,
    with_hot_keys,
)
from airflow_provider_mlfeat.engine.spark_ports import SINGLE_ROW, Table
from airflow_provider_mlfeat.engine.spark_relations import narrowed
from airflow_provider_mlfeat.engine.spark_scan import Scan, scan
from airflow_provider_mlfeat.engine.spark_session import (
    is_connect,
    make_session,
    needs_package,
    parallelism,
    ship_package,
)
from airflow_provider_mlfeat.engine.spark_tasks import (
    CHUNK_BYTES,
    CHUNK_DDL,
    ERROR_MARK,
    SAMPLE_DDL,
    SAMPLE_SCHEMA,
    answer_columns,
    chunks_in_memory,
    sample_in_memory,
)
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

SAMPLE_ROWS = 200_000
PROGRESS_SECONDS = 0.5
CANCEL_SECONDS = 0.2
_ONE_ROW = pa.table([pa.nulls(1)], names=["nothing"])

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SparkResult:
    """An answer that Spark has yet to compute.

    :param frame: the answer as a lazy DataFrame; its rows are in no particular order.
    :param schema: its columns in the language's types.
    :param job: what the workers are told.
    :param plan_id: of the query.
    :param progress: called with tasks done and tasks known while an action runs.
    """

    frame: Any
    schema: plan.Schema
    job: Job
    plan_id: str
    progress: Progress | None = None

    def to_arrow(self) -> pa.Table:
        """Compute the answer and bring it into this process."""
        with running(self.frame.sparkSession, self.progress):
            rows = self.frame.toArrow()
        types = [arrow_type(column.type) for column in self.schema]
        arrays = [rows.column(place).cast(kind, safe=False) for place, kind in enumerate(types)]
        return pa.Table.from_arrays(arrays, names=[column.name for column in self.schema])

    def write_parquet(self, path: str, mode: str = "errorifexists") -> None:
        """Compute the answer into a folder of parquet files, complete when ``_SUCCESS`` is there.

        Every file says which plan it comes from: Spark lets nobody write into a footer, but keeps what is noted of a
        column, so the first column carries the ``plan_id``.
        """
        with running(self.frame.sparkSession, self.progress):
            noted = self.frame.withMetadata(self.schema[0].name, {"plan_id": self.plan_id})
            noted.write.mode(mode).parquet(path)


def run_spark(
    query: plan.Plan,
    tables: Mapping[Any, Any],
    spark: Any = None,
    master: str | None = None,
    parameters: Sequence[Any] = (),
    progress: Progress | None = None,
    options: SparkOptions | None = None,
) -> SparkResult:
    """A plan as a Spark query; nothing but counts and samples is computed before the result is asked for.

    :param query: the plan.
    :param tables: the stored tables by ``(database, table)`` or name: parquet paths, DataFrames, or Arrow tables.
    :param spark: the session to use; None makes one.
    :param master: where the session that is made runs (``local[*]``, ``spark://…``, ``sc://…``).
    :param parameters: values of the query's ``?``.
    :param progress: called with tasks done and tasks known while the result is computed.
    :param options: how to spread the work.
    """
    options = options or SparkOptions()
    spark = spark or make_session(master, query.time_zone)
    spark.conf.set("spark.sql.session.timeZone", query.time_zone)
    if needs_package(spark):
        ship_package(spark)
    with _sentences():
        root = narrowed(prune(query.root, range(len(query.root.schema))))
        wanted = _columns(root)
        scans = {table: scan(spark, table, _stored(tables, table), columns) for table, columns in wanted.items()}
        counts = {table: found.rows for table, found in scans.items() if found.rows is not None}
        files = {table: found.files for table, found in scans.items() if found.files}
        job = plan_job(replace(query, root=root), counts, files, tuple(parameters), parallelism(spark), options)
        splittable = splittable_fragments(job, options)
        if splittable:
            job = with_hot_keys(job, splittable, _sampled(spark, job, scans, splittable))
        if job.stream_bytes:
            # Chunks reach a worker in batches, which must not be larger than what it may hold.
            spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", str(min(job.stream_bytes, CHUNK_BYTES)))
        frame = _frame(spark, job, scans)
    names = [column.name for column in query.schema]
    return SparkResult(frame.toDF(*names), query.schema, job, query.plan_id, progress)


def _sampled(spark: Any, job: Job, scans: Mapping[Table, Scan], splittable: Sequence[int]) -> pa.Table:
    """(fragment, hash of the key, time) of sampled rows of the fragments that can be split, in one Spark job."""
    text = job.to_json()
    tables = sampled_tables(job, splittable)
    total = max(1, sum(scans[table].rows or 0 for table in tables))
    samples: list[pa.Table] = []
    frames: list[Any] = []
    for table in tables:
        found = scans[table]
        if found.memory is not None:
            samples.append(sample_in_memory(job, table, found.memory, splittable))
        else:
            part = found.frame.sample(fraction=min(1.0, SAMPLE_ROWS / total), seed=1)
            frames.append(part.mapInArrow(_worker("sample_task", text, table, tuple(splittable)), SAMPLE_DDL))
    if frames:
        samples.append(reduce(lambda left, right: left.union(right), frames).toArrow().cast(SAMPLE_SCHEMA))
    return pa.concat_tables(samples)


# ── the DataFrame ───────────────────────────────────────────────────────────────────────────────────────────────────


def _frame(spark: Any, job: Job, scans: Mapping[Table, Scan]) -> Any:
    """The lazy DataFrame of a job's answer."""
    text = job.to_json()
    answer = ", ".join(f"c{place} {_SPARK_TYPES[str(column.type)]}" for place, column in enumerate(answer_columns(job)))
    schema = answer if job.levels == 0 else CHUNK_DDL
    frames = []
    for table in dict.fromkeys(fragment.table for fragment in job.fragments if fragment.table is not None):
        memory = _ONE_ROW if table == SINGLE_ROW else scans[table].memory
        if memory is None:
            frames.append(scans[table].frame.mapInArrow(_worker("map_task", text, table), schema))
        else:
            frames.append(_memory_frame(spark, chunks_in_memory(job, table, memory), schema))
    moved = reduce(lambda left, right: left.union(right), frames)
    for level in range(1, job.levels + 1):
        width = job.width(level)
        if level == width == 1 and all(found.memory is not None for found in scans.values()):
            # All rows came from this process, and all go to one task: no shuffle at all.
            moved = moved.coalesce(1)
        else:
            moved = moved.repartitionById(width, "target")
        if job.stream_bytes:
            # By their marks; those without one come first.
            moved = moved.sortWithinPartitions("key", "time")
        schema = answer if level == job.levels else CHUNK_DDL
        moved = moved.mapInArrow(_worker("level_task", text, level, "partition"), schema)
    return moved


def _memory_frame(spark: Any, rows: pa.Table, schema: str) -> Any:
    return spark.createDataFrame(rows, schema) if rows.num_rows else spark.createDataFrame([], schema)


def _worker(entry: str, *arguments: Any) -> Callable[..., Any]:
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(spark_bootstrap)
    return spark_bootstrap.worker_function(entry, *arguments)


_SPARK_TYPES = {
    "bool": "boolean",
    "smallint": "smallint",
    "int": "int",
    "bigint": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "null": "void",
}


def _columns(root: plan.Relation) -> dict[Table, list[str]]:
    """The columns that are read of every stored table."""
    found: dict[Table, dict[str, None]] = {}

    def visit(relation: plan.Relation) -> None:
        if isinstance(relation, plan.Source):
            names = found.setdefault((relation.database, relation.table), {})
            names.update(dict.fromkeys(column.name for column in relation.schema))
        for part in inputs_of(relation):
            visit(part)

    visit(root)
    return {table: list(names) for table, names in found.items()}


def _stored(tables: Mapping[Any, Any], table: Table) -> Any:
    for name in (table, ".".join(part for part in table if part), table[1] if not table[0] else table):
        if name in tables:
            return tables[name]
    raise DataRuleError("nobody said where this table is stored", ".".join(part for part in table if part))


# ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def running(spark: Any, progress: Progress | None = None) -> Iterator[str]:
    """Run actions under one job group, report their progress, and cancel them when this process is told to stop.

    The thread that waits for an action must not be torn out of its conversation with the JVM, or both lose their
    place in it. So SIGTERM only makes another thread cancel the group; the action then fails, and this leaves the
    process as SIGTERM asks for.
    """
    group = f"mlfeat-{uuid.uuid4()}"
    finished, told = threading.Event(), threading.Event()
    if is_connect(spark):
        spark.addTag(group)
    else:
        spark.sparkContext.setJobGroup(group, "feature SQL", interruptOnCancel=True)
    threads = [threading.Thread(target=_cancel_when_told, args=(spark, group, told, finished), daemon=True)]
    if progress is not None and not is_connect(spark):
        threads.append(threading.Thread(target=_watch, args=(spark, group, progress, finished), daemon=True))
    for thread in threads:
        thread.start()
    try:
        with _on_terminate(told.set), _sentences(), _told_by_server(spark, progress):
            yield group
    except BaseException:
        told.set()
        raise
    finally:
        finished.set()
        for thread in threads:
            thread.join()
        if is_connect(spark):
            spark.removeTag(group)
        else:
            spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def cancel(spark: Any, group: str) -> None:
    """Stop what runs under a job group."""
    if is_connect(spark):
        spark.interruptTag(group)
    else:
        spark.sparkContext.cancelJobGroup(group)


def _cancel_when_told(spark: Any, group: str, told: threading.Event, finished: threading.Event) -> None:
    """Cancel until the action is over: a query may start another job after the one that was cancelled."""
    while not finished.wait(CANCEL_SECONDS):
        if told.is_set():
            cancel(spark, group)


def _watch(spark: Any, group: str, progress: Progress, finished: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not finished.wait(PROGRESS_SECONDS):
        stages = [
            stage
            for job in tracker.getJobIdsForGroup(group)
            if (info := tracker.getJobInfo(job)) is not None
            for number in info.stageIds
            if (stage := tracker.getStageInfo(number)) is not None
        ]
        progress(sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages))


@contextlib.contextmanager
def _told_by_server(spark: Any, progress: Progress | None) -> Iterator[None]:
    """Have a Spark Connect server report the progress of what runs; its answers carry it every other second."""
    if progress is None or not is_connect(spark):
        yield
        return

    def handler(stages: Sequence[Any] | None, **_: object) -> None:
        if stages:
            progress(sum(stage.num_completed_tasks for stage in stages), sum(stage.num_tasks for stage in stages))

    spark.registerProgressHandler(handler)
    try:
        yield
    finally:
        spark.removeProgressHandler(handler)


@contextlib.contextmanager
def _on_terminate(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM and exit when the block ends, where this thread may decide that and nobody else has."""
    in_charge = threading.current_thread() is threading.main_thread()
    if not in_charge or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        stop()

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    except Exception:
        if not received:
            raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if received:
        raise SystemExit(128 + received[0])


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Turn what Spark makes of a worker's data error back into that error's one sentence."""
    try:
        yield
    except Exception as error:
        parts = str(error).split(ERROR_MARK)
        if len(parts) >= 3:
            raise DataRuleError(parts[1]) from None
        raise
