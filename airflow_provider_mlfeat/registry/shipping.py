"""Send what a spool holds to MLflow, in few calls, once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.registry.spool import RUN_KEY_TAG, Event, Spool, left_spools, now
from airflow_provider_mlfeat.registry.tracking import Tracking, mlflow_errors

log = logging.getLogger("mlfeat.job")
Item = TypeVar("Item")
# What one call of MLflow takes.
_METRICS, _PARAMETERS, _TAGS, _VALUE = 1000, 100, 100, 6000
_EVENTS_AT_ONCE = 1000


def ship(spool: Spool, tracking: Tracking, client: Any) -> bool:
    """Send all that is there; tells whether the run has ended and MLflow knows it all.

    :param spool: what to send.
    :param tracking: where to.
    :param client: a client of it.
    :raises TransientError: MLflow is away; what is sent is sent, and the rest waits.
    """
    sent = spool.sent
    run_id = sent["run_id"] or _open_run(spool, tracking, client)
    ended = False
    for events in _groups(spool.events(int(sent["offset"])), _EVENTS_AT_ONCE):
        _send_values(client, run_id, events)
        for event in events:
            if event.kind == "inputs":
                _guarded(partial(_send_inputs, client, run_id, event), "dataset inputs")
            elif event.kind == "file":
                _guarded(partial(_send_file, client, run_id, spool, event), "an artefact")
            elif event.kind in ("end", "begin"):
                ended = event.kind == "end"
                with mlflow_errors("closing the MLflow run"):
                    if ended:
                        client.set_terminated(run_id, event.values["status"], event.values["time"])
                    else:
                        client.update_run(run_id, status="RUNNING")
        spool.set_sent(offset=events[-1].end)
    return ended


def _open_run(spool: Spool, tracking: Tracking, client: Any) -> str:
    """The run of the spool's key: made now, or by an earlier process whose note of it was lost."""
    header = spool.header
    with mlflow_errors("opening the MLflow run"):
        experiment = tracking.experiment_id(client)
        run = find_run(client, experiment, header["key"])
        if run is None:
            tags = {**header["tags"], RUN_KEY_TAG: header["key"]}
            run = client.create_run(experiment, header["started"], tags, header["name"])
    spool.set_sent(run_id=run.info.run_id, experiment_id=experiment)
    log.info("MLflow run %s", tracking.run_page(experiment, run.info.run_id) or run.info.run_id)
    return str(run.info.run_id)


def find_run(client: Any, experiment_id: str, key: str) -> Any | None:
    """The run of a key that is not deleted; the newest, if there are several."""
    text = key.replace("'", "''")
    found = client.search_runs([experiment_id], f"tags.`{RUN_KEY_TAG}` = '{text}'", max_results=1)
    return found[0] if found else None


def _send_values(client: Any, run_id: str, events: list[Event]) -> None:
    """Metrics, parameters and tags of many events in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    metrics, parameters, tags = [], [], []
    for event in events:
        values = event.values.get("values", {})
        if event.kind == "metrics":
            metrics += [
                Metric(name, value, event.values["time"], event.values["step"]) for name, value in values.items()
            ]
        elif event.kind == "parameters":
            parameters += [Param(name, value[:_VALUE]) for name, value in values.items()]
        elif event.kind == "tags":
            tags += [RunTag(name, value[:_VALUE]) for name, value in values.items()]
    for some in _groups(metrics, _METRICS):
        _guarded(partial(client.log_batch, run_id, metrics=some), "metrics")
    for some in _groups(parameters, _PARAMETERS):
        _guarded(partial(client.log_batch, run_id, params=some), "parameters")
    for some in _groups(tags, _TAGS):
        _guarded(partial(client.log_batch, run_id, tags=some), "tags")


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def _guarded(send: Callable[[], Any], what: str) -> None:
    """What MLflow refuses is told and left out: it must not hold up what comes after it. A deleted run is an end."""
    try:
        with mlflow_errors(f"logging {what}"):
            send()
    except TransientError:
        raise
    except UserError as error:
        if "must be in the 'active' state" in str(error) or "RESOURCE_DOES_NOT_EXIST" in str(error):
            raise RunGoneError(f"the MLflow run was deleted while it was written to: {error}") from error
        log.warning("MLflow refused %s, which are left out: %s", what, error)


class RunGoneError(UserError):
    """The run that a spool writes to was deleted."""


def _send_inputs(client: Any, run_id: str, event: Event) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                name=one["name"],
                digest=one["digest"][:36],
                source_type=one.get("source_type", "local"),
                source=json.dumps(one.get("source", {})),
                profile=json.dumps(one.get("profile", {})),
            ),
            [InputTag("mlflow.data.context", one.get("context", "training"))],
        )
        for one in event.values["inputs"]
    ]
    client.log_inputs(run_id, inputs)


def _send_file(client: Any, run_id: str, spool: Spool, event: Event) -> None:
    path = spool.path / event.values["file"]
    target = event.values["target"] or None
    if path.is_dir():
        client.log_artifacts(run_id, str(path), target)
    elif path.exists():
        client.log_artifact(run_id, str(path), target)


def replay(tracking: Tracking, parent: Path | None = None) -> tuple[int, int]:
    """Send what runs of this machine could not: how many runs are complete now, how many are not.

    A run whose process is gone without an end is ended as killed.

    :param tracking: where to.
    :param parent: the folder of the spools; the default is below the state directory.
    """
    complete = left = 0
    spools = left_spools(tracking, parent)
    if not spools:
        return 0, 0
    with tracking.client() as client:
        for spool in spools:
            with spool.locked("writer") as free:
                if not free:
                    # Its process lives, and sends for itself.
                    continue
                try:
                    done = _replay_one(spool, tracking, client)
                except TransientError as error:
                    log.warning("a run waits in %s: %s", spool.path, error)
                    done = False
                complete, left = complete + done, left + (not done)
    return complete, left


def _replay_one(spool: Spool, tracking: Tracking, client: Any) -> bool:
    with spool.locked("sender") as free:
        if not free:
            return False
        mine = Tracking(tracking.environment, spool.header["experiment"], spool.header["artifact_location"])
        try:
            if not ship(spool, mine, client) and spool.sent["run_id"]:
                with mlflow_errors("closing the MLflow run"):
                    if client.get_run(spool.sent["run_id"]).info.status == "RUNNING":
                        client.set_terminated(spool.sent["run_id"], "KILLED", now())
        except RunGoneError as error:
            log.warning("%s; what it still had to say is dropped", error)
        spool.remove()
    return True
