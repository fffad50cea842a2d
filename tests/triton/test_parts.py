"""The parts that need no server: configuration texts, what is live, where the server is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import run
from airflow_provider_mlfeat.jobs.triton import infer
from airflow_provider_mlfeat.serving.triton.configuration import Tensor, Tuning, configure, to_text, with_versions
from airflow_provider_mlfeat.serving.triton.environment import TritonEnvironment
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.live_state import Canary, LiveState
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.raw_front import RawFront
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Rollout
from tests.registry.folders import make_model

INPUT, OUTPUT = Tensor("INPUT_0", "INT64", (41,)), Tensor("OUTPUT_0", "FP32", (1,))


def test_the_text_of_a_configuration() -> None:
    tuning = Tuning(instances=2, queue_delay_us=100, queue_size=64, queue_timeout_us=5000, cache=True)
    assert (
        to_text(configure("jd", [INPUT], [OUTPUT], (2, 1), tuning))
        == """\
name: "jd"
backend: "python"
parameters {
  key: "threads"
  value {
    string_value: "1"
  }
}
max_batch_size: 4096
input {
  name: "INPUT_0"
  data_type: TYPE_INT64
  dims: 41
}
output {
  name: "OUTPUT_0"
  data_type: TYPE_FP32
  dims: 1
}
instance_group {
  count: 2
  kind: KIND_CPU
}
dynamic_batching {
  max_queue_delay_microseconds: 100
  default_queue_policy {
    max_queue_size: 64
    timeout_action: REJECT
    default_timeout_microseconds: 5000
  }
}
response_cache {
  enable: true
}
version_policy {
  specific {
    versions: 1
    versions: 2
  }
}
"""
    )


def test_other_backends() -> None:
    onnx = configure("jd", [INPUT], [OUTPUT], (1,), Tuning(backend="onnxruntime", gpus=(0, 1), threads=4))
    assert (onnx["platform"], onnx["instance_group"]) == (
        "onnxruntime_onnx",
        [{"count": 1, "kind": "KIND_GPU", "gpus": [0, 1]}],
    )
    assert onnx["parameters"]["intra_op_thread_count"] == {"string_value": "4"}
    warm_up = onnx["model_warmup"][0]
    assert warm_up["inputs"] == {"INPUT_0": {"data_type": "TYPE_INT64", "dims": [41], "zero_data": True}}
    assert 'inputs {\n    key: "INPUT_0"\n    value {' in to_text(onnx)
    assert configure("jd", [INPUT], [OUTPUT], (1,), Tuning(backend="pytorch"))["platform"] == "pytorch_libtorch"
    assert with_versions(onnx, (3,))["version_policy"] == {"specific": {"versions": [3]}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "tensorrt"}, "backend takes python, onnxruntime, pytorch, not 'tensorrt'"),
        ({"gpus": (0,)}, "the python backend runs on the CPU"),
        ({"backend": "pytorch", "environment": "/venv"}, "an environment is for the python backend, not for pytorch"),
    ],
)
def test_tuning_that_cannot_be(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tuning(**arguments)  # type: ignore[arg-type]


def test_a_key_always_gets_the_same_version() -> None:
    state = LiveState("jd", live=3, canary=Canary(4, 0.2))
    chosen = {str(key): state.version_for(str(key)) for key in range(5000)}
    assert {key: state.version_for(key) for key in chosen} == chosen
    assert 0.17 < sum(version == 4 for version in chosen.values()) / 5000 < 0.23
    # The next canary tries other keys.
    other = LiveState("jd", live=4, canary=Canary(5, 0.2))
    first = {key for key, version in chosen.items() if version == 4}
    assert 0.1 < sum(other.version_for(key) == 5 for key in first) / len(first) < 0.3
    assert LiveState("jd").version_for("x") is None


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    directory = ModelRepository(str(tmp_path)).model("jd")
    assert directory.state() == LiveState("jd")
    state = LiveState("jd", live=2, previous=1, loaded=(1, 2), canary=Canary(3, 0.1), configuration={"name": "jd"})
    state = state.changed("deploy", "why")
    directory.write_state(state)
    assert directory.state() == state
    assert ModelRepository(tmp_path.as_uri()).models() == ["jd"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "no model repository: set the field 'model_repository'"),
        ("ftp://b/m", "a folder, a shared volume or a prefix of s3://"),
    ],
)
def test_a_repository_elsewhere(location: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelRepository(location)


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'../x' cannot name a model"):
        ModelRepository(str(tmp_path)).model("../x")


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model: it has no model.json"):
        ServedModel.open(str(tmp_path))
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="lacks fingerprint, inputs, outputs, files"):
        ServedModel.open(str(tmp_path))
    with pytest.raises(UserError, match="from a local or mounted folder, not from 's3://"):
        ServedModel.open("s3://bucket/model")


def test_no_server_is_installed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Triton server in .*: 'make triton' installs one"):
        TritonEnvironment.find(tmp_path)


def test_numpy_two_beside_the_server_is_refused(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    binary = packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    binary.parent.mkdir(parents=True)
    binary.touch()
    (packages / "numpy-2.1.0.dist-info").mkdir()
    with pytest.raises(UserError, match="has numpy 2.1.0, with which this Triton returns empty answers"):
        TritonEnvironment.find(tmp_path)


def test_a_front_that_came_while_waiting_for_the_lock_is_seen(tmp_path: Path) -> None:
    """What was is looked at when the change begins, not when the job is made."""
    repository = ModelRepository(str(tmp_path / "models"))
    nobody: Any = None
    front = RawFront(Rollout(repository.model("jd"), nobody, nobody), tmp_path)
    repository.model("jd_raw").write_state(LiveState("jd_raw", live=3, loaded=(3,)))
    assert (front.wanted, front.before.live) == (True, 3)


def test_input_that_changes_while_it_is_scored_leaves_no_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "model")

    def score(*given: Any) -> tuple[int, float]:
        pq.write_table(pa.table({"score": [0.5]}), given[-2])
        return 1, 0.5

    monkeypatch.setattr(infer, "_score", score)
    rows = str(model / "golden_features.parquet")
    spec = infer.TritonInferSpec(
        servers=("127.0.0.1:1",), triton_model="jd", triton_version=1, model=str(model), input=(rows,),
        output=str(tmp_path / "scores.parquet"),
    )  # fmt: skip
    with pytest.raises(UserError, match="1 rows were scored, not .*: the input changed while it was read"):
        run(spec)
    assert not (tmp_path / "scores.parquet").exists()


def test_scores_of_no_rows_have_their_columns(tmp_path: Path) -> None:
    rows = pa.table({"id": pa.array([], pa.int64()), "x": pa.array([], pa.string())})
    fitter = EncoderFitter([Field("x", "x", "vocabulary")], rows.schema)
    fitter.add(pa.table({"id": [1], "x": ["a"]}))
    spec = infer.TritonInferSpec(
        servers=("127.0.0.1:1",), triton_model="jd", model="m", input=("r",), output="s", keys=("id",)
    )
    nobody: Any = None
    with Fleet(["127.0.0.1:1"]) as fleet:
        target = tmp_path / "scores.parquet"
        assert infer._score(spec, 1, fitter.finish(), ds.dataset(rows), fleet, target, nobody) == (0, 0.0)
    assert pq.read_schema(target).names == ["id", "score", "model_version"]
