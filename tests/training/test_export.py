"""What is exported says what the module says, for any number of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training import export
from airflow_provider_mlfeat.training.export import export_module
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.models import build_model
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.user_module import load_module

OWN = "tests.training.modules"


def layout(fields: int, values: int) -> FieldLayout:
    names = tuple(f"c{place}" for place in range(fields))
    return FieldLayout(names, tuple(50 + place for place in range(fields)), tuple(f"v{one}" for one in range(values)))


def model_of(kind: str, given: FieldLayout) -> torch.nn.Module:
    torch.manual_seed(0)
    # Logits stay within a few units: near 0 and 1, a float32 probability no longer tells logits 1e-5 apart.
    settings = TrainSettings(model=kind, hidden_layers=(16, 8), dropout=0.5, embedding_deviation=0.2)
    return build_model(settings, given).eval()


def rows(given: FieldLayout, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    ids = np.stack([random.integers(0, size, count) for size in given.sizes] or [np.zeros(count)], 1).astype(np.int64)
    return ids[:, : len(given.sizes)], random.normal(size=(count, len(given.value_names))).astype(np.float32)


def session_scores(path: Path, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    given = {"INPUT_0": ids, "INPUT_1": values}
    return session.run(["OUTPUT_0"], {one.name: given[one.name] for one in session.get_inputs()})[0]


def logits(scores: np.ndarray) -> np.ndarray:
    exact = scores.astype(np.float64)
    return np.log(exact) - np.log1p(-exact)


@pytest.mark.parametrize(
    ("kind", "fields", "values"),
    [
        ("deepfm", 5, 2),
        ("deepfm", 3, 0),
        ("wide_deep", 2, 1),
        ("lr", 3, 0),
        ("dnn", 0, 3),
        (f"module:{OWN}:Towers", 3, 2),
    ],
)
def test_exported_logits_are_the_models(tmp_path: Path, kind: str, fields: int, values: int) -> None:
    given = layout(fields, values)
    model = model_of(kind, given)
    export_module(model, given.sizes, values, tmp_path)
    program = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 2, 257):
        ids, numbers = rows(given, count)
        with torch.no_grad():
            said = model(torch.from_numpy(ids), torch.from_numpy(numbers)).numpy()
        scores = session_scores(tmp_path / "model.onnx", ids, numbers)
        assert scores.shape == (count, 1)
        np.testing.assert_allclose(logits(scores[:, 0]), said, atol=1e-5)
        inputs = [torch.from_numpy(one) for one in (ids, numbers) if one.shape[1]]
        with torch.no_grad():
            np.testing.assert_allclose(logits(program(*inputs).numpy()[:, 0]), said, atol=1e-5)


def test_weights_of_a_large_model_lie_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_EXTERNAL_DATA_BYTES", 1_000)
    given = layout(3, 1)
    model = model_of("deepfm", given)
    made = export_module(model, given.sizes, 1, tmp_path)
    assert made == ("model.onnx", "model.onnx.data", "model.pt2")
    ids, numbers = rows(given, 9)
    with torch.no_grad():
        said = torch.sigmoid(model(torch.from_numpy(ids), torch.from_numpy(numbers))).numpy()
    np.testing.assert_allclose(session_scores(tmp_path / "model.onnx", ids, numbers)[:, 0], said, atol=1e-6)


def test_a_module_that_looks_at_its_rows_is_refused(tmp_path: Path) -> None:
    given = layout(2, 1)
    with pytest.raises(UserError, match=r"cannot be exported: .*forward\(\) may not depend on values"):
        export_module(model_of(f"module:{OWN}:Choosy", given), given.sizes, 1, tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.training.modules", "is no path of a module: write package.name:Class"),
        ("tests.training.nowhere:Model", "there is no module 'tests.training.nowhere' where the job runs"),
        (f"{OWN}:Absent", f"module '{OWN}' has no 'Absent'"),
        (f"{OWN}:not_a_module", "gave a str: a model is a torch.nn.Module"),
        (f"{OWN}:PerField", r"gives 6 numbers of torch.float32 for 3 rows: its forward\(\) gives one logit per row"),
        (f"{OWN}:Broken", "fails on 3 rows of zeros: no rows, please"),
    ],
)
def test_a_module_that_is_no_model_is_refused(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_module(path, layout(2, 1), TrainSettings(model=f"module:{path}"))


def test_a_module_takes_its_parameters() -> None:
    settings = TrainSettings(model=f"module:{OWN}:Towers", parameters={"width": 7})
    model = load_module(f"{OWN}:Towers", layout(2, 1), settings)
    assert sum(one.numel() for one in model.parameters()) == 7 * (50 + 51) + 7 * 2 + 1 + 1
    settings = TrainSettings(model=f"module:{OWN}:Towers", parameters={"depth": 7})
    with pytest.raises(UserError, match=r"cannot be made of sizes, values and its parameters: .*'depth'"):
        load_module(f"{OWN}:Towers", layout(2, 1), settings)
