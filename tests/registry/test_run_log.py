"""A run's log: what the loop says reaches MLflow, whatever happens to MLflow meanwhile."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.registry.run_log import RunLog, open_run
from airflow_provider_mlfeat.registry.shipping import find_run, replay
from airflow_provider_mlfeat.registry.spool import Spool, SpoolWriter, left_spools, spools_directory
from airflow_provider_mlfeat.registry.tracking import Tracking
from tests.registry.conftest import Line, Server, wait_for_senders


def log_run(tracking: Tracking, key: str = "key", **options: Any) -> RunLog:
    return RunLog(tracking, key, "a run", **{"send_seconds": 0.05, "patience": 20, "system_seconds": 0, **options})


def look(tracking: Tracking, key: str = "key") -> Any:
    with tracking.client() as client:
        return find_run(client, tracking.experiment_id(client), key)


def history(tracking: Tracking, metric: str, key: str = "key") -> list[tuple[int, float]]:
    run = look(tracking, key)
    with tracking.client() as client:
        return sorted((one.step, one.value) for one in client.get_metric_history(run.info.run_id, metric))


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_everything_arrives(tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>")
    with open_run(tracking, "key", "deepfm", {"team": "ads"}) as run:
        run.parameters({"layers": [400, 400], "long": "x" * 9000})
        for step in range(5):
            run.metrics({"auc": 0.5 + step / 10, "rows": step, "empty": float("nan"), "none": None}, step)  # type: ignore[dict-item]
        run.tags({"kind": "deepfm"})
        run.inputs([{"name": "clicks", "digest": "d" * 64, "source_type": "delta_table", "source": {"version": 3}}])
        run.artifact(report, "report")
        run.text("features.sql", "SELECT 1")
        # A copy was kept: what happens to the file now does not matter.
        report.unlink()
    found = look(tracking)
    assert found.info.status == "FINISHED"
    assert found.data.params["layers"] == "[400, 400]"
    assert len(found.data.params["long"]) == 6000
    assert history(tracking, "auc") == [(step, 0.5 + step / 10) for step in range(5)]
    assert "empty" not in found.data.metrics
    assert (found.data.tags["team"], found.data.tags["kind"]) == ("ads", "deepfm")
    assert found.data.metrics["system/process_memory_megabytes"] > 0
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.source, len(given.dataset.digest)) == ("clicks", '{"version": 3}', 36)
    with tracking.client() as client:
        assert [one.path for one in client.list_artifacts(found.info.run_id, "report")] == ["report/report.html"]
    assert not left_spools(tracking)


def test_the_same_key_goes_on_in_the_same_run(tracking: Tracking) -> None:
    first = log_run(tracking)
    first.metrics({"auc": 0.5}, 0)
    assert first.close("FAILED")
    again = log_run(tracking)
    again.metrics({"auc": 0.6}, 1)
    assert again.close()
    with tracking.client() as client:
        assert len(client.search_runs([tracking.experiment_id(client)])) == 1
    assert history(tracking, "auc") == [(0, 0.5), (1, 0.6)]
    assert look(tracking).info.status == "FINISHED"


@pytest.mark.parametrize(("error", "status"), [(CancelledError("stop"), "KILLED"), (ValueError("bad"), "FAILED")])
def test_a_run_that_ends_badly_says_so(tracking: Tracking, error: Exception, status: str) -> None:
    with pytest.raises(type(error)), open_run(tracking, "key", "run"):
        raise error
    assert look(tracking).info.status == status


def test_two_processes_do_not_write_to_one_run(tracking: Tracking) -> None:
    run = log_run(tracking)
    with pytest.raises(TransientError, match="another process writes to the MLflow run of 'a run'"):
        log_run(tracking)
    run.close()


def test_a_server_that_is_away_is_told_later(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    tracking = line.tracking
    began = time.monotonic()
    run = log_run(tracking, "away", patience=1)
    for step in range(100):
        run.metrics({"auc": step}, step)
    assert time.monotonic() - began < 1, "the loop waits for nobody"
    assert not run.close()
    assert "'mlfeat models replay' sends them" in caplog.text
    wait_for_senders()
    assert replay(tracking) == (0, 1), "still away: nothing is lost"
    line.connect()
    assert replay(tracking) == (1, 0)
    assert history(tracking, "auc", "away") == [(step, step) for step in range(100)]
    assert look(tracking, "away").info.status == "FINISHED"
    assert replay(tracking) == (0, 0)


def test_a_server_that_is_killed_and_restarted_misses_nothing(server: Server) -> None:
    tracking = server.tracking
    run = log_run(tracking, "killed", patience=40)
    slowest = 0.0

    def say(step: int) -> None:
        nonlocal slowest
        began = time.perf_counter()
        run.metrics({"auc": step / 1000, "loss": 1 - step / 1000}, step)
        slowest = max(slowest, time.perf_counter() - began)
        time.sleep(0.004)

    for step in range(300):
        say(step)
    wait_for(lambda: bool(run.run_id))
    server.kill()
    for step in range(300, 600):
        say(step)
    server.start()
    for step in range(600, 900):
        say(step)
    assert run.close()
    for metric in ("auc", "loss"):
        assert [step for step, _ in history(tracking, metric, "killed")] == list(range(900))
    assert look(tracking, "killed").info.status == "FINISHED"
    assert slowest < 0.5


def test_a_process_that_was_killed_leaves_its_run_to_others(tracking: Tracking) -> None:
    spool = Spool.create(tracking, "dead", "dead run", {})
    writer = SpoolWriter(spool)
    writer.write("metrics", values={"auc": 0.5}, step=0, time=1)
    writer.close()
    with (spool.path / "events.jsonl").open("ab") as file:
        file.write(b'{"kind":"metr')
    assert replay(tracking) == (1, 0)
    assert history(tracking, "auc", "dead") == [(0, 0.5)]
    assert look(tracking, "dead").info.status == "KILLED"


def test_a_torn_line_is_closed_before_the_next(tracking: Tracking) -> None:
    spool = Spool.create(tracking, "torn", "torn run", {})
    (spool.path / "events.jsonl").write_bytes(b'{"kind":"metr')
    run = log_run(tracking, "torn")
    run.metrics({"auc": 0.7}, 3)
    assert run.close()
    assert history(tracking, "auc", "torn") == [(3, 0.7)]


def test_a_run_that_is_being_written_is_left_alone(tracking: Tracking) -> None:
    run = log_run(tracking)
    assert replay(tracking) == (0, 0)
    assert run.close()


def test_events_that_were_sent_twice_count_once(tracking: Tracking) -> None:
    run = log_run(tracking, patience=0)
    run.metrics({"auc": 0.5}, 0)
    wait_for(lambda: bool(run.run_id) and not run._spool.unsent())
    # The process died between sending and noting it.
    run._spool.set_sent(offset=0)
    run._patience = 20
    assert run.close()
    assert history(tracking, "auc") == [(0, 0.5)]


def test_what_mlflow_refuses_does_not_hold_up_the_rest(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    run = log_run(tracking)
    run.parameters({"rate": 1})
    wait_for(lambda: bool(run.run_id) and not run._spool.unsent())
    run.parameters({"rate": 2})
    run.metrics({"auc": 0.5}, 0)
    assert run.close()
    assert "MLflow refused parameters, which are left out" in caplog.text
    assert look(tracking).data.params["rate"] == "1"
    assert history(tracking, "auc") == [(0, 0.5)]


def test_artefacts_that_no_store_takes_do_not_hold_up_the_rest(
    tracking: Tracking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A file where the folder should be: even root cannot write below it.
    (tmp_path / "file").write_text("")
    closed = replace(tracking, experiment="closed", artifact_location=(tmp_path / "file" / "below").as_uri())
    run = log_run(closed)
    run.artifact(tmp_path / "file", "report")
    run.metrics({"auc": 0.5}, 0)
    assert run.close()
    assert "MLflow refused an artefact, which are left out: logging an artefact: " in caplog.text
    assert history(closed, "auc") == [(0, 0.5)]


def test_a_deleted_run_does_not_disturb_the_training(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    run = log_run(tracking)
    wait_for(lambda: bool(run.run_id) and not run._spool.unsent())
    with tracking.client() as client:
        client.delete_run(run.run_id)
    run.metrics({"auc": 0.5}, 0)
    run.close()
    assert "the MLflow run was deleted while it was written to" in caplog.text
    assert not left_spools(tracking)


def test_a_deleted_experiment_is_the_users_to_mend(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    with tracking.client() as client:
        experiment = tracking.experiment_id(client)
        client.delete_experiment(experiment)
        with pytest.raises(UserError, match="the MLflow experiment 'mlfeat' is deleted: restore it or name another"):
            tracking.experiment_id(client)
    with caplog.at_level(logging.WARNING):
        run = log_run(tracking, patience=1)
        run.metrics({"auc": 0.5}, 0)
        assert not run.close()
    assert "the run is not logged to MLflow but kept on disk" in caplog.text
    with tracking.client() as client:
        client.restore_experiment(experiment)
    assert replay(tracking) == (1, 0)


def test_spools_of_another_mlflow_are_not_touched(tracking: Tracking, tmp_path: Path) -> None:
    other = Tracking({"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'other.db'}"})
    Spool.create(other, "key", "theirs", {})
    assert replay(tracking) == (0, 0)
    assert len(list(spools_directory().glob("*/run.json"))) == 1


def test_no_secret_is_written_to_disk() -> None:
    secret = "p4ss"
    tracking = Tracking({"MLFLOW_TRACKING_URI": f"postgresql://ann:{secret}@127.0.0.1:9/x"})
    spool = Spool.create(tracking, "key", "run", {})
    assert all(secret not in path.read_text() for path in spool.path.rglob("*") if path.is_file())
    assert secret not in repr(tracking)


def test_a_cancelled_run_does_not_wait_for_a_server_that_is_away(line: Line) -> None:
    began = time.monotonic()
    with pytest.raises(CancelledError), open_run(line.tracking, "cancelled", "run"):
        raise CancelledError("stop")
    assert time.monotonic() - began < 10
    assert len(left_spools(line.tracking)) == 1


def test_clients_of_two_mlflows_wait_for_one_another(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_mlfeat.registry import tracking as module

    monkeypatch.setattr(module, "_OVERLAP_SECONDS", 0.1)
    other = {"MLFLOW_TRACKING_URI": "http://other"}
    outcomes: list[str] = []

    def enter() -> None:
        try:
            with module.set_environment(other):
                outcomes.append("in")
        except TransientError as error:
            outcomes.append(str(error))

    def try_it() -> None:
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()

    with tracking.client(), tracking.client():
        try_it()
    try_it()
    assert outcomes == ["another thread of this process talks to another MLflow and does not end", "in"]
    assert "MLFLOW_TRACKING_URI" not in os.environ
