"""The drift check as a job: a feature set, a server's request log, and what an operator is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.serving.server.request_log import write_rows
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.types import parse_type

SCHEMA = (Column("who", parse_type("string")), Column("price", parse_type("double")))
DAY = 86_400_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature set."""
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "state"))
    make_feature_set(tmp_path)
    return tmp_path


def make_feature_set(place: Path) -> None:
    """A feature set of 2,000 rows."""
    random = np.random.default_rng(0)
    pq.write_table(
        pa.table({"who": random.choice(["ann", "bob"], 2_000), "price": random.normal(10, 2, 2_000)}),
        place / "visit.parquet",
    )
    tables = {"visit": str(place / "visit.parquet")}
    do(place, "extract_features", sql="SELECT who, price FROM visit", feature_set="features.visits", tables=tables)


def do(place: Path, kind: str, **fields: Any) -> Any:
    return run(parse_spec({"kind": kind, "root": str(place / "tables"), **fields}))


def drift(place: Path, **options: Any) -> Any:
    folders = {"log_folder": str(place / "log"), "report": str(place / "report")}
    return do(place, "check_drift", feature_set="features.visits@1", **folders, **options)


def log(place: Path, mean: float, count: int = 500, release: int = 1, age: int = 0, probability: float = 0.1) -> None:
    """Requests as a server writes them."""
    random = np.random.default_rng(1)
    now = time.time_ns() // 1_000_000 - age
    rows = [
        (now, str(number), probability, ["x"], (str(who), float(price)))
        for number, (who, price) in enumerate(
            zip(random.choice(["ann", "bob"], count), random.normal(mean, 2, count), strict=True)
        )
    ]
    write_rows(place / "log" / "default" / str(release), f"default@{release}", SCHEMA, rows)


def test_the_same_population(place: Path) -> None:
    log(place, 10)
    result = drift(place)
    assert (result.drifted, result.decided, result.requests, result.breaches) == (False, True, 500, ())
    assert result.worst_index < 0.1
    assert json.loads(Path(result.report).read_text())["feature_set"] == "features.visits@1"


def test_another_population(place: Path) -> None:
    log(place, 14)
    result = drift(place)
    assert (result.drifted, result.worst_column) == (True, "price")
    assert result.breaches[0].startswith("'price': stability index")
    assert not drift(place, ignore=["price"]).drifted
    with pytest.raises(UserError, match=r"requests have drifted: 'price': .*; all figures are in .*drift.json"):
        drift(place, blocking=True)


def test_the_newest_release_and_the_last_hours_count(place: Path) -> None:
    log(place, 14, release=2)
    log(place, 10, release=10, age=0)
    log(place, 14, release=10, age=2 * DAY)
    assert not drift(place, hours=24).drifted
    assert drift(place).requests == 1_000
    assert drift(place, release=2).drifted
    with pytest.raises(UserError, match=r"holds no requests of release 3; there are \[2, 10\]"):
        drift(place, release=3)


def test_few_requests(place: Path) -> None:
    log(place, 20, count=50)
    result = drift(place)
    assert (result.drifted, result.decided, result.requests) == (False, False, 50)


def test_probabilities(place: Path) -> None:
    log(place, 10, probability=0.9)
    scores = place / "scores.parquet"
    pq.write_table(pa.table({"score": np.random.default_rng(0).beta(1, 9, 1_000)}), scores)
    result = drift(place, scores=str(scores))
    assert result.score_shift > 1
    assert result.breaches[0].startswith("the mean probability moved by")
    with pytest.raises(UserError, match="holds no scores of an evaluation"):
        drift(place, scores=str(place / "visit.parquet"))


def test_no_log(place: Path) -> None:
    with pytest.raises(UserError, match="holds no request log"):
        drift(place)
