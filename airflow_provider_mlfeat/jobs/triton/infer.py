"""Score rows on Triton: encode here, ask there, write the scores beside the rows' keys."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.file_manifest import expand
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.triton.place import TritonSpec
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.fleet import Fleet, ready_versions
from airflow_provider_mlfeat.serving.triton.golden import OUTPUT
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.dataset.encoder import Encoder

log = logging.getLogger("mlfeat.job")
_TRIES = 5


class TritonInferSpec(TritonSpec):
    """Spec of `TritonInferJob`.

    :param kind: ``triton_infer``.
    :param triton_model: the model's name in Triton.
    :param triton_version: its version; None is the highest that is ready, found once for all rows.
    :param model: the model folder: its encoder turns rows into what the model takes.
    :param input: Parquet files, folders and patterns with the rows' features.
    :param output: the Parquet file to write.
    :param keys: columns of the rows that go beside the scores.
    :param batch_rows: rows of one request.
    :param concurrency: requests that are under way at the same time.
    """

    kind: Literal["triton_infer"] = "triton_infer"
    triton_model: str = Field(min_length=1)
    triton_version: int | None = None
    model: str = Field(min_length=1)
    input: tuple[str, ...] = Field(min_length=1)
    output: str = Field(min_length=1)
    keys: tuple[str, ...] = ()
    batch_rows: int = Field(default=1024, ge=1)
    concurrency: int = Field(default=4, ge=1, le=256)


class TritonInferResult(JobResult):
    """Result of `TritonInferJob`.

    :param kind: ``triton_infer``.
    :param triton_model: the model's name in Triton.
    :param triton_version: the version that answered.
    :param rows: how many were scored.
    :param mean_score: their mean.
    :param output: the file with the scores.
    :param rows_per_second: how fast.
    """

    kind: Literal["triton_infer"] = "triton_infer"
    triton_model: str
    triton_version: int
    rows: int
    mean_score: float
    output: str
    rows_per_second: float


class TritonInferJob(Job[TritonInferSpec, TritonInferResult]):
    """Score rows of Parquet files on Triton, with bounded concurrency; every row names the version that scored it."""

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
        sources = sorted({path for given in spec.input for path in expand(given.removeprefix("file://"))})
        sources = [path for path in sources if path.suffix == ".parquet"]
        if not sources:
            raise UserError(f"no Parquet file in {', '.join(spec.input)}")
        total = sum(pq.ParquetFile(path).metadata.num_rows for path in sources)
        target = Path(spec.output.removeprefix("file://")).absolute()
        with spec.fleet(context.secrets) as fleet:
            version = spec.triton_version or _newest(fleet, spec.triton_model)
            context.progress.stage("score", total, "rows")
            with files.staged_file(target) as staging:
                rows, summed = _score(spec, version, encoder, sources, fleet, staging, context)
        rate = context.progress.snapshot.rate
        written = pq.ParquetFile(target).metadata.num_rows
        if written != total:
            raise UserError(f"{target} holds {written} rows, not {total}: the input changed while it was read")
        log.info("version %d of '%s' scored %d rows", version, spec.triton_model, rows)
        return TritonInferResult(
            triton_model=spec.triton_model,
            triton_version=version,
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
    sources: Sequence[Path],
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
        for batch in _batches(sources, spec.batch_rows, spec.keys):
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
        pq.write_table(pa.table({"score": pa.array([], pa.float32())}), target)
    return rows, summed


def _batches(sources: Sequence[Path], rows: int, keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in sources:
        with pq.ParquetFile(path) as file:
            missing = [key for key in keys if key not in file.schema_arrow.names]
            if missing:
                raise UserError(f"{path} has no column {', '.join(missing)}")
            yield from file.iter_batches(batch_size=rows)


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
