"""Registration, promotion and rollback: what is registered is whole, and the alias moves last."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.registry import fetch_model, promotion, registration, versions
from airflow_provider_mlfeat.registry.promotion import Promotion, promote, rollback
from airflow_provider_mlfeat.registry.registration import Registration, register, write_version_file
from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.registry.conftest import Line
from tests.registry.folders import make_encoder, make_model

ACCEPTED = {versions.DECISION: "accepted"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models that differ."""
    folder = tmp_path_factory.mktemp("models")
    for number in range(3):
        make_model(folder / f"m{number}", noise=number / 10, seed=number)
    return folder


def add(tracking: Tracking, folder: Path, name: str = "shop", **options: Any) -> int:
    wanted = Registration(name, folder, **{"encoded_model": False, "tags": ACCEPTED, **options})
    return register(tracking, wanted).version.number


def alias(tracking: Tracking, name: str = "shop", which: str = "champion") -> int | None:
    with tracking.client() as client:
        found = versions.find_alias(client, name, which)
    return None if found is None else found.number


# ── the artefact ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_registered_model_takes_raw_features(tracking: Tracking, models: Path) -> None:
    import mlflow.pyfunc

    done = register(tracking, Registration("shop", models / "m0", aliases=("challenger", "champion")))
    with tracking.client():
        raw = mlflow.pyfunc.load_model("models:/shop@champion")
        encoded = mlflow.pyfunc.load_model(done.version.tags[versions.ENCODED_MODEL])
    golden = TrainedModel.open(models / "m0").golden
    features = pq.read_table(models / "m0" / "golden_features.parquet")
    for frame in (features.to_pandas(), features.to_pandas(integer_object_nulls=True)):
        assert raw.predict(frame)["score"].to_numpy() == pytest.approx(golden.outputs, abs=0)
        # Columns in another order, and further ones, change nothing.
        mixed = frame[sorted(frame.columns, reverse=True)].assign(more=1)
        assert raw.predict(mixed)["score"].to_numpy() == pytest.approx(golden.outputs, abs=0)
    outputs = encoded.predict({"INPUT_0": golden.ids, "INPUT_1": golden.values})["OUTPUT_0"][:, 0]
    assert np.array_equal(outputs, golden.outputs)
    assert [column.name for column in raw.metadata.signature.inputs.inputs] == features.column_names
    assert raw.metadata.metadata["mlfeat"]["plan_id"] == "plan-1"


