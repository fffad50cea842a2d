"""What a worker serves: the live release of each service, ready to answer, exchanged as a whole."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.serving.columns import check_columns
from airflow_provider_mlfeat.serving.releases import Release
from airflow_provider_mlfeat.serving.scoring import ServedModel
from airflow_provider_mlfeat.serving.server.batching import Batcher
from airflow_provider_mlfeat.serving.server.failures import COME_BACK, BadRequestError, RefusalError
from airflow_provider_mlfeat.serving.server.request_log import RequestLog
from airflow_provider_mlfeat.serving.server.settings import ServerSettings, triton_headers_from_environment
from airflow_provider_mlfeat.serving.server.workers import Workers

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.features import Served
    from airflow_provider_mlfeat.online.store import OnlineStore
    from airflow_provider_mlfeat.serving.server.metrics import Metrics

log = logging.getLogger("mlfeat.serve")

Result = TypeVar("Result")
_THREADS = 16
_NEVER = -1
# A release that cannot answer costs a load of its model at each try.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0


class LiveRelease:
    """A release that answers.

    :param release: which one.
    :param served: its deployment, compiled.
    :param model: its model, loaded and checked; None for features alone.
    :param request_log: where a sample of its answers goes.
    """

    def __init__(
        self, release: Release, served: Served, model: ServedModel | None, request_log: RequestLog | None
    ) -> None:
        self.release = release
        self.reader = served.reader
        self.input_schema, self.output_schema = served.input_schema, served.output_schema
        self.names = [column.name for column in served.output_schema]
        self.model = model
        self.batcher = None if model is None else Batcher(model.scorer)
        self.log = request_log

    def close(self) -> None:
        """Write what is still to write, and hang up."""
        if self.log is not None:
            self.log.close()
        if self.model is not None:
            self.model.scorer.close()


class Features:
    """Features for single rows: at once where the store is in this process, on threads where it is elsewhere.

    :param store: where history and deployments are.
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._here = FeatureService(store)
        self._threads = None if store.is_local else ThreadPoolExecutor(_THREADS, thread_name_prefix="features")
        self._own = threading.local()

    async def answer(self, name: str, row: Sequence[Any]) -> tuple[Any, ...] | None:
        """The features of one row; None where the query leaves it out."""
        if self._threads is None:
            return self._here.features(name, row)
        return await self.run(lambda: self._service().features(name, row))

    async def served(self, name: str) -> Served:
        """A deployment that is ready to answer, for what it says of itself."""
        return await self.run(lambda: self._service().served(name))

    async def run(self, ask: Callable[[], Result]) -> Result:
        """What a function that asks the store returns; the event loop never waits for a store elsewhere."""
        if self._threads is None:
            return ask()
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _service(self) -> FeatureService:
        """A thread's own service."""
        if self._threads is None:
            return self._here
        service: FeatureService | None = getattr(self._own, "service", None)
        if service is None:
            service = self._own.service = FeatureService(self._store)
        return service

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


class _NextTry:
    """When to try again what could not be made ready: at once when the store has changed, else ever later."""

    def __init__(self) -> None:
        self._revision, self._due, self._pause = _NEVER, 0.0, _FIRST_PAUSE

    def is_due(self, revision: int) -> bool:
        """Whether to try now."""
        return revision != self._revision or time.monotonic() >= self._due

    def put_off(self, revision: int) -> None:
        """It failed."""
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if revision == self._revision else _FIRST_PAUSE
        self._revision, self._due = revision, time.monotonic() + self._pause


