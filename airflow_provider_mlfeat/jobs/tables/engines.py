"""Which engine runs a query, and running it there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.jobs.spec import JobContext

if TYPE_CHECKING:
    from airflow_provider_mlfeat.sql.plan import Plan

log = logging.getLogger("mlfeat.job")

Asked = Literal["auto", "batch", "spark"]
Engine = Literal["batch", "spark"]
# Secrets of a job whose names begin so are settings of the Spark session.
SPARK_SECRET = "session."  # noqa: S105 - a prefix of names
# What the batch driver takes while it works, per byte of decoded input, and how much of the memory it may take.
_WORKING_FACTOR = 4
_SHARE_OF_MEMORY = 0.5
_CGROUP = Path("/sys/fs/cgroup")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, and why it is this one.

    :param engine: ``batch`` or ``spark``.
    :param reason: for the log.
    """

    engine: Engine
    reason: str


def choose_engine(
    asked: Asked,
    size: Callable[[], int],
    *,
    memory: Callable[[], int] | None = None,
    has_spark: bool | None = None,
) -> Choice:
    """The engine for a query.

    :param asked: what the user says.
    :param size: bytes of the columns that the query reads, decoded; asked only when it decides.
    :param memory: bytes that this process may use; the default looks at the machine.
    :param has_spark: whether Spark is installed; None looks.
    """
    if asked != "auto":
        return Choice(asked, "as asked")
    working = size() * _WORKING_FACTOR
    limit = int((memory or available_memory)() * _SHARE_OF_MEMORY)
    need = f"the query reads {_mib(working // _WORKING_FACTOR)}, so it works in about {_mib(working)}"
    if working <= limit:
        return Choice("batch", f"{need}, within the {_mib(limit)} that it may take here")
    if not (find_spec("pyspark") is not None if has_spark is None else has_spark):
        return Choice("batch", f"{need}, more than the {_mib(limit)} that it should take, but Spark is not installed")
    return Choice("spark", f"{need}, more than the {_mib(limit)} that it may take here")


def available_memory() -> int:
    """Bytes that this process may still take, as machine and container tell."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    try:
        limit, used = (
            (_CGROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
        if limit.isdigit():
            found.append(max(0, int(limit) - int(used)))
    except OSError:
        pass
    return min(found)


def decoded_bytes(dataset: Any, columns: Iterable[str]) -> int:
    """Bytes of a dataset's columns before compression, as the files' footers tell; the files' size where none do."""
    import pyarrow.dataset as ds

    if not isinstance(dataset, ds.FileSystemDataset):
        return int(getattr(dataset, "nbytes", 0))
    wanted, total = set(columns), 0
    for fragment in dataset.get_fragments():
        if not isinstance(fragment, ds.ParquetFileFragment):
            total += int(fragment.filesystem.get_file_info(fragment.path).size or 0)
            continue
        footer = fragment.metadata
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = (group.column(place) for place in range(group.num_columns))
            total += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
    return total


def run_batch_plan(plan: Plan, tables: Mapping[Any, Any], context: JobContext) -> Any:
    """The rows of a plan, computed in this process, as an Arrow table."""
    from airflow_provider_mlfeat.engine.batch import run_batch
    from airflow_provider_mlfeat.jobs.query.timings import reported_timings

    return run_batch(plan, tables, timings=reported_timings(context.progress))


def run_spark_plan(plan: Plan, tables: Mapping[Any, Any], master: str, target: Path, context: JobContext) -> list[str]:
    """Compute a plan's rows on Spark, into a folder of parquet files; the files.

    :param plan: the plan.
    :param tables: what it reads.
    :param master: Spark's master; empty is this machine.
    :param target: the folder; it must not exist.
    :param context: of the job.
    """
    from airflow_provider_mlfeat.engine.spark import run_spark

    session = spark_session(master, plan.time_zone, context)
    answer = run_spark(plan, tables, session, progress=_task_progress(context))
    answer.write_parquet(str(target))
    return _parquet_files(target)


def run_spark_text(
    sql: str, tables: Mapping[str, Any], master: str, time_zone: str, target: Path, context: JobContext
) -> list[str]:
    """Run plain Spark SQL over tables, into a folder of parquet files; the files.

    :param sql: the query.
    :param tables: parquet paths or an Arrow table, by the name of the view.
    :param master: Spark's master; empty is this machine.
    :param time_zone: the session's zone.
    :param target: the folder; it must not exist.
    :param context: of the job.
    """
    import pyarrow as pa

    from airflow_provider_mlfeat.engine.spark import running
    from airflow_provider_mlfeat.engine.spark_scan import read_parquet

    session = spark_session(master, time_zone, context)
    from pyspark.errors import AnalysisException, ParseException

    for name, stored in tables.items():
        if isinstance(stored, list):
            frame = read_parquet(session, stored)
        else:
            frame = session.createDataFrame(stored) if isinstance(stored, pa.Table) else stored
        frame.createOrReplaceTempView(name)
    try:
        answer = session.sql(sql)
        with running(session, _task_progress(context)):
            answer.write.parquet(str(target))
    except (AnalysisException, ParseException) as error:
        raise UserError(f"Spark refuses the query: {_first_lines(error)}") from None
    finally:
        for name in tables:
            session.catalog.dropTempView(name)
    return _parquet_files(target)


def spark_session(master: str, time_zone: str, context: JobContext) -> Any:
    if find_spec("pyspark") is None:
        raise MissingExtraError("spark", "engine 'spark'", "pyspark")
    from airflow_provider_mlfeat.engine.spark_session import make_session

    context.progress.stage("spark", unit="tasks")
    options = {
        name.removeprefix(SPARK_SECRET): value
        for name, value in context.secrets.items()
        if name.startswith(SPARK_SECRET)
    }
    return make_session(options.pop("spark.remote", None) or master or None, time_zone, options)


def _task_progress(context: JobContext) -> Callable[[int, int], None]:
    def report(done: int, _: int) -> None:
        context.progress.advance(done - context.progress.snapshot.done)

    return report


def _parquet_files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.parquet"))


def _first_lines(error: Exception) -> str:
    text = str(error).partition("== SQL ==")[0].partition("\nJVM stacktrace")[0]
    return " ".join(text.split())[:400]


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB" if size >= _MIB else f"{size / 1024:,.0f} KiB"
