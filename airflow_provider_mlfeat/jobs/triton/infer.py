"""Score rows on Triton: encode here, ask there, write the scores beside the rows' keys."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.file_manifest import expand
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec
from airflow_provider_mlfeat.jobs.triton.place import TritonSpec
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.fleet import Fleet, ready_versions
from airflow_provider_mlfeat.serving.triton.golden import OUTPUT
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from airflow_provider_mlfeat.dataset.encoder import Encoder

log = logging.getLogger("mlfeat.job")
_TRIES = 5


class TritonInferSpec(TritonSpec, TableJobSpec):
    """Spec of `TritonInferJob`.

    :param kind: ``triton_infer``.
    :param triton_model: the model's name in Triton.
    :param triton_version: its version; None is the highest that is ready, found once for all rows.
    :param model: the model folder: its encoder turns rows into what the model takes.
    :param input: the rows' features: Parquet files, folders and patterns, or one ``table:NAME@VERSION`` or
        ``delta:PATH@VERSION``.
    :param feature_set: the rows, in place of `input`: ``name``, ``name@3`` or ``database.name@3``.
    :param output: the Parquet file to write.
    :param keys: columns of the rows that go beside the scores.
    :param batch_rows: rows of one request.
    :param concurrency: requests that are under way at the same time.
    """

    kind: Literal["triton_infer"] = "triton_infer"
    triton_model: str = Field(min_length=1)
    triton_version: int | None = None
    model: str = Field(min_length=1)
    input: tuple[str, ...] = ()
    feature_set: str = ""
    output: str = Field(min_length=1)
    keys: tuple[str, ...] = ()
    batch_rows: int = Field(default=1024, ge=1)
    concurrency: int = Field(default=4, ge=1, le=256)


class TritonInferResult(JobResult):
    """Result of `TritonInferJob`.

    :param kind: ``triton_infer``.
    :param triton_model: the model's name in Triton.
    :param triton_version: the version that answered.
    :param rows_from: what was scored; of a feature set or a table with its version.
    :param rows: how many were scored.
    :param mean_score: their mean.
    :param output: the file with the scores.
    :param rows_per_second: how fast.
    """

    kind: Literal["triton_infer"] = "triton_infer"
    triton_model: str
    triton_version: int
    rows_from: str
    rows: int
    mean_score: float
    output: str
    rows_per_second: float


class TritonInferJob(Job[TritonInferSpec, TritonInferResult]):
    """Score rows on Triton, with bounded concurrency; every row names the version that scored it."""

    kind: ClassVar[str] = "triton_infer"
    spec_type: ClassVar[type[JobSpec]] = TritonInferSpec
    result_type: ClassVar[type[JobResult]] = TritonInferResult

    def is_cacheable(self, spec: TritonInferSpec) -> bool:
        """No: what answers is known to the servers."""
        return False

    def run(self, spec: TritonInferSpec, context: JobContext) -> TritonInferResult:
        """Score."""
        import pyarrow.parquet as pq

        from airflow_provider_mlfeat.dataset.encoder import Encoder

        model = ServedModel.open(spec.model)
        encoder = Encoder.load(model.folder / str(model.manifest.get("encoder") or "encoder.json"))
        rows_from, data = _open(spec, context)
        if missing := [key for key in spec.keys if key not in data.schema.names]:
            raise UserError(f"{rows_from} has no column {', '.join(missing)}")
        total = data.count_rows()
        target = Path(spec.output.removeprefix("file://")).absolute()
        with spec.fleet(context.secrets) as fleet:
            version = spec.triton_version or _newest(fleet, spec.triton_model)
            context.progress.stage("score", total, "rows")
            with files.staged_file(target) as staging:
                rows, summed = _score(spec, version, encoder, data, fleet, staging, context)
                written = pq.read_metadata(staging).num_rows
                if written != total:
                    raise UserError(f"{written} rows were scored, not {total}: the input changed while it was read")
        rate = context.progress.snapshot.rate
        log.info("version %d of '%s' scored %d rows", version, spec.triton_model, rows)
        return TritonInferResult(
            triton_model=spec.triton_model,
            triton_version=version,
            rows_from=rows_from,
            rows=rows,
            mean_score=summed / rows if rows else 0.0,
            output=str(target),
            rows_per_second=round(rate, 1),
            artifacts=(Artifact.of("scores", target),),
        )


def _newest(fleet: Fleet, model: str) -> int:
    """The highest version that all servers hold ready."""
    held = fleet.each("Reading the index", lambda client: ready_versions(client, model))
    shared = frozenset.intersection(*held.values())
    if not shared:
        raise UserError(f"no version of '{model}' is ready on {' and '.join(held)}: deploy one")
    return max(shared)


def _score(
    spec: TritonInferSpec,
    version: int,
    encoder: Encoder,
    data: ds.Dataset,
    fleet: Fleet,
    target: Path,
    context: JobContext,
) -> tuple[int, float]:
    """Ask for all rows and write them in their order; how many, and the sum of their scores."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    clients = list(fleet.clients.values())
    metadata = {"mlfeat": json.dumps({"model": spec.triton_model, "version": version})}
    rows, summed, writer, sent = 0, 0.0, None, 0
    under_way: deque[tuple[pa.RecordBatch, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(spec.concurrency, thread_name_prefix="score")

    def write() -> None:
        nonlocal rows, summed, writer
        batch, future = under_way.popleft()
        scores = future.result()
        if not np.isfinite(scores).all():
            raise UserError(f"version {version} of '{spec.triton_model}' answers a score that is no number")
        columns = {name: batch.column(name) for name in spec.keys}
        columns |= {"score": pa.array(scores), "model_version": pa.array(np.full(len(scores), version, np.int32))}
        table = pa.table(columns).replace_schema_metadata(metadata)
        writer = writer or pq.ParquetWriter(target, table.schema)
        writer.write_table(table)
        rows, summed = rows + len(scores), summed + float(scores.sum(dtype=np.float64))
        context.progress.advance(len(scores))

    try:
        for batch in _batches(data, encoder, spec):
            client = clients[sent % len(clients)]
            sent += 1
            work = pool.submit(_ask, client, spec.triton_model, version, encoder, batch, context.cancellation.check)
            under_way.append((batch, work))
            # Twice as many as are asked at a time: there is always one ready to send.
            while len(under_way) >= 2 * spec.concurrency:
                write()
        while under_way:
            write()
    finally:
        pool.shutdown(cancel_futures=True)
        if writer is not None:
            writer.close()
    if writer is None:
        keys = [data.schema.field(name) for name in spec.keys]
        schema = pa.schema([*keys, pa.field("score", pa.float32()), pa.field("model_version", pa.int32())], metadata)
        pq.write_table(schema.empty_table(), target)
    return rows, summed


def _open(spec: TritonInferSpec, context: JobContext) -> tuple[str, ds.Dataset]:
    """The rows, and what to call them."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if bool(spec.input) == bool(spec.feature_set):
        raise UserError("which rows: give Parquet files or a table, or else a feature set")
    if spec.feature_set:
        from airflow_provider_mlfeat.tables.feature_sets import read_feature_set, read_rows

        store = spec.store(context.secrets)
        found = read_feature_set(store, spec.feature_set)
        return found.reference, read_rows(store, found)
    if spec.input[0].startswith(("table:", "delta:")):
        from airflow_provider_mlfeat.tables.sources import TableSource, open_source

        if len(spec.input) > 1:
            raise UserError(f"the rows are those of one table: '{spec.input[0]}' cannot stand beside others")
        opened = open_source(TableSource.parse(spec.input[0]), spec.store(context.secrets))
        assert not isinstance(opened.data, pa.Table)
        return str(opened.source), opened.data
    paths = sorted({path for given in spec.input for path in expand(given.removeprefix("file://"))})
    paths = [path for path in paths if path.suffix == ".parquet"]
    if not paths:
        raise UserError(f"no Parquet file in {', '.join(spec.input)}")
    try:
        return ", ".join(spec.input), ds.dataset([str(path) for path in paths], format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{', '.join(spec.input)} cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _batches(data: ds.Dataset, encoder: Encoder, spec: TritonInferSpec) -> Iterator[pa.RecordBatch]:
    """The rows in their order, a request's worth at a time; no more columns than are needed, and few batches ahead."""
    wanted = dict.fromkeys((*spec.keys, *encoder.columns))
    columns = [name for name in wanted if name in data.schema.names]
    for batch in data.to_batches(columns, batch_size=spec.batch_rows, batch_readahead=2, fragment_readahead=1):
        if batch.num_rows:
            yield batch


def _ask(
    client: TritonClient, model: str, version: int, encoder: Encoder, batch: pa.RecordBatch, check: Callable[[], None]
) -> Any:
    """Scores of a batch; a server that is busy is asked again after a while."""
    import time

    import numpy as np

    encoded = encoder.encode(batch)
    inputs: dict[str, Any] = {}
    if encoded.ids.shape[1]:
        inputs["INPUT_0"] = np.ascontiguousarray(encoded.ids, dtype=np.int64)
    if encoded.values.shape[1]:
        inputs["INPUT_1"] = np.ascontiguousarray(encoded.values, dtype=np.float32)
    for attempt in range(_TRIES):
        check()
        try:
            return client.infer(model, inputs, version=version, outputs=(OUTPUT,))[OUTPUT].reshape(-1)
        except TransientError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("the last try returns or raises")
