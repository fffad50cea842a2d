"""How a version goes live and comes back, on the real server; the old version answers in every failure."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import CancelledError, TransientError, UserError
from airflow_provider_mlfeat.serving.triton import rollout as rollout_module
from airflow_provider_mlfeat.serving.triton.canary import Probation
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.configuration import Tuning
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.rollout import Rollout
from tests.triton.conftest import Models, rollout_of
from tests.triton.load import Load


def held(rollout: Rollout) -> list[set[int]]:
    return [set(versions) for versions in rollout.fleet.ready_versions(rollout.name).values()]


def goldens(*models: ServedModel) -> list[Any]:
    return [model.golden_rows() for model in models]


@pytest.fixture
def own(environment: TritonEnvironment, tmp_path: Path) -> Iterator[LocalServer]:
    """A server of the test's own, to be killed."""
    with LocalServer(tmp_path / "repository", environment=environment) as running:
        yield running


def test_from_the_first_version_to_a_rollback(rollout: Rollout, models: Models) -> None:
    first = rollout.deploy(models(1), 1)
    assert (first.state.live, first.state.previous, first.changed, held(rollout)) == (1, None, True, [{1}])
    assert first.difference <= 1e-5
    second = rollout.deploy(models(2), 2)
    assert (second.state.live, second.state.previous, held(rollout)) == (2, 1, [{1, 2}])
    third = rollout.deploy(models(3), 3)
    assert (third.state.previous, held(rollout)) == (2, [{2, 3}])
    again = rollout.deploy(models(3), 3)
    assert not again.changed
    assert len(again.state.history) == 3
    began = time.monotonic()
    state = rollout.roll_back(reason="too many clicks")
    assert time.monotonic() - began < 1
    assert (state.live, state.previous, state.history[-1]["reason"]) == (2, None, "too many clicks")
    assert held(rollout) == [{2}]
    with pytest.raises(UserError, match="has no version before 2 to go back to: name one"):
        rollout.roll_back()
    assert rollout.roll_back(1).live == 1
    assert rollout.directory.state().live == 1
    assert rollout.deploy(models(3), 3).state.loaded == (1, 3)


def test_versions_with_other_shapes_serve_side_by_side(rollout: Rollout, models: Models) -> None:
    narrow, wide = models(1), models(2, fields=7, values=2)
    rollout.deploy(narrow, 1)
    rollout.deploy(wide, 2)
    (client,) = rollout.fleet.clients.values()
    for version, model in ((1, narrow), (2, wide)):
        golden = model.golden_rows()
        answer = client.infer(rollout.name, golden.row(3), version=version)["OUTPUT_0"]
        assert abs(float(answer[0, 0]) - golden.outputs[3]) < 1e-5
    with pytest.raises(UserError, match="INPUT_0 has the shape \\[1, 7\\], but this version takes 6 columns"):
        client.infer(rollout.name, {"INPUT_0": wide.golden_rows().row(0)["INPUT_0"]}, version=1)
    with pytest.raises(UserError, match="the request lacks INPUT_1"):
        client.infer(rollout.name, {"INPUT_0": wide.golden_rows().row(0)["INPUT_0"]}, version=2)


def test_one_bad_request_of_a_batch_fails_alone(rollout: Rollout, models: Models) -> None:
    model = models(1)
    rollout.deploy(model, 1, tuning=Tuning(queue_delay_us=50_000))
    (client,) = rollout.fleet.clients.values()
    golden, outcomes = model.golden_rows(), dict[int, Any]()

    def ask(row: int) -> None:
        inputs = golden.row(row)
        if row == 2:
            inputs = {"INPUT_0": inputs["INPUT_0"] + 10**6}
        try:
            outcomes[row] = float(client.infer(rollout.name, inputs)["OUTPUT_0"][0, 0])
        except UserError as error:
            outcomes[row] = str(error)

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "out of" in outcomes.pop(2)
    assert {row: abs(answer - golden.outputs[row]) < 1e-5 for row, answer in outcomes.items()} == dict.fromkeys(
        (0, 1, 3, 4), True
    )


