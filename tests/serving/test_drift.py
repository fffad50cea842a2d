"""Drift: equal distributions are quiet, moved ones are told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.serving.drift import Limits, compare, stability_index


def rows(seed: int, count: int = 5000, shift: float = 0.0, nulls: float = 0.1, city: str = "rome") -> pa.Table:
    random = np.random.default_rng(seed)
    amount = random.normal(shift, 1, count)
    cities = random.choice(["oslo", "lima", city], count, p=[0.2, 0.3, 0.5])
    return pa.table(
        {
            "amount": pa.array(amount, mask=random.random(count) < nulls),
            "city": cities,
            "visits": random.poisson(2, count),
            "when": pa.array(random.integers(0, 10**12, count), pa.timestamp("ms")),
        }
    )


def test_the_same_population_is_quiet() -> None:
    found = compare(rows(1), rows(2), Limits())
    assert (found.breaches, found.decided, found.requests) == ((), True, 5000)
    assert all(one.stability_index is not None and one.stability_index < 0.05 for one in found.columns)


@pytest.mark.parametrize(
    ("served", "breach"),
    [
        (rows(2, shift=1.5), "'amount': stability index"),
        (rows(2, nulls=0.4), "'amount': 39"),
        (rows(2, city="kyiv"), "'city': stability index"),
    ],
)
def test_moved_populations_are_told(served: pa.Table, breach: str) -> None:
    (found,) = compare(rows(1), served, Limits()).breaches
    assert found.startswith(breach)


def test_few_requests_decide_nothing() -> None:
    found = compare(rows(1), rows(2, count=50, shift=3), Limits())
    assert (found.decided, found.breaches) == (False, ())


def test_scores() -> None:
    random = np.random.default_rng(0)
    scores = {"trained": random.beta(1, 50, 1000), "served": random.beta(2, 50, 1000)}
    (breach,) = compare(rows(1), rows(2), Limits(), scores=scores).breaches
    assert breach.startswith("the mean probability moved by")
    assert compare(rows(1), rows(2), Limits(), scores={**scores, "served": scores["trained"]}).breaches == ()


def test_nothing_in_common() -> None:
    with pytest.raises(UserError, match="no column in common"):
        compare(rows(1), rows(2), Limits(), ignore=("amount", "city", "visits", "when"))


def test_all_null() -> None:
    assert stability_index(pa.chunked_array([[1.0]]), pa.chunked_array([pa.nulls(3, pa.float64())])) is None
