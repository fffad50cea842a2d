from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mlfeat_test_jobs import StepsResult, StepsSpec

from airflow_provider_mlfeat.errors import CancelledError, UserError
from airflow_provider_mlfeat.jobs import fingerprint as fingerprints
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import run


def starts(output: Path) -> int:
    """How often a job began to write `output`."""
    path = output.with_suffix(".starts")
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_job_runs_once_for_the_same_work(tmp_path: Path) -> None:
    spec = StepsSpec(output=str(tmp_path / "out"))
    first, second = run(spec), run(spec)
    assert isinstance(first, StepsResult)
    assert not first.cached
    assert second == first.model_copy(update={"cached": True})
    assert starts(tmp_path / "out") == 1
    assert (tmp_path / "out").read_text() == "3 of 3\n"


@pytest.mark.parametrize("damage", ["removed", "changed", "same size"])
def test_a_result_stands_only_while_its_artefacts_are_intact(tmp_path: Path, damage: str) -> None:
    output = tmp_path / "out"
    spec = StepsSpec(output=str(output))
    run(spec)
    if damage == "removed":
        output.unlink()
    else:
        output.write_text("other" if damage == "changed" else "3 of 4\n")
    assert not run(spec).cached
    assert output.read_text() == "3 of 3\n"


def test_changed_input_spec_or_code_is_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.write_text("1")
    spec = StepsSpec(output=str(tmp_path / "out"), read=str(data))
    seen = {run(spec).fingerprint}
    data.write_text("2")
    seen.add(run(spec).fingerprint)
    seen.add(run(spec.model_copy(update={"steps": 4})).fingerprint)
    monkeypatch.setattr(fingerprints, "code_version", lambda: "another")
    seen.add(run(spec).fingerprint)
    assert len(seen) == 4
    assert starts(tmp_path / "out") == 4


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"input .*/nowhere does not exist"):
        run(StepsSpec(output=str(tmp_path / "out"), read=str(tmp_path / "nowhere")))


def test_cancellation_reaches_the_work_and_leaves_nothing(tmp_path: Path) -> None:
    cancellation = Cancellation()
    threading.Timer(0.3, cancellation.request).start()
    with pytest.raises(CancelledError):
        run(
            StepsSpec(output=str(tmp_path / "out"), steps=1000, pause=0.01),
            Progress(cancellation=cancellation),
            cancellation,
        )
    left = {path.name for path in tmp_path.iterdir()} - {"state"}
    assert left == {"out.starts"}


def test_callbacks_run_once_even_when_late() -> None:
    cancellation, called = Cancellation(), []
    with cancellation.calling(lambda: called.append("during")):
        cancellation.request()
        cancellation.request()
    with cancellation.calling(lambda: called.append("late")):
        pass
    assert called == ["during", "late"]
