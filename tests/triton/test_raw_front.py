"""Raw features to the real server: encoded inside it, and scored by the version that was trained with the encoder."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.encoder import Encoder, Field
from airflow_provider_mlfeat.dataset.encoder.canonical import type_name
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import ServedModel
from airflow_provider_mlfeat.serving.triton.raw_front import RawFront, row_text
from airflow_provider_mlfeat.serving.triton.rollout import Rollout
from tests.registry.folders import make_model
from tests.triton.conftest import rollout_of

Make = Callable[..., Rollout]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[ServedModel]:
    folder = tmp_path_factory.mktemp("trained")
    return [
        ServedModel.open(str(make_model(folder / f"m{seed}", noise=0.5, seed=seed, bias=-float(seed))))
        for seed in range(3)
    ]


@pytest.fixture
def make(repository: Path, fleet: Fleet, name: str, tmp_path: Path) -> Iterator[Make]:
    """Roll-outs of the test's model, each anew as a job makes it."""

    def made(wanted: bool = False) -> Rollout:
        rollout = rollout_of(repository, fleet, name)
        rollout.companion = RawFront(rollout, tmp_path, wanted)
        return rollout

    yield made
    for served in (f"{name}_raw", name):
        fleet.try_each(lambda client, served=served: client.unload(served))  # type: ignore[misc]


def rows_of(model: ServedModel) -> Any:
    rows = pq.read_table(model.folder / "golden_features.parquet").to_pylist()
    return np.array([row_text(row) for row in rows], dtype=object).reshape(-1, 1)


def asked(rollout: Rollout, model: ServedModel, version: int | None = None) -> Any:
    (client,) = rollout.fleet.clients.values()
    return client.infer(rollout.name + "_raw", {"FEATURES": rows_of(model)}, version=version)["OUTPUT_0"].reshape(-1)


def test_raw_rows_get_the_answers_of_encoded_ones(make: Make, trained: list[ServedModel]) -> None:
    rollout = make(wanted=True)
    rollout.deploy(trained[0], 1)
    golden = trained[0].golden_rows()
    (client,) = rollout.fleet.clients.values()
    encoded = client.infer(rollout.name, golden.inputs)["OUTPUT_0"].reshape(-1)
    assert np.array_equal(asked(rollout, trained[0]), encoded)
    assert np.abs(encoded - golden.outputs).max() < 1e-5


def test_every_type_comes_through_json(make: Make, tmp_path: Path) -> None:
    """Points in time, dates, decimals, single precision, long integers, NULLs: the ids are those of the columns."""
    moments = [datetime(2016, 3, 15, 23, 59, 59, 999000), datetime(1969, 12, 31, 23, 59, 59, 1000), None]
    table = pa.table(
        {
            "moment": pa.array(moments * 8, pa.timestamp("us")),
            "zoned": pa.array(moments * 8, pa.timestamp("ms", "Asia/Shanghai")),
            "day": pa.array([date(2016, 2, 29), None, date(1900, 1, 1)] * 8),
            "money": pa.array([Decimal("12345678901234.50"), Decimal("-0.01"), None] * 8, pa.decimal128(18, 2)),
            "single": pa.array([0.1, 16777216.0, None] * 8, pa.float32()),
            "long": pa.array([2**62 + 1, -1, None] * 8, pa.int64()),
            "flag": pa.array([True, False, None] * 8),
            "text": pa.array(['中文\n"', "", None] * 8),
        }
    )
    kinds = {name: type_name(table.schema.field(name).type) for name in table.column_names}
    fields = [Field(name, name, "hash", type=kind, rows=1000, size=1002) for name, kind in kinds.items()]
    hour = Field("hour", "zoned", "part", type="timestamp", part="hour", zone="+08:00", size=26)
    price = Field("price", "single", "value", type="float32")
    encoder = Encoder((*fields, hour, price), {}, "plan")
    folder = make_model(tmp_path / "all", encoder=encoder, features=table)
    model = ServedModel.open(str(folder))
    rollout = make(wanted=True)
    rollout.deploy(model, 1)
    assert len(np.unique(encoder.encode(table).ids[:3], axis=0)) == 3
    assert np.abs(asked(rollout, model) - model.golden_rows().outputs).max() < 1e-6
    (client,) = rollout.fleet.clients.values()
    # The same moments and days as people write them.
    row = {
        **json.loads(rows_of(model)[0, 0]),
        "moment": "2016-03-15T23:59:59.999",
        "zoned": "2016-03-16T07:59:59.999+08:00",
    }
    answer = client.infer(rollout.name + "_raw", {"FEATURES": np.array([[json.dumps(row)]], dtype=object)})["OUTPUT_0"]
    assert abs(answer[0, 0] - model.golden_rows().outputs[0]) < 1e-6


def test_both_change_in_step(make: Make, trained: list[ServedModel]) -> None:
    make(wanted=True).deploy(trained[0], 1)
    # Once there is a front, nobody has to ask for it.
    rollout = make()
    rollout.deploy(trained[1], 2)
    front = make().companion
    assert isinstance(front, RawFront)
    assert (front.before.live, front.before.loaded) == (2, (1, 2))
    assert np.abs(asked(rollout, trained[1]) - trained[1].golden_rows().outputs).max() < 1e-5
    assert np.abs(asked(rollout, trained[1], 1) - trained[0].golden_rows().outputs).max() < 1e-5
    make().unload(1)
    assert set(rollout.fleet.ready_versions(rollout.name + "_raw").values()) == {frozenset({2})}
    make().roll_back(1, reason="worse")
    assert np.abs(asked(rollout, trained[0]) - trained[0].golden_rows().outputs).max() < 1e-5
    assert front.rollout.directory.state().history[-1]["reason"] == "worse"
    assert not make(wanted=True).deploy(trained[0], 1).changed
    make().unload()
    assert set(rollout.fleet.ready_versions(rollout.name + "_raw").values()) == {frozenset()}


