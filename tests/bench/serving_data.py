"""What a server answers from: the bench's tables, features, a trained model, an online store with a live release.

All of it is made by the jobs that a pipeline runs, once per size; what later runs need is kept.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.jobs.cache import ResultCache
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from tests.bench.data import CACHE, TABLES, Size, folder
from tests.bench.measure import say
from tests.bench.query import feature_sql
from tests.bench.request import REQUESTS, request_rows, split, stored_tables

ASKED = 5_000


@dataclass(frozen=True)
class Prepared:
    """What a server is started with.

    :param store: folder of the embedded store.
    :param requests: file with one request row of JSON per line; none of them is part of the history.
    :param model: folder of the model.
    :param deployment: ``name@version``.
    """

    store: str
    requests: str
    model: str
    deployment: str


def prepare(scale: float, *, anew: bool = False) -> Prepared:
    """The store, the model and the requests of a size; `anew` makes them with the code of today."""
    target = CACHE / f"serving-{scale:g}"
    note = target / "prepared.json"
    if anew or not note.is_file():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        note.write_text(json.dumps(asdict(_make(target, scale))))
    return Prepared(**json.loads(note.read_text()))


def _make(target: Path, scale: float) -> Prepared:
    history, requests = split(stored_tables(folder(Size(scale))), ASKED)
    history = {**history, "action": _labels(history[REQUESTS])}
    root = str(target / "tables")
    columns = [f"CREATE TABLE {name} ({', '.join(map(' '.join, kinds))})" for name, kinds in TABLES.items()]
    _job(kind="create_tables", root=root, sql=";\n".join(columns))
    for name, table in history.items():
        file = target / f"{name}.parquet"
        pq.write_table(table, file)
        _job(kind="load_table", root=root, table=name, paths=[str(file)], format="parquet", mode="overwrite")
        file.unlink()
    sql = feature_sql()
    features = _job(kind="extract_features", root=root, sql=sql, feature_set="features.jd")
    dataset = _job(
        kind="build_dataset",
        root=root,
        feature_set=features["feature_set"],
        label_column="label",
        key_columns=["request_1", "request_2", "request_3", "request_text"],
        time_column="event_time",
    )
    model = _job(kind="train_model", root=root, dataset=dataset["dataset"], settings={"epochs": 1})
    online = {"path": str(target / "online")}
    deployed = _job(kind="deploy_features", root=root, sql=sql, name="jd", online=online)
    _job(kind="load_online", root=root, deployment=deployed["deployment"], online=online)
    _job(
        kind="switch_serving",
        deployment=deployed["deployment"],
        model=model["model"],
        label="label",
        models=str(target / "models"),
        online=online,
    )
    shutil.rmtree(root)
    names = [name for name, _ in TABLES[REQUESTS]]
    rows = [json.dumps(dict(zip(names, row, strict=True))) for row in request_rows(requests, requests.num_rows)]
    asked = target / "requests.jsonl"
    asked.write_text("\n".join(rows))
    (kept,) = (target / "models").iterdir()
    return Prepared(online["path"], str(asked), str(kept), deployed["deployment"])


def _labels(requests: pa.Table) -> pa.Table:
    """A label for every request; the bench's tables have one for some."""
    moment = requests.column("eventTime")
    chance = np.random.default_rng(3).random(requests.num_rows) < 0.1
    columns = [requests.column("reqId"), moment, moment, pa.array(chance.astype(np.int32))]
    return pa.table(columns, names=[name for name, _ in TABLES["action"]])


def _job(**spec: Any) -> dict[str, Any]:
    say(f"{spec['kind']} …")
    with tempfile.TemporaryDirectory() as results:
        return run(parse_spec(spec), Progress([]), cache=ResultCache(Path(results))).model_dump(mode="json")