def test_wrong_features_are_told_by_name(tracking: Tracking, models: Path) -> None:
    import mlflow.pyfunc

    add(tracking, models / "m0")
    with tracking.client():
        raw = mlflow.pyfunc.load_model("models:/shop/1").unwrap_python_model()
    frame = pq.read_table(models / "m0" / "golden_features.parquet").to_pandas()
    with pytest.raises(ValueError, match="the model's features city, price are missing"):
        raw.predict(None, frame.drop(columns=["city", "price"]))
    with pytest.raises(ValueError, match="feature 'visits' takes int32"):
        raw.predict(None, frame.assign(visits="many"))
    with pytest.raises(ValueError, match="is no exact whole number: give large ones as text where there are NULLs"):
        raw.predict(None, frame.assign(user=[float(2**60), None] * (len(frame) // 2)))


def test_a_packed_model_names_no_path_of_this_machine(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    from mlflow.artifacts import download_artifacts

    add(tracking, models / "m0")
    with tracking.client():
        place = Path(download_artifacts("models:/shop/1", dst_path=str(tmp_path / "down")))
    text = (place / "MLmodel").read_text()
    assert str(models) not in text
    assert str(Path(registration.__file__).parent.parent) not in text
    assert not list(place.rglob("*.pkl"))
    requirements = (place / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in requirements)
    assert not any(line.startswith(("apache-airflow", "airflow")) for line in requirements)


# ── registration ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_model_of_the_same_run_is_one_version(tracking: Tracking, models: Path) -> None:
    assert add(tracking, models / "m0") == 1
    again = register(tracking, Registration("shop", models / "m0", tags={"more": "1"}))
    assert (again.version.number, again.existed, again.version.tags["more"]) == (1, True, "1")
    assert add(tracking, models / "m1") == 2
    assert alias(tracking, which="challenger") == 2


def test_a_run_tells_all_of_the_model(tracking: Tracking, models: Path) -> None:
    done = register(tracking, Registration("shop", models / "m0"))
    with tracking.client() as client:
        run = client.get_run(done.version.run_id)
        epochs = client.get_metric_history(done.version.run_id, "epoch/valid_auc")
        pages = [one.path for one in client.list_artifacts(done.version.run_id, "report")]
    assert run.data.params["learning_rate"] == "0.1"
    assert [one.step for one in epochs] == [0, 1, 2]
    assert run.data.metrics["test_logloss"] == 0.4
    assert pages == ["report/report.html"]
    names = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
    assert json.loads(names["shopping"].source) == {"name": "shopping", "uri": "/tables/shopping", "version": 3}
    assert run.outputs.model_outputs


def test_a_deleted_run_is_made_anew(tracking: Tracking, models: Path) -> None:
    first = register(tracking, Registration("shop", models / "m0", encoded_model=False))
    with tracking.client() as client:
        client.delete_run(first.version.run_id)
    second = register(tracking, Registration("shop", models / "m0", encoded_model=False))
    assert second.version.run_id != first.version.run_id
    assert second.version.number == 2


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", " a"])
def test_names_that_no_uri_holds(tracking: Tracking, models: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no name for a model"):
        add(tracking, models / "m0", name)


@pytest.mark.parametrize("wrong", ["latest", "7", "a b", ""])
def test_what_is_no_alias(tracking: Tracking, models: Path, wrong: str) -> None:
    with pytest.raises(UserError, match="is no alias"):
        add(tracking, models / "m0", aliases=(wrong,))


def test_a_changed_model_folder_is_refused(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "m0", tmp_path / "changed")
    (tmp_path / "changed" / "report.html").write_text("<p>other")
    with pytest.raises(UserError, match="report.html is not what was written"):
        add(tracking, tmp_path / "changed")
    assert alias(tracking, which="challenger") is None


def test_a_server_that_is_away_at_the_start(line: Line, models: Path) -> None:
    with pytest.raises(TransientError, match="MLflow does not answer"):
        add(line.tracking, models / "m0", "away")


def test_a_server_that_goes_away_during_the_upload(line: Line, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.connect()
    pack = registration.write_raw_model

    def pack_and_cut(*arguments: Any) -> None:
        pack(*arguments)
        line.cut()

    monkeypatch.setattr(registration, "write_raw_model", pack_and_cut)
    with pytest.raises(TransientError, match="MLflow does not answer"):
        add(line.tracking, models / "m0", "middle", aliases=("champion",))
    line.connect()
    assert alias(line.tracking, "middle") is None, "no champion without its artefacts"
    monkeypatch.setattr(registration, "write_raw_model", pack)
    assert add(line.tracking, models / "m0", "middle", aliases=("champion",)) == 1
    assert alias(line.tracking, "middle") == 1
    line.cut()


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_an_artefact_store_without_rights(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    closed = replace(tracking, experiment="closed", artifact_location=(tmp_path / "closed").as_uri())
    with pytest.raises(UserError, match="uploading the model to run .*: no right to write"):
        add(closed, models / "m0")


def test_an_artefact_store_that_cannot_be_written_to(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    # A file where the folder should be: even root cannot write below it.
    (tmp_path / "file").write_text("")
    closed = replace(tracking, experiment="closed", artifact_location=(tmp_path / "file" / "below").as_uri())
    with pytest.raises(UserError, match="uploading the model to run .*: Not a directory"):
        add(closed, models / "m0")
    assert alias(tracking, which="challenger") is None


def test_artefacts_that_arrive_damaged_get_no_alias(
    tracking: Tracking, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = registration.write_raw_model

    def damage(model: Any, target: Path, *rest: Any) -> None:
        pack(model, target, *rest)
        with (target / "artifacts" / "model" / "model.onnx").open("ab") as file:
            file.write(b"x")

    monkeypatch.setattr(registration, "write_raw_model", damage)
    with pytest.raises(UserError, match="model.onnx is not what was written"):
        add(tracking, models / "m0")
    assert alias(tracking, which="challenger") is None


def test_the_file_for_batch_serving(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    import mlflow.pyfunc

    done = register(tracking, Registration("shop", models / "m0", encoded_model=False))
    write_version_file(tmp_path / "registered_model_version.json", tracking, done.version, done.experiment_id)
    document = json.loads((tmp_path / "registered_model_version.json").read_text())
    assert len(document) == 13
    assert all(isinstance(value, str | int) for value in document.values())
    assert (document["_name"], document["_version"]) == ("shop", "1")
    assert document["_run_id"] == done.version.run_id
    with tracking.client():
        assert mlflow.pyfunc.load_model(document["_source"])


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fetching_gives_the_model_folder(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    add(tracking, models / "m0")
    found = fetch_model("shop", "@challenger", tmp_path / "here", tracking)
    assert found == tmp_path / "here" / "shop-1"
    assert TrainedModel.open(found).check() < 1e-5
    assert fetch_model("shop", 1, tmp_path / "here", tracking_uri=tracking.address) == found
    # A folder that somebody changed is brought anew; the stored one stays as it was.
    (found / "model.onnx").write_text("x")
    assert TrainedModel.open(fetch_model("shop", 1, tmp_path / "here", tracking)).check() < 1e-5
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["shop-1"]


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("shop", "prod", "model 'shop' has no alias 'prod'; it has challenger → 1"),
        ("shop", "9", "model 'shop' has no version 9; its aliases are challenger → 1"),
        ("nope", "champion", "model 'nope' has no alias 'champion'; it has no versions: there is no such model"),
        ("shop", "", "no version of model 'shop' is given"),
    ],
)
def test_versions_that_do_not_exist(
    tracking: Tracking, models: Path, tmp_path: Path, name: str, version: str, sentence: str
) -> None:
    add(tracking, models / "m0")
    with pytest.raises(UserError, match=sentence):
        fetch_model(name, version, tmp_path, tracking)


def test_a_model_that_somebody_else_registered(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "MLmodel").write_text("flavors: {}\n")
    with tracking.client() as client:
        client.create_registered_model("theirs")
        client.create_model_version("theirs", (tmp_path / "theirs").as_uri())
    with pytest.raises(UserError, match="version 1 of 'theirs' holds no model folder"):
        fetch_model("theirs", 1, tmp_path / "here", tracking)


# ── promotion ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_promotion_and_rollback(tracking: Tracking, models: Path) -> None:
    for number in range(3):
        add(tracking, models / f"m{number}")
    first = promote(tracking, Promotion("shop", 1))
    assert (first.version.number, first.previous, first.moved) == (1, None, True)
    assert not promote(tracking, Promotion("shop", "1")).moved
    assert promote(tracking, Promotion("shop", 2)).previous == 1
    assert promote(tracking, Promotion("shop", "challenger")).previous == 2
    assert [rollback(tracking, "shop").version.number for _ in range(2)] == [2, 1]
    with pytest.raises(UserError, match="version 1 of 'shop' replaced no other under alias 'champion': say which"):
        rollback(tracking, "shop")
    assert rollback(tracking, "shop", to=3).version.number == 3
    assert alias(tracking) == 3


def test_only_accepted_versions_become_champion(tracking: Tracking, models: Path) -> None:
    add(tracking, models / "m0", tags={})
    with pytest.raises(UserError, match="version 1 of 'shop' has not been through the gate"):
        promote(tracking, Promotion("shop", 1))
    add(tracking, models / "m1", tags={versions.DECISION: "rejected"})
    with pytest.raises(UserError, match="version 2 of 'shop' was rejected by the gate"):
        promote(tracking, Promotion("shop", 2))
    assert alias(tracking) is None
    assert promote(tracking, Promotion("shop", 1, require_decision=False)).moved


def test_a_decision_against_an_earlier_champion_is_void(tracking: Tracking, models: Path) -> None:
    against_none = {**ACCEPTED, versions.COMPARED_WITH: ""}
    add(tracking, models / "m0", tags=against_none)
    add(tracking, models / "m1", tags=against_none)
    promote(tracking, Promotion("shop", 1))
    with pytest.raises(
        UserError, match="version 2 of 'shop' was compared with no champion, and 'champion' is version 1 by now: run"
    ):
        promote(tracking, Promotion("shop", 2))
    assert alias(tracking) == 1


def test_two_runs_that_promote_at_once(tracking: Tracking, models: Path) -> None:
    """Both were accepted against no champion: one becomes it, the other is told to compare again."""
    for number in range(2):
        add(tracking, models / f"m{number}", tags={**ACCEPTED, versions.COMPARED_WITH: ""})
    outcomes: list[Any] = []
    together = threading.Barrier(2)

    def run(number: int) -> None:
        together.wait()
        try:
            outcomes.append(promote(tracking, Promotion("shop", number)).version.number)
        except UserError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [one for one in outcomes if isinstance(one, int)]
    (loser,) = [one for one in outcomes if isinstance(one, str)]
    assert "run the gate again on the same data" in loser
    assert alias(tracking) == winner


def test_two_machines_that_promote_at_once(
    tracking: Tracking, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock holds both: whoever is told that all is well has promoted, and the champion is whole."""
    for number in range(2):
        add(tracking, models / f"m{number}")
    monkeypatch.setattr(promotion, "_one_at_a_time", lambda *given: nullcontext())
    together, outcomes = threading.Barrier(2), []

    def stage(name: str) -> None:
        if name == "alias":
            together.wait(60)

    def run(number: int) -> None:
        try:
            outcomes.append(promote(tracking, Promotion("shop", number), stage).version.number)
        except TransientError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alias(tracking) in outcomes
    lost = ("somebody else moved it", "another process wrote the same at this moment")
    assert all(one in (1, 2) or any(text in str(one) for text in lost) for one in outcomes)
    assert len(outcomes) == 2
    fetch_model("shop", "champion", tmp_path / "fetched", tracking)


def test_an_alias_that_moves_under_our_hands_is_noticed(
    tracking: Tracking, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine, which our lock does not hold, moves the alias right after us."""
    add(tracking, models / "m0")
    add(tracking, models / "m1")
    find = versions.find_alias

    def meddle(client: Any, name: str, which: str) -> Any:
        client.set_registered_model_alias(name, which, "2")
        return find(client, name, which)

    with tracking.client() as client:
        version = versions.get(client, "shop", 1)
        monkeypatch.setattr(versions, "find_alias", meddle)
        with pytest.raises(
            TransientError, match="was set to version 1 and points to version 2: somebody else moved it"
        ):
            versions.move_alias(client, version, "champion")


def test_a_champion_without_artefacts_cannot_come_about(
    tracking: Tracking, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tracking, models / "m0")
    with tracking.client() as client:
        location = client.get_model_version_download_uri("shop", "1")
    shutil.rmtree(location.removeprefix("file://"))
    with pytest.raises(UserError, match="version 1 of (model )?'shop'"):
        promote(tracking, Promotion("shop", 1))
    assert alias(tracking) is None


def test_rollback_to_a_version_whose_artefacts_are_gone(tracking: Tracking, models: Path) -> None:
    for number in range(2):
        add(tracking, models / f"m{number}")
        promote(tracking, Promotion("shop", number + 1))
    with tracking.client() as client:
        location = client.get_model_version_download_uri("shop", "1")
    shutil.rmtree(location.removeprefix("file://"))
    with pytest.raises(UserError):
        rollback(tracking, "shop")
    assert alias(tracking) == 2


def test_other_features_than_the_champions(tracking: Tracking, models: Path, tmp_path: Path) -> None:
    add(tracking, models / "m0")
    promote(tracking, Promotion("shop", 1))
    make_model(tmp_path / "more", encoder=make_encoder(extra="weather"))
    add(tracking, tmp_path / "more")
    with pytest.raises(
        UserError, match=r"version 2 of 'shop' takes other features than version 1 \(new: weather\): allow_new_sig"
    ):
        promote(tracking, Promotion("shop", 2))
    assert alias(tracking) == 1
    assert promote(tracking, Promotion("shop", 2, allow_new_signature=True)).moved


def test_an_alias_that_does_not_exist(tracking: Tracking, models: Path) -> None:
    add(tracking, models / "m0")
    with pytest.raises(UserError, match="model 'shop' has no alias 'champion'; it has challenger → 1"):
        rollback(tracking, "shop")


def test_a_version_whose_run_was_deleted(tracking: Tracking, models: Path) -> None:
    """Its artefacts are its own: it may be promoted."""
    done = register(tracking, Registration("shop", models / "m0", tags=ACCEPTED, encoded_model=False))
    with tracking.client() as client:
        client.delete_run(done.version.run_id)
    assert promote(tracking, Promotion("shop", 1)).moved
    assert alias(tracking) == 1


def test_a_version_that_was_deleted(tracking: Tracking, models: Path) -> None:
    for number in range(2):
        add(tracking, models / f"m{number}")
    promote(tracking, Promotion("shop", 1))
    with tracking.client() as client:
        client.delete_model_version("shop", "2")
    with pytest.raises(UserError, match="model 'shop' has no version 2; its aliases are champion → 1"):
        promote(tracking, Promotion("shop", 2))
    assert alias(tracking) == 1
