"""Building a dataset on Spark: its workers go over the rows, this process puts what they wrote together."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset import partitions as p
from airflow_provider_mlfeat.dataset.leakage import Repeats
from airflow_provider_mlfeat.dataset.moments import MomentsPass
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN, Moments
from airflow_provider_mlfeat.engine.spark import running
from airflow_provider_mlfeat.engine.spark_scan import scan
from airflow_provider_mlfeat.engine.spark_session import needs_package
from airflow_provider_mlfeat.engine.spark_tasks import ERROR_MARK, FILE_COLUMN, ROW_COLUMN
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.dataset.shipping import ship_dataset_room

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.encoder import Encoder
    from airflow_provider_mlfeat.dataset.local import BuildProgress
    from airflow_provider_mlfeat.dataset.passes import FitPass, MeasurePass, Pass, Rows
    from airflow_provider_mlfeat.dataset.sink import DatasetSink
    from airflow_provider_mlfeat.dataset.source import Source

log = logging.getLogger("mlfeat.job")

# Below the dataset's folder while it is made.
PARTS_FOLDER = ".parts"
BLOCK_ROWS = 1 << 20
# What a path of Hadoop's means a pattern by.
_PATTERN = re.compile(r"[\[\]{}*?]")
_BATCH_ROWS, _BATCH_BYTES = 1 << 16, 64 << 20


class SparkWalker:
    """Goes over the rows of a source on Spark.

    :param spark: the session.
    :param source: the rows, in parquet files.
    :param paths: the files in the order of the source, as Spark reaches them.
    :param folder: the dataset's while it is made, which the workers see too.
    :param progress: where to report.
    """

    def __init__(self, spark: Any, source: Source, paths: Sequence[str], folder: Path, progress: BuildProgress) -> None:
        self._spark, self._source, self._paths = spark, source, list(paths)
        self._folder, self._progress = folder, progress
        check_readable(source.schema, self._paths)
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(_BATCH_ROWS))
        spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", str(_BATCH_BYTES))
        if needs_package(spark):
            ship_dataset_room(spark)

    def moments(self, column: str, places: Sequence[int]) -> Moments:
        """By counting the moments in ever narrower ranges, until each place is found to the last millisecond."""
        found = MomentsPass(column, places)
        while not found.is_done:
            self._gather(found, "moments", [column])
            found.narrow()
        return found.finish()

    def measure(self, measure: MeasurePass) -> None:
        """One pass."""
        self._gather(measure, "measure")

    def fit(self, fit: FitPass, rows: Rows, roles: Mapping[str, Sequence[str]]) -> list[Repeats]:
        """One pass, and one over the columns whose values must not come again."""
        self._gather(fit, "fit")
        seen = sum(fit.counts.rows.values())
        if seen != rows.count:
            raise UserError(f"the rows changed while the dataset was built: {rows.count} became {seen}")
        return self._repeats(rows, roles) if roles else []

    def write(self, rows: Rows, encoder: Encoder, sink: DatasetSink, shards: Sequence[int]) -> None:
        """Encode, shuffle into parts, and put these together in their order."""
        parts = p.Parts(rows, BLOCK_ROWS)
        folder = self._folder / PARTS_FOLDER
        folder.mkdir()
        starts = [0, *np.cumsum(shards).tolist()]
        frame, numbering = self._read(None)
        chunks = frame.mapInArrow(_task(p.EncodeTask(parts, encoder, numbering)), p.CHUNKS_DDL)
        moved = chunks.repartitionById(parts.groups * parts.each, "part")
        written = moved.mapInArrow(_task(p.AssembleTask(parts, starts, folder)), p.WRITTEN_DDL)
        with self._running("encode"):
            found = written.toArrow()
        self._progress.stage("assemble", total=rows.count)
        widths = len(encoder.id_fields), len(encoder.value_fields)
        for part, count in sorted(zip(*(column.to_pylist() for column in found.columns), strict=True)):
            path = p.part_path(folder, part)
            if not path.is_file():
                raise UserError(
                    f"this machine does not see what Spark's workers wrote into {self._folder.parent}: datasets need a "
                    "folder that all machines share"
                )
            self._put(parts, part, path, widths, sink)
            path.unlink()
            self._progress.advance(count if parts.place(part)[0] < len(SPLITS) else 0)
        files.remove(folder)

    def _put(self, parts: p.Parts, part: int, path: Path, widths: tuple[int, int], sink: DatasetSink) -> None:
        group, place = parts.place(part)
        for batch in p.read_part(path):
            if group >= len(SPLITS):
                assert sink.keys is not None
                sink.keys.write(batch, group - len(SPLITS))
                continue
            encoded, labels, features = p.decoded_rows(batch, widths, parts.rows.schema)
            shard = place if group == TRAIN and parts.is_shuffled(group) else 0
            sink.add(group, encoded, labels, np.full(len(labels), shard, np.int64), features)

    def _gather(self, one: Pass, stage: str, columns: Sequence[str] | None = None) -> None:
        """Show all rows to a pass, on the workers; what they gathered is merged there, and at last here."""
        frame, numbering = self._read(columns)
        gathered = frame.mapInArrow(_task(p.GatherTask(one, self._schema(columns), numbering)), p.PIECES_DDL)
        pieces = one.pieces()
        merged = gathered.repartitionById(len(pieces), "piece").mapInArrow(_task(p.MergeTask()), p.PIECES_DDL)
        with self._running(stage):
            found = merged.toArrow()
        for number, piece in p.unpickled(found.to_batches()):
            pieces[number].merge(piece)

    def _repeats(self, rows: Rows, roles: Mapping[str, Sequence[str]]) -> list[Repeats]:
        from pyspark.sql import functions as f

        needed = dict.fromkeys([*(name for names in roles.values() for name in names), *rows.split.columns])
        frame, numbering = self._read(list(needed))
        task = p.KeysTask(rows, list(roles.values()), self._schema(list(needed)), numbering)
        keys = frame.mapInArrow(_task(task), p.KEYS_DDL)
        splits = f.expr("bit_count(bit_or(shiftleft(1, split)))")
        each = keys.groupBy("role", "key").agg((f.count("*") - 1).alias("twice"), (splits - 1).alias("apart"))
        totals = each.groupBy("role").agg(f.sum("twice").alias("twice"), f.sum("apart").alias("apart"))
        with self._running("keys"):
            found = {row["role"]: (row["twice"], row["apart"]) for row in totals.toArrow().to_pylist()}
        return [
            Repeats(name, tuple(names), *found.get(role, (0, 0))) for role, (name, names) in enumerate(roles.items())
        ]

    def _schema(self, columns: Sequence[str] | None) -> pa.Schema:
        schema = self._source.schema
        return schema if columns is None else pa.schema([schema.field(name) for name in columns])

    def _read(self, columns: Sequence[str] | None) -> tuple[Any, p.Numbering]:
        """The rows as Spark reads them, with the numbers that say which they are."""
        found = scan(self._spark, ("", "rows"), self._paths, columns or self._source.schema.names)
        if len(self._paths) == 1:
            return found.frame, p.Numbering(ROW_COLUMN, "", {})
        uris = sorted(found.frame.inputFiles())
        starts = {number: self._start(uris[place]) for number, place in found.files.items()}
        return found.frame, p.Numbering(ROW_COLUMN, FILE_COLUMN, starts)

    def _start(self, uri: str) -> int:
        # Spark writes addresses with %20 for a blank. As it stands, one may be the name of another file.
        for name in (_plain(unquote(uri)), _plain(uri)):
            if name in self._starts:
                return self._starts[name]
        raise UserError(f"Spark read {uri}, which is none of the files that the dataset is made of")

    @cached_property
    def _starts(self) -> dict[str, int]:
        """The first row of each file, by the file's name."""
        counts = [fragment.count_rows() for fragment in self._source.table.get_fragments()]
        stops = np.cumsum(counts)
        return {_plain(path): int(stop - rows) for path, stop, rows in zip(self._paths, stops, counts, strict=True)}

    @contextlib.contextmanager
    def _running(self, stage: str) -> Iterator[None]:
        self._progress.stage(stage, unit="tasks")
        done = 0

        def report(now: int, _: int) -> None:
            nonlocal done
            self._progress.advance(now - done)
            done = now

        with running(self._spark, report):
            yield


