"""Jobs that train and judge models, on a small dataset."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.errors import CancelledError, UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.jobs.progress import Progress, Snapshot
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.training import assembly
from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.training.datasets import CATEGORIES, NUMBERS, make_dataset

SPEC = {"kind": "train_model", "settings": {}}
TREES = {"trees": 10, "threads": 1}
SMALL = {"epochs": 3, "hidden_layers": [16], "batch_size": 256, "learning_rate": 0.01, "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("datasets") / "shop")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("models"))


def train(dataset: Dataset, output: str, **changes: Any) -> Any:
    spec = {**SPEC, "dataset": str(dataset.folder), "settings": SMALL, "output": output, **changes}
    return run(parse_spec(spec))


def evaluate(model: str, dataset: Dataset, output: str, **changes: Any) -> Any:
    spec = {"kind": "evaluate_model", "model": model, "dataset": str(dataset.folder), "output": output, **changes}
    return run(parse_spec(spec))


@pytest.fixture(scope="module")
def trained(dataset: Dataset, place: str) -> Any:
    """A DeepFM, trained once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFEAT_STATE", place + "/state")
        return train(dataset, place)


def test_a_model_and_its_folder(trained: Any, dataset: Dataset) -> None:
    folder = Path(trained.model)
    model = TrainedModel.open(folder)
    assert model.check() <= 1e-5
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["inputs"] == [
        {"name": "INPUT_0", "dtype": "INT64", "shape": [2]},
        {"name": "INPUT_1", "dtype": "FP32", "shape": [1]},
    ]
    assert manifest["outputs"] == [{"name": "OUTPUT_0", "dtype": "FP32", "shape": [1]}]
    assert manifest["encoder_fingerprint"] == dataset.encoder.fingerprint == model.encoder.fingerprint
    assert (manifest["plan_id"], manifest["dataset_fingerprint"]) == ("p" * 64, dataset.manifest.fingerprint)
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"model.json"}
    assert {"model.onnx", "model.pt2", "golden.npz", "golden_features.parquet", "report.html", "test_roc.png"} <= set(
        manifest["files"]
    )
    assert trained.test_auc == pytest.approx(manifest["metrics"]["test"]["auc"])
    assert (trained.epochs, trained.rows) == (3, dataset.manifest.rows["train"])
    assert not list(folder.parent.glob(".*"))
    page = (folder / "report.html").read_text()
    for text in ("deepfm on features.shop@1", "Throughput", "Importance", "hidden_layers"):
        assert text in page, text


def test_raw_features_of_golden_rows_lead_to_their_scores(trained: Any) -> None:
    """The whole way that a server goes: raw columns, encoder, graph."""
    model = TrainedModel.open(trained.model)
    features = pq.read_table(Path(trained.model) / "golden_features.parquet")
    encoded = model.encoder.encode(features)
    assert np.array_equal(encoded.ids, model.golden.ids)
    assert 32 <= features.num_rows == len(model.golden.outputs) <= 256
    np.testing.assert_allclose(model.predict(encoded.ids, encoded.values), model.golden.outputs, atol=1e-5)
    one = model.encoder.encode_row(features.to_pylist()[0])
    assert model.predict(one.ids[None], one.values[None])[0] == pytest.approx(model.golden.outputs[0], abs=1e-5)


def test_the_same_recipe_is_not_trained_twice_and_another_is(trained: Any, dataset: Dataset, place: str) -> None:
    again = train(dataset, place)
    assert again.already_trained
    assert not trained.already_trained
    assert (again.model, again.model_fingerprint) == (trained.model, trained.model_fingerprint)
    other = train(dataset, place, settings={**SMALL, "epochs": 1})
    assert other.model != trained.model
    assert Path(trained.model).parent == Path(other.model).parent


def test_the_same_seed_gives_the_same_model_elsewhere(trained: Any, dataset: Dataset, tmp_path: Path) -> None:
    again = train(dataset, str(tmp_path))
    one, other = TrainedModel.open(trained.model), TrainedModel.open(again.model)
    assert np.array_equal(one.golden.outputs, other.golden.outputs)
    assert one.manifest.metrics == other.manifest.metrics


@pytest.mark.parametrize("model", ["lr", "wide_deep", "module:tests.training.modules:Towers"])
def test_other_models_by_the_same_job(dataset: Dataset, place: str, model: str) -> None:
    result = train(dataset, place, model=model)
    assert result.model_kind == model
    assert result.valid_auc > 0.55
    assert Path(result.model).parent.name == model.rpartition(":")[2]


