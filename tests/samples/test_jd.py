"""Purchase-intention data: the sample's cardinalities, a signal that can be learned, and nothing known too early."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.samples.generate import generate
from airflow_provider_mlfeat.samples.jd import figures
from tests.places import ROOT

# Columns of dags/sql/jd_features.sql: distinct values, NULL counting as one.
EXACT = {
    "request_1": 13916, "event_time": 13890, "request_text": 13916, "pair_id": 10000, "sku_id": 3674, "user_id": 9119,
    "user_pairs_rows": 4, "user_pairs_14d": 4, "pair_count_rows": 11, "day_of_week": 7, "working_day": 2,
    "request_2": 13916, "product_a1": 5, "product_a2": 4, "product_a3": 4, "product_br": 33, "product_cate": 2,
    "product_time": 2, "user_age": 7, "user_time": 2580, "user_sex": 3, "user_level": 5, "request_3": 13916,
    "rate_min_rows": 1, "rate_min_64d": 1, "comment_nums_64d": 5, "has_bads_64d": 3, "has_bad_top_64d": 10,
    "request_4": 13916, "cate_top_10h": 17, "types_14d": 7,
}  # fmt: skip
NEAR = {
    "user_pair_share_rows": 26, "user_pair_share_14d": 16, "rate_max_64d": 809, "comment_num_top_64d": 47,
    "br_top_10h": 365, "model_top_7d": 132, "type_top_7d": 32, "type_top_14d": 37,
}  # fmt: skip
LOOSE = {"models_14d": 17, "models_7d": 16}
TABLES = ("action", "bo_user", "bo_action", "bo_product", "bo_comment")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate("jd", tmp_path_factory.mktemp("jd") / "data").directory


@pytest.fixture(scope="module")
def features(folder: Path) -> pa.Table:
    output = folder.parent / "features.parquet"
    command = ["sql", "run", str(ROOT / "dags" / "sql" / "jd_features.sql"), "--out", str(output)]
    command += ["--table", f"flattenRequest={folder / 'flattenRequest_clean'}"]
    for table in TABLES:
        command += ["--table", f"{table}={folder / table}"]
    assert main(command) == 0
    return pq.read_table(output)


def test_cardinalities(features: pa.Table) -> None:
    distinct = {name: len(features[name].unique()) for name in features.column_names}
    assert {name: distinct[name] for name in EXACT} == EXACT
    assert set(features.column_names) == {*EXACT, *NEAR, *LOOSE, "label"}
    for name, wanted in NEAR.items():
        assert 0.7 * wanted <= distinct[name] <= 1.3 * wanted, name
    for name, wanted in LOOSE.items():
        assert 0.5 * wanted <= distinct[name] <= 1.5 * wanted, name


def test_signal(features: pa.Table) -> None:
    label = features["label"].to_numpy()
    assert 0.01 <= label.mean() <= 0.02
    # A visit that put something into the cart or followed it is far likelier to end well.
    intent = pc.match_substring_regex(features["type_top_14d"], "(^|,)[25](,|$)").to_numpy()
    assert label[intent].mean() > 4 * label[~intent].mean()
    latest = features["event_time"].to_numpy() > np.quantile(
        features["event_time"].to_numpy().astype("int64"), 0.8
    ).astype("datetime64[ms]")
    assert label[latest].sum() >= 30


def test_rows_are_as_the_pipeline_expects(folder: Path) -> None:
    requests = pq.read_table(folder / "flattenRequest_clean")
    times = requests["time"].to_numpy()
    assert len(requests["main_id"].unique()) == requests.num_rows
    assert (requests["eventTime"].cast("timestamp[ms]").cast("int64").to_numpy() == times).all()
    assert (times % 1000 == 0).all()
    assert ((requests["split_id"].to_numpy() == 2) == (times >= figures.LABELLED_UNTIL)).all()
    row = requests.slice(0, 1).to_pylist()[0]
    assert row["pair_id"] == f"{row['user_id']}_{row['sku_id']}"
    assert row["reqId"] == f"{row['pair_id']}_{row['time1']}"
    assert "T" not in row["time1"]
    actions = pq.read_table(folder / "bo_action")
    assert actions["time"].to_numpy().max() <= figures.LAST_ACTION
    assert actions.num_rows == len(set(map(tuple, zip(*actions.to_pydict().values(), strict=True))))
    comments = pq.read_table(folder / "bo_comment")
    assert ((comments["bad_comment_rate"].to_numpy() > 0) == (comments["has_bad_comment"].to_numpy(False) == "1")).all()


def test_visits_of_a_pair_are_a_day_apart(folder: Path) -> None:
    requests = pq.read_table(folder / "flattenRequest_clean", columns=["pair_id", "time"])
    requests = requests.sort_by([("pair_id", "ascending"), ("time", "ascending")])
    pair = requests["pair_id"].to_numpy(False)
    gaps = np.diff(requests["time"].to_numpy())[pair[1:] == pair[:-1]]
    assert gaps.min() >= figures.DAY


def test_larger_and_smaller(tmp_path: Path) -> None:
    small = generate("jd", tmp_path / "small", scale=0.1)
    assert 800 < small.rows["flattenRequest_clean"] < 2000
    users = pq.read_table(tmp_path / "small" / "bo_user")["user_id"]
    asking = pq.read_table(tmp_path / "small" / "flattenRequest_clean")["user_id"]
    assert set(asking.to_pylist()) == set(users.to_pylist())
    large = generate("jd", tmp_path / "large", scale=1.5)
    assert large.rows["flattenRequest_clean"] > 19_000
    requests = pq.read_table(tmp_path / "large" / "flattenRequest_clean")
    assert len(requests["reqId"].unique()) == requests.num_rows
    assert len(requests["user_id"].unique()) == large.rows["bo_user"]
    assert json.loads((tmp_path / "large" / "sample.json").read_text())["rows"] == large.rows
