"""Clicks: three days, few good ones, busy addresses, attacks, and a signal in the windows."""

from __future__ import annotations

import numpy as np
import pyarrow.csv
import pytest

from airflow_provider_mlfeat.samples.generate import CLICKS, generate
from airflow_provider_mlfeat.samples.talkingdata import block


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = generate("talkingdata", tmp_path_factory.mktemp("clicks") / "data").directory
    tables = [pyarrow.csv.read_csv(path) for path in sorted((folder / "clicks").glob("*.csv"))]
    return {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0].column_names}


def test_shape(clicks: dict[str, np.ndarray]) -> None:
    assert list(clicks) == ["ip", "app", "device", "os", "channel", "click_time", "is_attributed"]
    assert clicks["ip"].size == CLICKS
    assert 0.002 <= clicks["is_attributed"].mean() <= 0.005
    moments = clicks["click_time"].astype("datetime64[s]")
    assert moments.min() >= np.datetime64("2017-11-06T16:00:00")
    assert moments.max() < np.datetime64("2017-11-09T16:00:00")
    assert len(set(zip(clicks["ip"].tolist(), moments.tolist(), strict=True))) == CLICKS


def test_addresses_are_skewed_and_some_attack(clicks: dict[str, np.ndarray]) -> None:
    counts = np.sort(np.bincount(clicks["ip"]))[::-1]
    assert counts[:100].sum() > 0.1 * CLICKS
    assert (counts == 1).sum() > 1000
    order = np.lexsort((clicks["click_time"], clicks["ip"]))
    seconds = clicks["click_time"].astype("datetime64[s]").astype("int64")[order]
    hundred_later = seconds[100:] - seconds[:-100]
    one_address = clicks["ip"][order][100:] == clicks["ip"][order][:-100]
    assert (hundred_later[one_address] < 300).sum() > 0.01 * CLICKS


def test_sought_applications_do_better(clicks: dict[str, np.ndarray]) -> None:
    sought = np.isin(clicks["app"], (19, 35, 29, 10, 72))
    assert clicks["is_attributed"][sought].mean() > 5 * clicks["is_attributed"][~sought].mean()


def test_blocks_are_repeatable_and_apart() -> None:
    assert block(3, 0).equals(block(3, 0))
    assert not block(3, 0).equals(block(4, 0))
    assert not set(block(3, 0)["ip"].to_pylist()) & set(block(3, 1)["ip"].to_pylist())
    assert block(3, 0, 17).num_rows == 17
