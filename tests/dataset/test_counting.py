"""Counting keys over batches, and numbers that belong to rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.dataset import counting
from airflow_provider_mlfeat.dataset.counting import DistinctKeys, KeyCounts
from airflow_provider_mlfeat.dataset.sampling import RowSample, row_numbers

BATCHES = st.lists(st.lists(st.integers(0, 40) | st.integers(2**64 - 5, 2**64 - 1), max_size=30), max_size=8)


@settings(max_examples=80, deadline=None)
@given(BATCHES, st.sampled_from([1, 7, 1 << 20]))
def test_counts_are_those_of_a_counter(batches: list[list[int]], flush: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_FLUSH", flush)
        counts, distinct = KeyCounts(1_000), DistinctKeys(1_000)
        for batch in batches:
            counts.add(np.array(batch, np.uint64))
            distinct.add(np.array(batch, np.uint64))
    expected = Counter(key for batch in batches for key in batch)
    keys, frequencies = counts.finish()
    assert distinct.finish() == len(counts) == len(expected)
    pairs = list(zip(keys.tolist(), frequencies.tolist(), strict=True))
    assert pairs == sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))


def test_too_many_keys_are_given_up() -> None:
    counts = KeyCounts(100)
    for start in range(0, 300, 50):
        counts.add(np.arange(start, start + 50, dtype=np.uint64))
    assert len(counts) == 0
    assert counts.overflowed


def test_many_keys_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_FLUSH", 1_000)
    distinct = DistinctKeys(5_000)
    keys = row_numbers(0, 200_000, 0)
    for start in range(0, 200_000, 10_000):
        distinct.add(keys[start : start + 10_000])
        distinct.add(keys[: start + 1 : 3])
    assert distinct.finish() == pytest.approx(200_000, rel=0.05)


def test_row_numbers_are_those_of_the_row() -> None:
    whole = row_numbers(0, 1_000, seed=3)
    parts = [row_numbers(start, 100, seed=3) for start in range(0, 1_000, 100)]
    assert (np.concatenate(parts) == whole).all()
    assert (row_numbers(0, 1_000, seed=4) != whole).all()
    shares = np.bincount((row_numbers(0, 100_000, 0) >> np.uint64(60)).astype(int)) / 100_000
    assert abs(shares - 1 / 16).max() < 0.004


def test_a_sample_does_not_depend_on_batches() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    numbers = row_numbers(0, 10_000, 0)
    found = []
    for step in (10_000, 700, 33):
        sample = RowSample(500)
        for start in range(0, 10_000, step):
            sample.add(numbers[start : start + step], values[start : start + step])
        found.append(sample.values)
    assert len(found[0]) == 500
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert abs(np.median(found[0]) - np.median(values)) < 0.1
