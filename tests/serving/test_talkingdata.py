"""The TalkingData demo's request is answered as it stands: the same object, the deployment's features."""

from __future__ import annotations

from airflow_provider_mlfeat.online.deploying import deploy
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.serving.releases import Release
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type
from tests.places import ROOT
from tests.serving.conftest import Serve

COLUMNS = {
    **dict.fromkeys(("ip", "app", "device", "os", "channel"), "int"),
    "click_time": "timestamp",
    "is_attributed": "int",
}
CLICK = {"ip": 114904, "app": 11, "device": 1, "os": 15, "channel": 319}
CLICK |= {"click_time": 1509960088000, "is_attributed": 0}


def test_the_demos_click(serve: Serve, store: EmbeddedStore) -> None:
    columns = tuple(ColumnDefinition(name, parse_type(kind)) for name, kind in COLUMNS.items())
    store.create_table(TableDefinition("", "clicks", columns))
    sql = (ROOT / "dags" / "sql" / "talkingdata_features.sql").read_text()
    deployed = deploy(store, "fraud", sql, plan_query(sql, store.catalog(), mode="request")).deployment
    release = Release("talkingdata", 0, deployed.reference, deployed.plan_id, None, label="is_attributed")
    releases.switch(store.documents, "talkingdata", releases.add_release(store.documents, release).number)
    client = serve(service="talkingdata")
    assert [one["name"] for one in client.get("/schema").json()] == list(COLUMNS)
    first = client.post("/predict", json=CLICK).json()["features"]
    assert (first["app"], first["qty"], first["ip_app_count"], first["hour"], first["day"]) == (11, 1, 1, 17, 6)
    put = client.put("/dbs/default/tables/clicks", json={"value": [list(CLICK.values())] * 2})
    assert put.status_code == 200
    later = {**CLICK, "click_time": CLICK["click_time"] + 1000}
    second = client.post("/predict", json=later).json()["features"]
    assert (second["qty"], second["ip_app_count"], second["ip_day_count"]) == (3, 3, 3)
    assert client.post("/predict", json={**CLICK, "app": "11"}).status_code == 400
