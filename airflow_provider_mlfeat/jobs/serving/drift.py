"""How far what is asked for has moved from what the model was trained on."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger("mlfeat.job")

# More training rows than these do not make the shares of ten bins any surer.
_MOST_ROWS = 200_000


class CheckDriftSpec(TableJobSpec):
    """Spec of `CheckDriftJob`.

    :param kind: ``check_drift``.
    :param feature_set: what the model was trained on, with its version: ``name@3``.
    :param log_folder: the server's request log.
    :param service: which service's requests.
    :param release: of which release; 0 is the newest that has a log.
    :param hours: how far back requests count; 0 is all.
    :param ignore: columns to leave out, such as ids, points in time and the label.
    :param scores: a Parquet file of an evaluation with the column ``score``; empty does not look at probabilities.
    :param stability_index: above it a column has drifted.
    :param null_share: by how much the share of NULL may differ.
    :param score_shift: by how much the mean probability may move, in standard deviations of the evaluation's.
    :param rows: fewer requests than these decide nothing.
    :param report: folder for the figures.
    :param blocking: whether drift fails the job.
    """

    kind: Literal["check_drift"] = "check_drift"
    feature_set: str = Field(min_length=1)
    log_folder: str = Field(min_length=1)
    service: str = "default"
    release: int = Field(default=0, ge=0)
    hours: float = Field(default=0, ge=0)
    ignore: tuple[str, ...] = ()
    scores: str = ""
    stability_index: float = Field(default=0.25, gt=0)
    null_share: float = Field(default=0.1, gt=0)
    score_shift: float = Field(default=0.5, gt=0)
    rows: int = Field(default=200, ge=1)
    report: str = Field(min_length=1)
    blocking: bool = False


class CheckDriftResult(JobResult):
    """Result of `CheckDriftJob`.

    :param kind: ``check_drift``.
    :param drifted: whether something is beyond its limit.
    :param decided: whether there were enough requests to tell.
    :param requests: how many were looked at.
    :param breaches: what is beyond its limit, in words.
    :param worst_column: the column that moved most.
    :param worst_index: by how much.
    :param score_shift: of the mean probability, in standard deviations; None where it was not looked at.
    :param report: the file with all figures.
    """

    kind: Literal["check_drift"] = "check_drift"
    drifted: bool
    decided: bool
    requests: int
    breaches: tuple[str, ...]
    worst_column: str
    worst_index: float
    score_shift: float | None
    report: str


class CheckDriftJob(Job[CheckDriftSpec, CheckDriftResult]):
    """Compare the requests that a server answered with what its model was trained on."""

    kind: ClassVar[str] = "check_drift"
    spec_type: ClassVar[type[JobSpec]] = CheckDriftSpec
    result_type: ClassVar[type[JobResult]] = CheckDriftResult

    def is_cacheable(self, spec: CheckDriftSpec) -> bool:
        """No: requests go on coming."""
        return False

    def run(self, spec: CheckDriftSpec, context: JobContext) -> CheckDriftResult:
        """Read both sides, compare, write the figures down."""
        from airflow_provider_mlfeat.serving.drift import Limits, compare
        from airflow_provider_mlfeat.tables.feature_sets import read_feature_set, read_rows

        context.progress.stage("read", unit="rows")
        store = spec.store(context.secrets)
        features = read_feature_set(store, spec.feature_set)
        served = _requests(spec)
        trained = read_rows(store, features).head(_MOST_ROWS)
        context.progress.advance(served.num_rows + trained.num_rows)
        context.progress.stage("compare", unit="columns")
        limits = Limits(spec.stability_index, spec.null_share, spec.score_shift, spec.rows)
        found = compare(trained, served, limits, scores=_scores(spec, served), ignore=spec.ignore)
        worst = max(found.columns, key=lambda one: one.stability_index or 0.0)
        for breach in found.breaches:
            log.warning("drift: %s", breach)
        if not found.decided:
            log.info("%d requests are too few to tell; %d are needed", found.requests, spec.rows)
        target = Path(spec.report) / "drift.json"
        files.write_json(target, {"feature_set": features.reference, "service": spec.service, **found.to_document()})
        if found.breaches and spec.blocking:
            raise UserError(f"requests have drifted: {'; '.join(found.breaches)}; all figures are in {target}")
        return CheckDriftResult(
            drifted=bool(found.breaches),
            decided=found.decided,
            requests=found.requests,
            breaches=found.breaches,
            worst_column=worst.column,
            worst_index=worst.stability_index or 0.0,
            score_shift=found.score_shift,
            report=str(target),
            artifacts=(Artifact.of("drift", target),),
        )


def _requests(spec: CheckDriftSpec) -> pa.Table:
    """The logged requests of a release."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    folder = Path(spec.log_folder) / spec.service
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if not numbers:
        raise UserError(f"{folder} holds no request log")
    release = spec.release or max(numbers)
    if release not in numbers:
        raise UserError(f"{folder} holds no requests of release {release}; there are {sorted(numbers)}")
    found = sorted(map(str, (folder / str(release)).glob("*/*.parquet")))
    rows = ds.dataset(found, format="parquet").to_table()
    if spec.hours:
        since = pa.scalar(int((time.time() - 3600 * spec.hours) * 1000), pa.timestamp("ms", "UTC"))
        rows = rows.filter(pc.greater_equal(rows.column("_time"), since))
    return rows


def _scores(spec: CheckDriftSpec, served: Any) -> dict[str, np.ndarray] | None:
    if not spec.scores:
        return None
    import pyarrow.parquet as pq

    try:
        trained = pq.read_table(spec.scores, columns=["score"])
    except (OSError, ValueError) as error:
        raise UserError(f"{spec.scores} holds no scores of an evaluation: {error}") from None
    probabilities = served.column("_probability").drop_null()
    return {"trained": trained.column("score").to_numpy(), "served": probabilities.to_numpy()}