def test_a_canary_within_its_budget(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    done = rollout.deploy(models(2), 2, probation=Probation(share=0.3, seconds=1, rate=100, max_p99_ms=2000))
    tried, live = done.trial[2], done.trial[1]
    assert not tried.errors
    assert 10 <= tried.requests <= 60
    assert live.requests > tried.requests
    assert [entry["action"] for entry in done.state.history] == ["deploy", "trial", "deploy"]


def test_a_canary_over_its_budget_brings_the_old_back(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    probation = Probation(share=0.5, seconds=1, rate=100, max_p99_ms=1e-3)
    with pytest.raises(UserError, match="answers its slowest hundredth in .* more than its budget of 0.001 ms"):
        rollout.deploy(models(2), 2, probation=probation)
    state = rollout.directory.state()
    assert (state.live, state.canary, held(rollout), rollout.directory.versions()) == (1, None, [{1}], [1])


def test_the_oldest_versions_are_pruned(rollout: Rollout, models: Models) -> None:
    for version in (1, 2, 3, 4):
        done = rollout.deploy(models(1 + version % 2), version, keep_files=2)
        # What is on its way out of a server is not removed yet, but by a later roll-out.
        rollout.wait_gone(frozenset(done.state.loaded), 20)
    assert done.removed == (1,)
    assert (rollout.directory.versions(), held(rollout)) == ([2, 3, 4], [{3, 4}])


# ── what can go wrong ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("oddity", "reason"),
    [
        ({"golden_shift": 0.1}, "golden rows differ by up to 0.1"),
        ({"golden_shift": 5e-5}, "but the model gave .* when it was made"),
        ({"breaking": True}, "InvalidProtobuf"),
    ],
    ids=["another model's golden rows", "slightly different", "damaged"],
)
def test_a_version_that_is_wrong(
    rollout: Rollout, models: Models, server: LocalServer, oddity: dict[str, Any], reason: str
) -> None:
    rollout.deploy(models(1), 1)
    bad = models(2, **oddity)
    with Load(server.grpc_address, rollout.name, goldens(models(1), models(2))) as load:
        with pytest.raises(UserError, match=reason):
            rollout.deploy(bad, 2)
    assert (load.failures, load.wrong) == ([], [])
    assert (held(rollout), rollout.directory.versions(), rollout.directory.state().live) == ([{1}], [1], 1)
    # The number is free for a good one.
    assert rollout.deploy(models(3), 2).state.live == 2


def test_a_backend_that_the_server_lacks(rollout: Rollout, models: Models) -> None:
    with pytest.raises(UserError, match="onnxruntime"):
        rollout.deploy(models(1), 1, tuning=Tuning(backend="onnxruntime"))
    assert (held(rollout), rollout.directory.versions()) == ([set()], [])
    rollout.deploy(models(1), 1)
    with pytest.raises(UserError, match="is served by the backend python, which all its versions share"):
        rollout.deploy(models(2), 2, tuning=Tuning(backend="onnxruntime"))
    with pytest.raises(UserError, match=r"has no model.pt, which Triton's pytorch backend needs"):
        rollout_of(rollout.directory.path.parent, rollout.fleet, "other").deploy(
            models(2), 2, tuning=Tuning(backend="pytorch")
        )


def test_a_number_that_is_taken(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    with pytest.raises(UserError, match="version 1 of .* is in the repository with another model"):
        rollout.deploy(models(2), 1)
    with pytest.raises(UserError, match="a version is a whole number from 1 on, not 0"):
        rollout.deploy(models(2), 0)
    with pytest.raises(UserError, match="version 9 of .* is not in the repository, which holds 1"):
        rollout.roll_back(9)
    with pytest.raises(UserError, match="version 1 of .* is live: roll back first"):
        rollout.unload(1)
    assert held(rollout) == [{1}]


def test_a_model_folder_that_was_changed(rollout: Rollout, models: Models, tmp_path: Path) -> None:
    rollout.deploy(models(1), 1)
    shutil.copytree(models(2).folder, tmp_path / "changed")
    with (tmp_path / "changed" / "model.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match="is not the file that its manifest describes: train or fetch it anew"):
        rollout.deploy(ServedModel.open(str(tmp_path / "changed")), 2)
    assert rollout.directory.versions() == [1]


def test_a_full_disk(rollout: Rollout, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout.deploy(models(1), 1)

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(TransientError, match="the model repository has no space for .*: No space left on device"):
        rollout.deploy(models(2), 2)
    assert sorted(path.name for path in rollout.directory.path.iterdir()) == ["0", "1", "config.pbtxt"]
    assert held(rollout) == [{1}]


def test_a_state_that_cannot_be_written_undoes_the_load(
    rollout: Rollout, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout.deploy(models(1), 1)

    def full(_: LiveState) -> None:
        raise TransientError("no space")

    monkeypatch.setattr(rollout.directory, "write_state", full)
    with pytest.raises(TransientError, match="no space"):
        rollout.deploy(models(2), 2)
    assert (held(rollout), rollout.directory.state().live, rollout.directory.versions()) == ([{1}], 1, [1])


def test_a_task_that_is_killed_in_the_trial(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 2 and rollout.directory.state().canary is not None:
            raise CancelledError("the job was cancelled")

    rollout.check = check
    with pytest.raises(CancelledError):
        rollout.deploy(models(2), 2, probation=Probation(share=0.5, seconds=20))
    rollout.check = lambda: None
    assert (held(rollout), rollout.directory.state().live) == ([{1}], 1)


def test_half_of_the_replicas_are_away(server: LocalServer, repository: Path, models: Models, name: str) -> None:
    with Fleet([server.grpc_address], Access("grpc")) as alone:
        rollout_of(repository, alone, name).deploy(models(1), 1)
        with Fleet([server.grpc_address, "127.0.0.1:9"], Access("grpc", timeout=2)) as both:
            with pytest.raises(
                TransientError, match="Reaching the servers failed on 1 of 2 servers: Triton at 127.0.0.1:9 cannot"
            ):
                rollout_of(repository, both, name).deploy(models(2), 2)
        rollout = rollout_of(repository, alone, name)
        assert (held(rollout), rollout.directory.versions()) == ([{1}], [1])
        rollout.unload()


def test_a_replica_that_refuses_brings_both_back(
    server: LocalServer, own: LocalServer, repository: Path, models: Models, name: str
) -> None:
    """The second server reads another repository, without the version."""
    (own.repository / name).mkdir()
    with Fleet([server.grpc_address, own.grpc_address], Access("grpc")) as both:
        with pytest.raises(UserError, match=f"failed on 1 of 2 servers: Triton at {own.grpc_address}"):
            rollout_of(repository, both, name).deploy(models(1), 1)
        assert set(both.ready_versions(name).values()) == {frozenset()}


def test_all_servers_are_away(repository: Path, models: Models, name: str) -> None:
    with Fleet(["127.0.0.1:9"], Access("http", timeout=2)) as nobody:
        with pytest.raises(TransientError, match="Triton at 127.0.0.1:9 cannot be reached: .*Connection refused"):
            rollout_of(repository, nobody, name).deploy(models(1), 1)


@pytest.mark.parametrize("moment", ["proof", "trial"])
def test_the_server_restarts_in_the_middle(
    own: LocalServer, models: Models, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with Fleet([own.grpc_address], Access("grpc")) as fleet:
        rollout = rollout_of(own.repository, fleet, "jd")
        rollout.deploy(models(1), 1)

        def restart(*_: Any) -> Any:
            own.kill()
            own.models = ("jd",)
            own.start()
            return {} if moment == "trial" else 0.0

        monkeypatch.setattr(rollout, "_prove" if moment == "proof" else "_try_out", restart)
        with pytest.raises(TransientError, match=f"version 2 of 'jd' is not ready at {own.grpc_address}"):
            rollout.deploy(models(2), 2)
        monkeypatch.undo()
        assert (held(rollout), rollout.directory.state().live) == ([{1}], 1)
        assert rollout.deploy(models(2), 2).state.live == 2


def test_a_stub_that_hangs(own: LocalServer, models: Models, tmp_path: Path) -> None:
    with Fleet([own.grpc_address], Access("grpc")) as fleet:
        rollout = rollout_of(own.repository, fleet, "jd", load_seconds=2)
        rollout.deploy(models(1), 1)
        write = rollout.directory.write_version

        def write_hanging(version: int, *arguments: Any) -> bool:
            written = write(version, *arguments)
            file = rollout.directory.path / str(version) / "model.py"
            file.write_text(
                file.read_text().replace("folder = Path", "__import__('time').sleep(600); folder = Path", 1)
            )
            return written

        rollout.directory.write_version = write_hanging  # type: ignore[method-assign]
        with Load(own.grpc_address, "jd", goldens(models(1))) as load:
            with pytest.raises(TransientError, match="did not answer within 2 s"):
                rollout.deploy(models(2), 2)
        assert load.sent > 200
        assert (load.failures, load.wrong) == ([], [])
        assert rollout.directory.state().live == 1
    began = time.monotonic()
    own.stop_seconds = 2
    own.stop()
    assert time.monotonic() - began < 10


def test_two_roll_outs_at_once_wait_for_each_other(
    repository: Path, server: LocalServer, models: Models, name: str
) -> None:
    with Fleet([server.grpc_address], Access("grpc")) as fleet:
        done: list[int] = []

        def deploy(version: int) -> None:
            rollout_of(repository, fleet, name).deploy(models(version), version)
            done.append(version)

        threads = [threading.Thread(target=deploy, args=(version,)) for version in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rollout = rollout_of(repository, fleet, name)
        state = rollout.directory.state()
        assert (sorted(done), state.live) == ([1, 2], done[-1])
        assert max(held(rollout)[0]) == state.live
        with rollout.directory.locked(1, lambda: None, lambda _: None):
            with pytest.raises(TransientError, match="another roll-out of .* was not done within 0 s \\(process"):
                rollout_of(repository, fleet, name, lock_seconds=0).roll_back()
        rollout.unload()


def test_a_restarted_server_is_brought_back(own: LocalServer, models: Models) -> None:
    with Fleet([own.http_address], Access("http")) as fleet:
        rollout = rollout_of(own.repository, fleet, "jd")
        rollout.deploy(models(1), 1)
        rollout.deploy(models(2), 2)
        own.kill()
        own.start()
        assert held(rollout) == [set()]
        assert (rollout.reconcile().live, held(rollout)) == (2, [{1, 2}])
        # Its configuration file alone is enough, too.
        own.kill()
        own.models = ("jd",)
        own.start()
        assert held(rollout) == [{1, 2}]


def test_a_killed_roll_out_is_cleared_up_by_the_next(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    state = rollout.directory.state()
    rollout.directory.write_version(2, models(2), "python", {}, lambda: None)
    beside = {**state.configuration, "version_policy": {"specific": {"versions": [1, 2]}}}
    rollout.fleet.load(rollout.name, beside, 30)
    rollout.directory.write_state(dataclasses.replace(state, canary=rollout_module.Canary(2, 0.5)))
    after = rollout.reconcile()
    assert (after.live, after.canary, held(rollout)) == (1, None, [{1}])


def test_under_load_nothing_fails_and_nothing_is_wrong(rollout: Rollout, models: Models, server: LocalServer) -> None:
    one, two = models(1), models(2)
    rollout.deploy(one, 1)
    with Load(server.grpc_address, rollout.name, goldens(one, two)) as load:
        for _ in range(2):
            rollout.deploy(two, 2)
            rollout.roll_back()
            with pytest.raises(UserError):
                rollout.deploy(models(3, golden_shift=0.1), 3)
    assert load.sent > 200
    assert (load.failures, load.wrong) == ([], [])


def test_a_state_of_another_release_is_refused(rollout: Rollout, models: Models) -> None:
    rollout.deploy(models(1), 1)
    place = rollout.directory.path / "0" / "state.json"
    kept = place.read_text()
    place.write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="has the format 99; this release reads 1"):
        rollout.deploy(models(2), 2)
    place.write_text(kept)


def test_a_disk_that_is_really_full(rollout: Rollout, models: Models, server: LocalServer) -> None:
    """No file may grow past a limit: the kernel itself refuses, in the middle of the model's file."""
    rollout.deploy(models(1), 1)
    large = models(2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Load(server.grpc_address, rollout.name, goldens(models(1))) as load:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            with pytest.raises(TransientError, match="the model repository has no space for .*: File too large"):
                rollout.deploy(large, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (load.failures, load.wrong) == ([], [])
    assert sorted(path.name for path in rollout.directory.path.iterdir()) == ["0", "1", "config.pbtxt"]
    assert (held(rollout), rollout.deploy(large, 2).state.live) == ([{1}], 2)


def test_a_replica_dies_in_the_middle(
    environment: TritonEnvironment,
    server: LocalServer,
    repository: Path,
    models: Models,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalServer(repository, environment=environment) as other:
        with Fleet([server.grpc_address, other.grpc_address], Access("grpc", timeout=5)) as both:
            rollout = rollout_of(repository, both, name)
            rollout.deploy(models(1), 1)
            prove = rollout._prove

            def die(*arguments: Any) -> float:
                other.kill()
                return prove(*arguments)

            monkeypatch.setattr(rollout, "_prove", die)
            with Load(server.grpc_address, name, goldens(models(1), models(2))) as load:
                with pytest.raises(TransientError, match=f"failed on 1 of 2 servers: Triton at {other.grpc_address}"):
                    rollout.deploy(models(2), 2)
            assert (load.failures, load.wrong) == ([], [])
    with Fleet([server.grpc_address], Access("grpc")) as alone:
        rollout = rollout_of(repository, alone, name)
        assert (held(rollout), rollout.directory.state().live) == ([{1}], 1)
        rollout.unload()


def test_a_stub_that_hangs_when_it_is_asked(own: LocalServer, models: Models) -> None:
    """It loads, and its golden rows inside the server are right; the first request over the wire never comes back."""
    with Fleet([own.grpc_address], Access("grpc", timeout=2)) as fleet:
        rollout = rollout_of(own.repository, fleet, "jd", load_seconds=5)
        rollout.deploy(models(1), 1)
        write = rollout.directory.write_version

        def write_hanging(version: int, *arguments: Any) -> bool:
            written = write(version, *arguments)
            file = rollout.directory.path / str(version) / "model.py"
            text = file.read_text().replace(
                "responses: list[Any] = [None]", "__import__('time').sleep(600)\n        x", 1
            )
            file.write_text(text)
            return written

        rollout.directory.write_version = write_hanging  # type: ignore[method-assign]
        with pytest.raises(TransientError, match="did not answer within 2 s"):
            rollout.deploy(models(2), 2)
        (client,) = fleet.clients.values()
        golden = models(1).golden_rows()
        answer = client.infer("jd", golden.inputs, version=1)["OUTPUT_0"].reshape(-1)
        assert max(abs(answer - golden.outputs)) < 1e-5
        assert rollout.directory.state().live == 1
    own.kill()


def test_the_response_cache(environment: TritonEnvironment, models: Models, tmp_path: Path) -> None:
    """Equal requests are answered once by the model; another version never answers from its cache."""
    with LocalServer(tmp_path / "repository", environment=environment, cache_bytes=1 << 20) as cached:
        with Fleet([cached.grpc_address], Access("grpc")) as fleet:
            rollout = rollout_of(cached.repository, fleet, "jd")  # type: ignore[arg-type]
            rollout.deploy(models(1), 1, tuning=Tuning(cache=True))
            (client,) = fleet.clients.values()
            golden = models(1).golden_rows()
            before = client.statistics("jd", 1)[0]
            answers = {float(client.infer("jd", golden.row(9))["OUTPUT_0"][0, 0]) for _ in range(5)}
            after = client.statistics("jd", 1)[0]
            assert (len(answers), after.executions - before.executions) == (1, 1)
            assert after.successes - before.successes == 5
            rollout.deploy(models(2), 2, tuning=Tuning(cache=True))
            answer = float(client.infer("jd", golden.row(9))["OUTPUT_0"][0, 0])
            assert abs(answer - models(2).golden_rows().outputs[9]) < 1e-5
