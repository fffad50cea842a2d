"""Rows that are matched by a key: each trained row has one answer, and each answer one trained row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.serving.parity.compare import Parity, compare
from airflow_provider_mlfeat.serving.parity.replay import Answers
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.types import BIGINT, STRING

SCHEMA = (Column("id", BIGINT), Column("value", BIGINT))
Rows = list[tuple[int, int]]


def compared(served: Rows, trained: Rows, key: str = "") -> Parity:
    features = pa.table({"id": [one for one, _ in trained], "value": [value for _, value in trained]})
    return compare(SCHEMA, Answers(np.arange(len(served)), list(served)), features, len(served), key=key)


def test_rows_in_another_order_are_the_same_rows() -> None:
    assert compared([(2, 6), (1, 5)], [(1, 5), (2, 6)]).mismatches == 0


def test_a_key_that_is_answered_twice_does_not_stand_for_another_row() -> None:
    found = compared([(1, 5), (1, 5), (2, 6)], [(1, 5), (2, 6), (3, 7)])
    assert (found.unmatched, found.mismatches) == (1, 1)


def test_a_key_of_nobody_counts_on_both_sides() -> None:
    assert compared([(1, 5), (4, 6)], [(1, 5), (2, 6)]).unmatched == 2


def test_a_key_has_to_tell_rows_apart() -> None:
    with pytest.raises(UserError, match="column 'id' cannot tell rows apart"):
        compared([(1, 5), (1, 6)], [(1, 5), (1, 6)], key="id")
    with pytest.raises(UserError, match="no column 'other'"):
        compared([(1, 5)], [(1, 5)], key="other")


def test_a_key_of_strings_that_are_kept_in_a_dictionary() -> None:
    features = pa.table({"id": pa.array(["a", "b"]).dictionary_encode(), "value": [5, 6]})
    schema = (Column("id", STRING), Column("value", BIGINT))
    answers = Answers(np.arange(2), [("b", 6), ("a", 5)])
    assert compare(schema, answers, features, 2, key="id").mismatches == 0
    twice = pa.table({"id": pa.array(["a", "a"]).dictionary_encode(), "value": [5, 6]})
    with pytest.raises(UserError, match="column 'id' cannot tell rows apart"):
        compare(schema, answers, twice, 2, key="id")