def test_nothing_fails_while_both_change(make: Make, trained: list[ServedModel]) -> None:
    rollout = make(wanted=True)
    rollout.deploy(trained[0], 1)
    (client,) = rollout.fleet.clients.values()
    answers = [trained[seed].golden_rows().outputs for seed in (0, 1)]
    rows, stop, failures, sent = rows_of(trained[0]), threading.Event(), list[str](), [0]

    def work() -> None:
        own = TritonClient(client.address, client.access)
        while not stop.wait(0.005):
            row = sent[0] % len(rows)
            sent[0] += 1
            try:
                answer = own.infer(rollout.name + "_raw", {"FEATURES": rows[row : row + 1]})["OUTPUT_0"][0, 0]
                if not any(abs(answer - known[row]) < 1e-5 for known in answers):
                    failures.append(f"{answer} for row {row}")
            except (UserError, TransientError) as error:
                failures.append(str(error))
        own.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(2):
            make().deploy(trained[1], 2, keep=0)
            make().roll_back(1)
    finally:
        stop.set()
        thread.join()
    assert (failures[:3], sent[0] > 50) == ([], True)


def test_an_encoder_that_is_not_the_models(make: Make, trained: list[ServedModel], tmp_path: Path) -> None:
    """The model itself is right: neither goes live, and what was goes on."""
    rollout = make(wanted=True)
    rollout.deploy(trained[0], 1)
    other = make_model(tmp_path / "other", noise=0.5, seed=1)
    features = pq.read_table(other / "golden_features.parquet")
    pq.write_table(features.take(list(reversed(range(features.num_rows)))), other / "golden_features.parquet")
    with pytest.raises(UserError, match="golden row"):
        make().deploy(ServedModel.open(str(other)), 2)
    (other / "golden_features.parquet").unlink()
    with pytest.raises(UserError, match=r"has no golden_features.parquet, which a model on raw features needs"):
        make().deploy(ServedModel.open(str(other)), 2)
    for name in (rollout.name, rollout.name + "_raw"):
        assert set(rollout.fleet.ready_versions(name).values()) == {frozenset({1})}
    assert np.abs(asked(rollout, trained[0]) - trained[0].golden_rows().outputs).max() < 1e-5


def test_a_change_that_fails_after_the_front_has_changed(
    make: Make, trained: list[ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(wanted=True).deploy(trained[0], 1)
    rollout = make()

    def full(_: LiveState) -> None:
        raise TransientError("no space")

    monkeypatch.setattr(rollout.directory, "write_state", full)
    with pytest.raises(TransientError, match="no space"):
        rollout.deploy(trained[1], 2)
    assert np.abs(asked(rollout, trained[0]) - trained[0].golden_rows().outputs).max() < 1e-5


def test_a_version_without_a_front_takes_it_away(make: Make, trained: list[ServedModel]) -> None:
    make().deploy(trained[0], 1)
    rollout = make(wanted=True)
    rollout.deploy(trained[1], 2)
    make().roll_back()
    assert set(rollout.fleet.ready_versions(rollout.name + "_raw").values()) == {frozenset()}
    assert set(rollout.fleet.ready_versions(rollout.name).values()) == {frozenset({1})}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("city"), "the row lacks column 'city', which the encoder reads"),
        (lambda row: row.update(price="dear"), "column 'price' takes float, not 'dear'"),
        (lambda row: row.update(city=3), "column 'city' takes string, not 3"),
        (lambda row: row.update(price=10**400), "column 'price': the value is beyond all numbers of its type"),
    ],
)
def test_rows_that_do_not_fit(make: Make, trained: list[ServedModel], change: Any, message: str) -> None:
    rollout = make(wanted=True)
    rollout.deploy(trained[0], 1)
    (client,) = rollout.fleet.clients.values()
    row = json.loads(rows_of(trained[0])[0, 0])
    change(row)
    with pytest.raises(UserError, match=message):
        client.infer(rollout.name + "_raw", {"FEATURES": np.array([[json.dumps(row)]], dtype=object)})
    mistakes = {
        "{": "a row is no JSON",
        "[1]": "a row is a JSON object with the features by name",
        "[" * 100_000: "recursion",
    }
    for text, told in mistakes.items():
        with pytest.raises(UserError, match=told):
            client.infer(rollout.name + "_raw", {"FEATURES": np.array([[text]], dtype=object)})


def test_the_job_brings_both_live(
    server: LocalServer, repository: Path, name: str, make: Make, trained: list[ServedModel]
) -> None:
    place = {"servers": [server.grpc_address], "protocol": "grpc", "repository": str(repository), "triton_model": name}
    model = str(trained[2].folder)
    done = run(parse_spec({"kind": "deploy_triton_model", **place, "model": model, "raw_features": True}))
    assert (done.triton_version, done.changed) == (1, True)  # type: ignore[attr-defined]
    assert np.abs(asked(make(), trained[2]) - trained[2].golden_rows().outputs).max() < 1e-5
    run(parse_spec({"kind": "unload_triton_model", **place}))
    assert set(make().fleet.ready_versions(name + "_raw").values()) == {frozenset()}
