"""The shop of the online tests with a model that answers with its features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.dataset.encoder import Encoder, Field
from airflow_provider_mlfeat.online.store import OnlineStore
from airflow_provider_mlfeat.serving import releases
from airflow_provider_mlfeat.serving.releases import ModelReference, Release
from airflow_provider_mlfeat.training.golden import Golden
from airflow_provider_mlfeat.training.model_folder import ModelManifest, Tensor, digests, identity, read_manifest
from tests.online import shop
from tests.registry.folders import graph

REQUEST = {"who": "ann", "at": 10_000, "shop": 3}


def make_encoder(plan_id: str) -> Encoder:
    fields = (
        Field("who", "who", "hash", type="string", rows=32, size=34),
        Field("bought", "bought", "bucket", type="int", boundaries=(1.0, 3.0), size=5),
        Field("kinds", "kinds", "hash", type="string", rows=16, size=18),
        Field("spent", "spent", "value", type="float64", transform="none"),
    )
    return Encoder(fields, {}, plan_id)


def make_model(folder: Path, plan_id: str, seed: int = 0) -> Path:
    encoder = make_encoder(plan_id)
    random = np.random.default_rng(seed)
    tables = [random.normal(0, 1, size).astype(np.float32) for size in encoder.sizes]
    folder.mkdir(parents=True)
    encoder.save(folder / "encoder.json")
    onnx.save(graph(tables, -0.5, len(encoder.sizes), 1), folder / "model.onnx")
    features = pa.table(
        {
            "who": ["ann", "bob", None, "eve"],
            "bought": pa.array([0, 2, None, 7], pa.int64()),
            "kinds": ["a,b", "b,NULL", "", None],
            "spent": [0.0, 12.5, None, 3.25],
        }
    )
    encoded = encoder.encode(features)
    ids = encoded.ids.astype(np.int64)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    outputs = session.run(["OUTPUT_0"], {"INPUT_0": ids, "INPUT_1": encoded.values})[0][:, 0]
    Golden(ids, encoded.values, outputs).save(folder / "golden.npz")
    pq.write_table(features, folder / "golden_features.parquet")
    manifest = ModelManifest(
        kind="lr",
        fields=tuple({"name": one.name, "size": one.size} for one in encoder.id_fields),
        values=("spent",),
        hyper_parameters={},
        encoder_fingerprint=encoder.fingerprint,
        plan_id=plan_id,
        dataset_fingerprint="d" * 64,
        feature_set={"name": "visits", "version": 1},
        metrics={},
        rows={},
        inputs=(Tensor("INPUT_0", "INT64", (3,)), Tensor("INPUT_1", "FP32", (1,))),
        encoder="encoder.json",
        recipe=str(seed),
        files=digests(folder),
    )
    (folder / "model.json").write_text(json.dumps({**manifest.to_document(), "fingerprint": identity(manifest)}))
    return folder


def open_shop(store: OnlineStore) -> str:
    """Tables, some purchases, and the deployment ``sums``; its plan's id."""
    shop.create(store)
    done = shop.deployed(store, "sums", shop.SUMS)
    shop.put(store, "purchase", ("ann", 1_000, 5.0, "a"), ("ann", 9_000, 2.5, "b"), ("bob", 9_500, 1.0, "a"))
    shop.put(store, "person", ("ann", "1990-01-01", 2, 0), ("bob", "1991-01-01", 1, 0))
    return done.deployment.plan_id


def reference(folder: Path, name: str = "shoppers", version: str = "1", **options: Any) -> ModelReference:
    return ModelReference(name, version, str(folder), read_manifest(folder).fingerprint, **options)


def release(store: OnlineStore, plan_id: str, model: ModelReference | None, service: str = "default") -> Release:
    """Make a release live."""
    added = releases.add_release(store.documents, Release(service, 0, "sums@1", plan_id, model))
    releases.switch(store.documents, service, added.number)
    return added
