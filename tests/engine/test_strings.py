"""Codes of strings stay, and labels order as the strings do."""

from __future__ import annotations

import random

import numpy as np

from airflow_provider_mlfeat.engine.strings import StringPool


def in_order(pool: StringPool, strings: list[str]) -> bool:
    """Whether the labels of labelled strings order them by their bytes."""
    by_label = sorted(strings, key=lambda string: pool.labels[pool.find(string)])
    return by_label == sorted(strings, key=str.encode)


def test_strings_added_one_by_one() -> None:
    pool, draw = StringPool(), random.Random(1)
    strings = list({"".join(draw.choices("abé😀", k=draw.randrange(1, 7))) for _ in range(500)})
    for string in strings:
        pool.order(pool.add(string))
    assert in_order(pool, [*strings, ""])
    assert [pool.strings[pool.find(string)] for string in strings] == strings


def test_strings_between_the_same_two_run_out_of_room() -> None:
    pool = StringPool()
    strings = ["a" * length for length in range(200, 0, -1)]
    for string in strings:
        pool.order(pool.add(string))
    assert in_order(pool, strings)


def test_many_strings_at_once() -> None:
    pool = StringPool()
    strings = [str(number) for number in range(3000)]
    pool.order_all(np.array([pool.add(string) for string in strings]))
    assert in_order(pool, [*strings, ""])


def test_a_lent_label_orders_a_string_that_is_not_added() -> None:
    pool = StringPool()
    for string in ("b", "d"):
        pool.order(pool.add(string))
    for string in ("a", "c", "e"):
        pool.lend(string, len(pool))
        label = pool.labels[len(pool)]
        assert (label > pool.labels[pool.find("b")]) == (string > "b")
        assert (label > pool.labels[pool.find("d")]) == (string > "d")
        assert pool.find(string) == -1