class Live:
    """The live releases of a store's services.

    :param store: where releases, deployments and history are.
    :param settings: of the server.
    :param metrics: where the number of each live release is shown.
    """

    def __init__(self, store: OnlineStore, settings: ServerSettings, metrics: Metrics) -> None:
        self.store = store
        self.features = Features(store)
        self._settings, self._metrics = settings, metrics
        self._live: dict[str, LiveRelease] = {}
        self._revision = _NEVER
        self._next_try = _NextTry()
        self.failures: dict[str, str] = {}
        self.workers = Workers.of_environment()
        self._refreshing = threading.Lock()

    def get(self, service: str) -> LiveRelease:
        """The live release of a service."""
        found = self._live.get(service)
        if found is None:
            reason = self.failures.get(service)
            if reason:
                raise RefusalError(503, f"service '{service}' is not ready: {reason}", headers=COME_BACK)
            if self._revision == _NEVER:
                raise RefusalError(503, "the online store was not read yet", headers=COME_BACK)
            raise RefusalError(404, f"there is no service '{service}' with a live release")
        return found

    def all(self) -> Mapping[str, LiveRelease]:
        """All of them by service."""
        return dict(self._live)

    def refresh(self) -> None:
        """Load what has become live, then exchange it; what cannot be loaded leaves the old release answering."""
        with self._refreshing:
            revision = self.store.documents.revision()
            if revision == self._revision or not self._next_try.is_due(revision):
                return
            complete, known = True, releases.services(self.store.documents)
            for name, service in known.items():
                old = self._live.get(name)
                if service.live is None:
                    self._retire(self._live.pop(name, None))
                    self.failures.pop(name, None)
                    self._metrics.live.labels(name).set(0)
                    continue
                release = releases.get_release(self.store.documents, name, service.live)
                if old is not None and old.release == release:
                    self.failures.pop(name, None)
                    continue
                try:
                    new = self.prepare(release)
                except Exception as error:  # noqa: BLE001 - one release must not take the others down
                    complete = False
                    reason = str(error) or type(error).__name__
                    if self.failures.get(name) != reason:
                        log.error("release %s cannot answer: %s", release.name, reason)
                    self.failures[name] = reason
                    continue
                self._live[name] = new
                self.failures.pop(name, None)
                self._metrics.live.labels(name).set(release.number)
                log.info("release %s answers", release.name)
                self._retire(old)
            self.workers.note({name: one.release.number for name, one in self._live.items()}, self.failures)
            if complete:
                self._revision = revision
            else:
                self._next_try.put_off(revision)

    def _retire(self, old: LiveRelease | None) -> None:
        """Close a release that answers no longer; requests that hold it have until their deadline."""
        if old is not None:
            threading.Timer(self._settings.deadline + 1, old.close).start()

    def prepare(self, release: Release) -> LiveRelease:
        """A release that could answer: deployment compiled, model checked by its golden rows."""
        served = FeatureService(self.store).served(release.deployment)
        model = None
        if release.model is not None:
            model = ServedModel(release.model, triton_headers_from_environment())
            check_columns(release, served, model)
        request_log = None
        if self._settings.log_folder and self._settings.log_share > 0:
            request_log = RequestLog(
                Path(self._settings.log_folder), release.name, served.output_schema, self._settings.log_share
            )
        return LiveRelease(release, served, model, request_log)

    def close(self) -> None:
        """Write logs, end threads, close the store."""
        self.workers.leave()
        for one in self._live.values():
            one.close()
        self.features.close()
        self.store.close()


class Predictor:
    """From a request row to a probability.

    :param live: the live releases.
    :param metrics: where times are counted.
    """

    def __init__(self, live: Live, metrics: Metrics) -> None:
        self._live, self._metrics = live, metrics

    async def predict(self, service: str, row: Any, number: int | None = None) -> dict[str, Any]:
        """The answer to one row of JSON, as a document."""
        one = self._live.get(service)
        request_id = uuid.uuid4().hex
        began = time.perf_counter()
        values = read_row(one, row, number)
        features = await self._live.features.answer(one.release.deployment, values)
        self._metrics.features.observe(time.perf_counter() - began)
        answer: dict[str, Any] = {
            "request_id": request_id,
            "service": service,
            "release": one.release.number,
            "deployment": one.release.deployment,
            "plan_id": one.release.plan_id,
        }
        if features is None:
            # The query's WHERE leaves the row out: that is an answer, without a probability.
            return {**answer, "probability": None}
        named = dict(zip(one.names, features, strict=True))
        probability = None
        if one.model is not None and one.batcher is not None and one.release.model is not None:
            probability = await one.batcher.score(one.model.encoder.encode_row(named))
            self._metrics.score(one.release.name, probability)
            answer["model"] = {"name": one.release.model.name, "version": one.release.model.version}
            answer["probability"] = probability
            answer["class"] = int(probability >= one.release.threshold)
        else:
            answer["features"] = named
        if one.log is not None and one.log.wants():
            one.log.add(request_id, values, features, probability)
        return {**answer, "milliseconds": round(1000 * (time.perf_counter() - began), 3)}


def read_row(one: LiveRelease, row: Any, number: int | None) -> tuple[Any, ...]:
    """A row of JSON as the engine takes it."""
    try:
        return one.reader(row, number or 0)
    except UserError as error:
        raise BadRequestError(str(error)) from None
