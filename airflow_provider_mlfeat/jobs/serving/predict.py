"""Ask a prediction server."""

from __future__ import annotations

import logging
import time
from typing import Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.serving.server import ServerPlace
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec

log = logging.getLogger("mlfeat.job")


class PredictSpec(JobSpec):
    """Spec of `PredictJob`.

    :param kind: ``predict``.
    :param server: where to ask; the first address.
    :param service: which service; empty is the server's own.
    :param rows: request rows, an object each.
    """

    kind: Literal["predict"] = "predict"
    server: ServerPlace
    service: str = ""
    rows: tuple[dict[str, Any], ...] = Field(min_length=1)


class PredictResult(JobResult):
    """Result of `PredictJob`.

    :param kind: ``predict``.
    :param predictions: the answers, one per row.
    :param probability: of the first row.
    :param milliseconds: that the server took for the first row.
    :param seconds_round_trip: of the call.
    """

    kind: Literal["predict"] = "predict"
    predictions: tuple[dict[str, Any], ...]
    probability: float | None
    milliseconds: float | None
    seconds_round_trip: float


class PredictJob(Job[PredictSpec, PredictResult]):
    """Ask a prediction server for the probabilities of request rows."""

    kind: ClassVar[str] = "predict"
    spec_type: ClassVar[type[JobSpec]] = PredictSpec
    result_type: ClassVar[type[JobResult]] = PredictResult

    def is_cacheable(self, spec: PredictSpec) -> bool:
        """No: the answer depends on what is live and on the history."""
        return False

    def run(self, spec: PredictSpec, context: JobContext) -> PredictResult:
        """Ask once with all rows."""
        if not spec.server.urls:
            raise UserError("no prediction server is named")
        context.progress.stage("predict", total=len(spec.rows))
        path = f"/services/{spec.service}/predict" if spec.service else "/predict"
        began = time.perf_counter()
        answers = spec.server.ask(spec.server.urls[0], "POST", path, context.secrets, list(spec.rows))
        spent = time.perf_counter() - began
        context.progress.advance(len(spec.rows))
        for answer in answers[:10]:
            log.info("%s", answer)
        return PredictResult(
            predictions=tuple(answers),
            probability=answers[0].get("probability"),
            milliseconds=answers[0].get("milliseconds"),
            seconds_round_trip=spent,
        )