def check_readable(schema: pa.Schema, paths: Sequence[str]) -> None:
    """Raise UserError for what this process reads and Spark does not."""
    seen: dict[str, str] = {}
    for one in schema:
        if pa.types.is_unsigned_integer(one.type) or (pa.types.is_timestamp(one.type) and one.type.unit == "ns"):
            raise UserError(f"column '{one.name}' is {one.type}, which Spark does not read; take engine 'batch'")
        if "." in one.name:
            raise UserError(f"Spark does not find column '{one.name}' because of its point; take engine 'batch'")
        if (other := seen.setdefault(one.name.lower(), one.name)) != one.name:
            raise UserError(f"columns '{other}' and '{one.name}' have one name for Spark; take engine 'batch'")
    for path in paths:
        if _PATTERN.search(path):
            raise UserError(f"Spark takes '{path}' for a pattern because of its brackets or stars; take engine 'batch'")


def _plain(name: str) -> str:
    """A file's name without the ways of writing that it is on this machine."""
    return "/" + name.removeprefix("file:").lstrip("/") if name.startswith("file:") else name


def _task(work: Callable[[Any], Iterator[pa.RecordBatch]]) -> Callable[[Any], Iterator[pa.RecordBatch]]:
    """A function for ``mapInArrow``. A user's mistake that it finds travels with a mark, so that it is known here."""
    mark, mistake = ERROR_MARK, UserError

    def run(batches: Any) -> Iterator[pa.RecordBatch]:
        try:
            yield from work(batches)
        except mistake as error:
            raise RuntimeError(f"{mark}{error}{mark}") from error

    return run