def test_trees_take_numbers_with_gaps(tmp_path: Path) -> None:
    numbers = make_dataset(tmp_path / "numbers", fields=(*CATEGORIES[:1], *NUMBERS))
    assert np.isnan(numbers.split("train").values).any()
    result = train(numbers, str(tmp_path / "models"), model="xgboost", settings={"trees": 40, "threads": 1})
    model = TrainedModel.open(result.model)
    assert model.check() <= 1e-5
    assert result.valid_auc > 0.6
    assert [tensor.shape for tensor in model.manifest.inputs] == [(1,), (2,)]
    assert not (model.folder / "model.pt2").exists()
    assert "best tree" in (model.folder / "report.html").read_text()
    assert evaluate(result.model, numbers, str(tmp_path / "evaluations")).auc == result.test_auc
    only = make_dataset(tmp_path / "only", fields=NUMBERS)
    result = train(only, str(tmp_path / "models"), model="xgboost", settings={"trees": 5, "threads": 1})
    assert [tensor.name for tensor in TrainedModel.open(result.model).manifest.inputs] == ["INPUT_1"]


def test_every_row_is_judged_once(trained: Any, dataset: Dataset, place: str) -> None:
    result = evaluate(trained.model, dataset, f"{place}/evaluations", slices=["shop", "price"])
    folder = Path(result.evaluation)
    document = json.loads((folder / "evaluation.json").read_text())
    scores = pq.read_table(folder / "scores.parquet").to_pydict()
    assert scores["row"] == list(range(dataset.manifest.rows["test"]))
    assert (result.rows, result.positives) == (dataset.manifest.rows["test"], dataset.manifest.positives["test"])
    labels = np.array(scores["label"])
    assert np.array_equal(labels, dataset.split("test").labels)
    assert document["metrics"] == pytest.approx(compute_metrics(labels, np.array(scores["score"], np.float32)))
    assert result.auc == pytest.approx(trained.test_auc)
    assert result.auc_low < result.auc < result.auc_high
    assert set(document["baselines"]) == {"constant", "logistic"}
    assert document["baselines"]["constant"]["auc"] == 0.5
    assert result.logistic_auc == document["baselines"]["logistic"]["auc"] > 0.55
    assert {"logistic", "constant"} <= set(scores)
    assert set(document["slices"]) == {"shop", "price"}
    assert "By shop" in (folder / "report.html").read_text()
    assert evaluate(trained.model, dataset, f"{place}/evaluations", slices=["shop", "price"]).already_evaluated


def test_a_model_on_rows_of_another_encoder(trained: Any, tmp_path: Path) -> None:
    later = make_dataset(tmp_path / "later", seed=7)
    with pytest.raises(UserError, match="the dataset's encoder is .* and the model's .*: train on this dataset, or"):
        evaluate(trained.model, later, str(tmp_path / "evaluations"))
    result = evaluate(trained.model, later, str(tmp_path / "evaluations"), encoder="model")
    assert result.rows == later.manifest.rows["test"]
    assert result.auc > 0.5
    lacking = make_dataset(tmp_path / "lacking", fields=CATEGORIES)
    pq.write_table(lacking.features("test").drop_columns(["price"]), lacking.folder / "test" / "features.parquet")
    size = (lacking.folder / "test" / "features.parquet").stat().st_size
    document = json.loads((lacking.folder / "dataset.json").read_text())
    document["files"]["test/features.parquet"]["size"] = size
    (lacking.folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="the model reads feature 'price', which the dataset lacks"):
        evaluate(trained.model, Dataset.open(lacking.folder), str(tmp_path / "evaluations"), encoder="model")


