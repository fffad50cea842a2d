"""Parity: equal numbers pass, and each fault that could part them is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.deploying import deploy
from airflow_provider_mlfeat.online.deployments import Deployment
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.parity.compare import compare, differing
from airflow_provider_mlfeat.serving.parity.replay import replay
from airflow_provider_mlfeat.serving.parity.report import parity_page
from airflow_provider_mlfeat.serving.scoring import ServedModel
from tests.online import shop
from tests.serving import shops

SQL = """
SELECT a.who, visits, shops, spent, bought, kinds, level
FROM (SELECT who, at, shop, count(who) OVER v AS visits, distinct_count(shop) OVER v AS shops FROM visit
    WINDOW v AS (PARTITION BY who ORDER BY at ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)) AS a
LAST JOIN (SELECT who, at, sum(price) OVER w AS spent, count(price) OVER w AS bought,
        topn_frequency(kind, 2) OVER w AS kinds
    FROM (SELECT who, at, 0.0 AS price, '' AS kind FROM visit)
    WINDOW w AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
        ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW MAXSIZE 5 INSTANCE_NOT_IN_WINDOW)) AS b
    ON a.who = b.who AND a.at = b.at
LAST JOIN person ON a.who = person.who
"""
Tables = dict[tuple[str, str], pa.Table]


def tables(seed: int = 0, visits: int = 300) -> Tables:
    """Many visits of few people, some at the same moment, in no order."""
    random = np.random.default_rng(seed)
    people = ["ann", "bob", "eve", "éva", ""]
    moments = random.choice(60_000, visits, replace=False) // 100 * 100
    pairs = {(str(who), int(at)): None for who, at in zip(random.choice(people, visits), moments, strict=True)}
    visit = [(who, at, int(random.integers(0, 5))) for who, at in pairs]
    purchase = [
        (str(random.choice(people)), int(at), float(np.float32(random.normal())), str(random.choice(["a", "b", "c"])))
        for at in random.integers(0, 600, 2 * visits) * 100
    ]
    person = [(who, "1990-01-01", number, 0) for number, who in enumerate(people[:4])]
    rows = {"visit": visit, "purchase": purchase, "person": person}
    return {("", name): shop.table(name, some) for name, some in rows.items()}


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    with EmbeddedStore(tmp_path / "online") as store:
        shop.create(store)
        return deploy(store, "visits", SQL, shop.plan(SQL)).deployment


@pytest.fixture
def offline(deployment: Deployment) -> Callable[[Tables], pa.Table]:
    def run(given: Tables) -> pa.Table:
        return run_batch(deployment.plan(), given)

    return run


DEFINITIONS = {("", name): shop.definition(name) for name in shop.COLUMNS}


def answers(deployment: Deployment, given: Tables, **options: Any) -> Any:
    return replay(deployment, DEFINITIONS, given, open_store=EmbeddedStore, **options)


@pytest.mark.parametrize("seed", range(4))
def test_equal(deployment: Deployment, offline: Callable[[Tables], pa.Table], seed: int) -> None:
    given = tables(seed)
    found = compare(deployment.plan().schema, answers(deployment, given), offline(given), given["", "visit"].num_rows)
    assert (found.mismatches, found.requests) == (0, given["", "visit"].num_rows)
    assert found.cells == 7 * found.requests
    assert "All" in parity_page(found, {})


def test_some_requests_with_the_history_of_all(deployment: Deployment, offline: Callable[[Tables], pa.Table]) -> None:
    given = tables()
    chosen = np.arange(0, given["", "visit"].num_rows, 7)
    found = compare(
        deployment.plan().schema, answers(deployment, given, chosen=chosen), offline(given), given["", "visit"].num_rows
    )
    assert (found.mismatches, found.requests) == (0, chosen.size)


def test_progress_and_stopping(deployment: Deployment) -> None:
    seen: list[int] = []
    given = tables()
    answers(deployment, given, progress=seen.append)
    assert sum(seen) == given["", "visit"].num_rows

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers(deployment, given, progress=stop)


def test_rows_that_training_saw_and_serving_lacks(
    deployment: Deployment, offline: Callable[[Tables], pa.Table]
) -> None:
    given = tables()
    trained = offline(given)
    fewer = {**given, ("", "purchase"): given["", "purchase"].slice(0, 300)}
    found = compare(deployment.plan().schema, answers(deployment, fewer), trained, given["", "visit"].num_rows)
    assert found.columns["spent"] > 0
    assert found.columns["visits"] == found.columns["level"] == 0
    sentence = found.sentence()
    assert sentence.startswith(f"of {found.requests} replayed requests, served and trained numbers differ: column")
    assert "trained" in sentence
    assert "spent" in parity_page(found, {"Feature set": "<x>"})
    assert "<x>" not in parity_page(found, {"Feature set": "<x>"})


def shifted(table: pa.Table, name: str, change: Callable[[pa.ChunkedArray], Any]) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, change(table.column(name)))


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("spent", lambda one: one.cast(pa.float32()).cast(pa.float64())),
        ("spent", lambda one: pc.add(one, 1e-12)),
        ("level", lambda one: one.fill_null(0)),
        ("kinds", pc.utf8_upper),
        ("visits", lambda one: pc.add(one, 1)),
    ],
)
def test_every_changed_cell_is_found(
    deployment: Deployment, offline: Callable[[Tables], pa.Table], column: str, change: Any
) -> None:
    given = tables()
    right = offline(given)
    wrong = shifted(right, column, change)
    found = compare(deployment.plan().schema, answers(deployment, given), wrong, given["", "visit"].num_rows)
    expected = int(differing(wrong.column(column), right.column(column)).sum())
    assert expected > 0
    assert {name: count for name, count in found.columns.items() if count} == {column: expected}


def test_the_label_is_not_compared(deployment: Deployment, offline: Callable[[Tables], pa.Table]) -> None:
    given = tables()
    wrong = shifted(offline(given), "level", lambda one: one.fill_null(9))
    found = compare(
        deployment.plan().schema, answers(deployment, given), wrong, given["", "visit"].num_rows, label="level"
    )
    assert found.mismatches == 0


def test_rows_are_matched_by_a_key_in_any_order(offline: Any, deployment: Deployment) -> None:
    given = tables()
    names = [f"visit {number}" for number in range(given["", "visit"].num_rows)]
    renamed = shifted(given["", "visit"], "who", lambda one: pa.array(names))
    given = {**given, ("", "visit"): renamed}
    trained = offline(given)
    shuffled = trained.take(pa.array(np.random.default_rng(0).permutation(trained.num_rows)))
    found = compare(deployment.plan().schema, answers(deployment, given), shuffled, renamed.num_rows)
    assert found.mismatches == 0
    found = compare(deployment.plan().schema, answers(deployment, given), shuffled.slice(3), renamed.num_rows)
    assert (found.unmatched, found.mismatches) == (3, 3)


def test_rows_that_nothing_tells_apart(deployment: Deployment, offline: Callable[[Tables], pa.Table]) -> None:
    given = tables()
    with pytest.raises(UserError, match="no column that tells them apart"):
        compare(
            deployment.plan().schema,
            answers(deployment, given, chosen=np.arange(5)),
            offline(given).slice(1),
            given["", "visit"].num_rows,
        )


def test_keys_and_predictions(deployment: Deployment, offline: Callable[[Tables], pa.Table], tmp_path: Path) -> None:
    given = tables()
    model = ServedModel(shops.reference(shops.make_model(tmp_path / "model", deployment.plan_id)))
    schema, rows, found = deployment.plan().schema, given["", "visit"].num_rows, answers(deployment, given)
    equal = compare(schema, found, offline(given), rows, model=model)
    assert (equal.mismatches, equal.keys) == (0, {"who": 0, "bought": 0, "kinds": 0, "spent": 0})
    assert equal.largest_difference < 1e-6
    wrong = shifted(offline(given), "kinds", lambda one: pc.replace_substring(one, "a", "z"))
    parted = compare(schema, found, wrong, rows, model=model)
    assert parted.keys["kinds"] == parted.columns["kinds"] > 0
    assert parted.predictions > 0
    assert parted.keys["who"] == 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0.0, -0.0, None], [0.0, 0.0, 0.0], [False, True, True]),
        ([float("nan"), float("inf"), 1.0], [float("nan"), float("-inf"), None], [False, True, True]),
        (["a", None, "é"], ["a", None, "e"], [False, False, True]),
        ([1, 2, None], [1, 3, None], [False, True, False]),
    ],
)
def test_cells(one: list[Any], other: list[Any], expected: list[bool]) -> None:
    assert differing(pa.chunked_array([one]), pa.chunked_array([other])).tolist() == expected
