"""Versions of deployments, and which one is live."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online import deployments as d
from airflow_provider_mlfeat.online.deploying import drop, rollback, switch
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.store import OnlineStore
from tests.online import shop
from tests.online.conftest import OpenStore
from tests.online.shop import create, deployed, put

ANN = ("ann", 20_000, 1)
WIDER = shop.SUMS.replace("10s", "60s")


def names(store: OnlineStore) -> list[str]:
    draft = store.documents.read()
    return [
        one.reference + ("*" if d.live_version(draft, one.database, one.name) == one.version else "")
        for one in d.all_deployments(draft)
    ]


def test_versions_and_the_alias(open_same: OpenStore) -> None:
    store, elsewhere = open_same(), open_same()
    create(store)
    first = deployed(store, "sums", shop.SUMS)
    assert (first.deployment.reference, first.created, first.live, first.changed_output) == (
        "sums@1",
        True,
        True,
        False,
    )
    again = deployed(store, "sums", shop.SUMS)
    assert (again.deployment.reference, again.created, again.live) == ("sums@1", False, True)
    service = FeatureService(elsewhere)
    assert service.served("sums").deployment.reference == "sums@1"
    with pytest.raises(UserError, match="deployment 'sums' exists with another query, options or model"):
        deployed(store, "sums", WIDER)
    second = deployed(store, "sums", WIDER, replace=True)
    assert (second.deployment.reference, second.live, second.changed_output) == ("sums@2", True, False)
    third = deployed(store, "sums", shop.LATEST, replace=True)
    assert (third.deployment.reference, third.changed_output) == ("sums@3", True)
    assert service.answer("sums", ANN)[0].deployment.reference == "sums@3"
    assert service.answer("sums@1", ANN)[0].deployment.reference == "sums@1"
    assert rollback(store, "sums").reference == "sums@2"
    assert service.answer("sums", ANN)[0].deployment.reference == "sums@2"
    assert rollback(store, "sums", 1).reference == "sums@1"
    assert switch(store, "sums@3")[1] == 1
    assert names(store) == ["sums@1", "sums@2", "sums@3*"]


def test_if_not_exists_and_waiting_versions(store: OnlineStore) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    assert deployed(store, "sums", WIDER, if_not_exists=True).deployment.reference == "sums@1"
    waiting = deployed(store, "sums", WIDER, switch=False)
    assert (waiting.deployment.reference, waiting.live) == ("sums@2", False)
    assert FeatureService(store).served("sums").deployment.version == 1
    # The same query once more, live this time: nothing new is made.
    live = deployed(store, "sums", WIDER, replace=True)
    assert (live.deployment.reference, live.created, live.live) == ("sums@2", False, True)
    fresh = deployed(store, "other", shop.LATEST, switch=False)
    with pytest.raises(UserError, match="no version of deployment 'other' is live; there are 1: switch to one"):
        FeatureService(store).served("other")
    assert fresh.deployment.reference == "other@1"


def test_dropping_lets_history_go(store: OnlineStore) -> None:
    create(store)
    deployed(store, "three", shop.LAST_THREE)
    deployed(store, "sums", shop.SUMS)
    deployed(store, "sums", WIDER, replace=True)
    assert set(store.size().tables["purchase"]) == {"who by at"}
    with pytest.raises(UserError, match="'sums@2' is live: switch to another version first"):
        drop(store, "sums@2")
    assert [one.reference for one in drop(store, "sums@1")] == ["sums@1"]
    assert [one.reference for one in drop(store, "sums")] == ["sums@2"]
    with pytest.raises(UserError, match="there is no deployment 'sums'"):
        drop(store, "sums")
    assert drop(store, "sums", if_exists=True) == []
    for second in range(20):
        put(store, "purchase", ("ann", 10_000 + second, 1.0, "hat"))
    assert store.size().tables["purchase"] == {"who by at": 3}
    drop(store, "three")
    assert set(store.size().tables["purchase"]) == {"all rows"}
    # A number is not used again: whoever kept 'sums@2' does not get another query.
    assert deployed(store, "sums", shop.SUMS).deployment.reference == "sums@3"


def test_a_model_of_another_plan(store: OnlineStore) -> None:
    create(store)
    plan_id = shop.plan(shop.SUMS).plan_id
    with pytest.raises(UserError, match="model 'ctr@4' was trained on features of plan feed, but this query has plan"):
        deployed(store, "sums", shop.SUMS, model={"name": "ctr", "version": "4", "plan_id": "feed"})
    model = {"name": "ctr", "version": "4", "plan_id": plan_id}
    made = deployed(store, "sums", shop.SUMS, model=model).deployment
    assert dict(made.model) == model
    assert d.find_deployment(store.documents.read(), "SUMS@1".lower()) == made
    with pytest.raises(UserError, match="exists with another query, options or model"):
        deployed(store, "sums", shop.SUMS)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("smus", r"there is no deployment 'smus'. Did you mean 'sums'\?"),
        ("sums@9", "deployment 'sums' has no version 9; there are 1"),
        ("a.b.c", "'a.b.c' names no deployment"),
        ("", "'' names no deployment"),
    ],
)
def test_names_that_mean_nothing(store: OnlineStore, reference: str, sentence: str) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    with pytest.raises(UserError, match=sentence):
        FeatureService(store).features(reference, ANN)


def test_a_table_that_is_not_there(store: OnlineStore) -> None:
    with pytest.raises(UserError, match="the online store has no table 'visit': create it first"):
        deployed(store, "latest", shop.LATEST)
    assert names(store) == []


def test_what_an_answer_was_computed_from(store: OnlineStore) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    put(store, "purchase", ("ann", 15_000, 1.0, "hat"), ("ann", 19_000, 2.0, "cap"))
    explained = FeatureService(store).explain("sums", ANN)
    assert explained["features"] == {"who": "ann", "spent": 3.0, "bought": 2, "kinds": "cap,hat", "level": None}
    assert sorted(explained["history"], key=lambda one: one["table"]) == [
        {"table": "person", "key": {"who": "ann"}, "order": None, "rows": 0},
        {"table": "purchase", "key": {"who": "ann"}, "order": "at", "rows": 2, "oldest": 15_000, "newest": 19_000},
    ]