def test_a_damaged_model_is_refused(trained: Any, dataset: Dataset, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(trained.model, copy)
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match=r"model.onnx is not what was written \(its digest differs\)"):
        evaluate(str(copy), dataset, str(tmp_path))
    (copy / "golden.npz").unlink()
    (copy / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"golden.npz is missing|model.onnx is missing"):
        TrainedModel.open(copy).check()
    (copy / "model.json").unlink()
    with pytest.raises(UserError, match=r"is no model folder: it has no model.json"):
        TrainedModel.open(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"epoch": 3}}, "settings of model 'deepfm': unknown field 'epoch'; did you mean 'epochs'"),
        ({"model": "deep"}, "settings of model 'deep': field 'model'"),
        ({"model": "xgboost", "settings": {"trees": 0}}, "settings of model 'xgboost': field 'trees'"),
        ({"dataset": "/nowhere"}, "/nowhere is no dataset"),
        ({"dataset": "s3://bucket/dataset"}, "is in an object store"),
        ({"output": "s3://bucket/models"}, "models need a local or mounted folder"),
        ({"name": "a/b"}, "'a/b' cannot name a model"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    dataset: Dataset, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(parse_spec({**SPEC, "dataset": str(dataset.folder), "output": str(tmp_path), **changes}))
    assert not list(tmp_path.glob("*/*"))


def test_the_faithful_profile_has_the_published_settings() -> None:
    from airflow_provider_mlfeat.jobs.training.train import read_settings

    settings: Any = read_settings("deepfm", {"epochs": 2}, "faithful")
    assert (settings.hidden_layers, settings.batch_size, settings.schedule) == ((1000,) * 5, 1000, "tenth")
    assert settings.epochs == 2
    assert read_settings("deepfm", {}, "recommended").hidden_layers == (400, 400, 400)  # type: ignore[union-attr]


def test_a_model_whose_graph_says_something_else_gets_no_folder(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = assembly.Golden.save

    def save_others(golden: assembly.Golden, path: Path) -> None:
        right(assembly.Golden(golden.ids, golden.values, golden.outputs + 0.01), path)

    monkeypatch.setattr(assembly.Golden, "save", save_others)
    with pytest.raises(UserError, match="the exported graph gives .* for golden row"):
        train(dataset, str(tmp_path), model="xgboost", settings=TREES)
    assert not list(tmp_path.glob("xgboost/*"))


class StopAt:
    """A sink that cancels the job when a stage begins."""

    def __init__(self, stage: str, cancellation: Cancellation) -> None:
        self.stage, self.cancellation = stage, cancellation

    def show(self, snapshot: Snapshot, *, final: bool) -> None:
        if snapshot.stage.startswith(self.stage):
            self.cancellation.request()


@pytest.mark.parametrize(
    ("model", "stage"), [("lr", "epoch 2"), ("xgboost", "export"), ("xgboost", "importance"), ("xgboost", "report")]
)
def test_a_cancelled_training_leaves_no_model(dataset: Dataset, tmp_path: Path, model: str, stage: str) -> None:
    cancellation = Cancellation()
    settings = SMALL if model == "lr" else TREES
    spec = {**SPEC, "dataset": str(dataset.folder), "settings": settings, "model": model, "output": str(tmp_path)}
    progress = Progress([StopAt(stage, cancellation)], cancellation)
    with pytest.raises(CancelledError):
        run(parse_spec(spec), progress, cancellation)
    assert not [path for path in tmp_path.glob(f"{model}/*") if not path.name.startswith(".checkpoints")]


def test_the_commands(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(dataset.folder), "--model", "lr", "--output", str(tmp_path)]
    arguments += [text for name, value in SMALL.items() for text in ("--set", f"{name}={json.dumps(value)}")]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model_kind"] == "lr"
    evaluations = str(tmp_path / "evaluations")
    assert main(["evaluate", result["model"], str(dataset.folder), "--slice", "brand", "--output", evaluations]) == 0
    assert json.loads(capsys.readouterr().out)["auc"] == result["test_auc"]
    assert main(["train", str(tmp_path), "--set", "epochs"]) == 2
    assert main(["evaluate", str(tmp_path), str(dataset.folder)]) == 2
    assert "is no model folder" in capsys.readouterr().err
    assert os.listdir(tmp_path / "lr")


def test_a_dataset_beside_another_encoder_trains_nothing(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(dataset.folder, folder)
    other = make_dataset(tmp_path / "other", rows=400, seed=9)
    shutil.copyfile(other.folder / "encoder.bin", folder / "encoder.bin")
    # The encoder's size may tell already; what its fingerprint says is asked where it does not.
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["files"]["encoder.bin"]["size"] = (folder / "encoder.bin").stat().st_size
    (folder / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(
        UserError, match="was made by encoder .* and the encoder beside it is .*: build the dataset again"
    ):
        run(parse_spec({**SPEC, "dataset": str(folder), "settings": SMALL, "output": str(tmp_path / "models")}))
    assert not (tmp_path / "models").exists()
