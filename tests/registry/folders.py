"""Small model folders with a real encoder and a real ONNX graph: a logistic regression with planted weights."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import ENCODER_FILE, Encoder, Field, Vocabulary
from airflow_provider_mlfeat.dataset.encoder.hashing import hash_bytes
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.manifest import Manifest
from airflow_provider_mlfeat.training.golden import Golden
from airflow_provider_mlfeat.training.model_folder import ModelManifest, Tensor, digests, identity
from airflow_provider_mlfeat.training.trained_model import TrainedModel

CITIES = ("oslo", "rome", "lima", "kyiv", "cork")
SPLITS = ("train", "test")


def make_features(rows: int, seed: int = 0) -> pa.Table:
    """Rows with every kind of column, and NULLs in each."""
    random = np.random.default_rng(seed)
    start = datetime.datetime(2026, 1, 1)

    def some(values: list[Any]) -> list[Any]:
        return [None if random.random() < 0.05 else value for value in values]

    moments = [start + datetime.timedelta(seconds=int(second)) for second in random.integers(0, 10**6, rows)]
    return pa.table(
        {
            "city": pa.array(some(list(random.choice(CITIES, rows))), pa.string()),
            "user": pa.array(some([int(one) for one in random.integers(0, 2**50, rows)]), pa.int64()),
            "visits": pa.array(some([int(one) for one in random.integers(0, 40, rows)]), pa.int32()),
            "moment": pa.array(some(moments), pa.timestamp("ms")),
            "member": pa.array(some([bool(one) for one in random.integers(0, 2, rows)]), pa.bool_()),
            "price": pa.array(some([float(one) for one in random.lognormal(2, 1, rows)]), pa.float64()),
        }
    )


def make_encoder(plan_id: str = "plan-1", extra: str = "") -> Encoder:
    """An encoder with a field of every kind, and one of a further column."""
    keys = np.array([hash_bytes(city.encode(), 10) for city in CITIES], np.uint64)
    cities = Vocabulary(keys)
    fields = (
        Field("city", "city", "vocabulary", type="string", size=cities.size),
        Field("user", "user", "hash", type="int", rows=64, size=66),
        Field("visits", "visits", "bucket", type="int", boundaries=(5.0, 20.0), size=5),
        Field("hour", "moment", "part", type="timestamp", part="hour", size=26),
        Field("member", "member", "hash", type="bool", rows=8, size=10),
        Field("price", "price", "value", type="float64", transform="none"),
        *([Field(extra, extra, "hash", type="string", rows=4, size=6)] if extra else []),
    )
    return Encoder(fields, {"city": cities}, plan_id)


def true_logits(encoder: Encoder, features: pa.Table, seed: int = 0) -> np.ndarray:
    """What decides the labels: a weight per id."""
    tables = planted_tables(encoder, seed)
    encoded = encoder.encode(features)
    return sum(table[encoded.ids[:, place]] for place, table in enumerate(tables)) - 2.0


def planted_tables(encoder: Encoder, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed + 1000)
    return [random.normal(0, 0.8, size).astype(np.float32) for size in encoder.sizes]


def make_labels(encoder: Encoder, features: pa.Table, seed: int = 0) -> np.ndarray:
    chance = 1 / (1 + np.exp(-true_logits(encoder, features)))
    return (np.random.default_rng(seed).random(features.num_rows) < chance).astype(np.float32)


def graph(tables: list[np.ndarray], bias: float, fields: int, values: int) -> onnx.ModelProto:
    """ids → one weight each → sum → sigmoid; the values have no weight."""
    offsets = np.concatenate([[0], np.cumsum([len(table) for table in tables])[:-1]]).astype(np.int64)
    weights = np.concatenate(tables).astype(np.float32)
    constants = {"offsets": offsets, "weights": weights, "bias": np.array([bias], np.float32)}
    nodes = [
        helper.make_node("Add", ["INPUT_0", "offsets"], ["rows"]),
        helper.make_node("Gather", ["weights", "rows"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "bias"], ["logit"]),
        helper.make_node("ReduceSum", ["INPUT_1", "axis"], ["unused"], keepdims=1),
        helper.make_node("Mul", ["unused", "zero"], ["nothing"]),
        helper.make_node("Add", ["logit", "nothing"], ["all"]),
        helper.make_node("Sigmoid", ["all"], ["OUTPUT_0"]),
    ]
    constants |= {"axis": np.array([1], np.int64), "zero": np.array([0], np.float32)}
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "logistic",
            [
                helper.make_tensor_value_info("INPUT_0", TensorProto.INT64, ["rows", fields]),
                helper.make_tensor_value_info("INPUT_1", TensorProto.FLOAT, ["rows", values]),
            ],
            [helper.make_tensor_value_info("OUTPUT_0", TensorProto.FLOAT, ["rows", 1])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(made)
    return made


def make_model(
    folder: Path, *, noise: float = 0.0, bias: float = -2.0, flat: bool = False, seed: int = 0, recipe: str = "",
    encoder: Encoder | None = None, rows: int = 64, broken_city: str = "", features: pa.Table | None = None,
) -> Path:  # fmt: skip
    """A model folder. More `noise` on the planted weights makes a worse model; a `flat` one cannot tell rows apart."""
    import onnxruntime

    encoder = encoder or make_encoder()
    random = np.random.default_rng(seed)
    tables = [
        np.zeros_like(one) if flat else (one + random.normal(0, noise, one.shape)).astype(np.float32)
        for one in planted_tables(encoder)
    ]
    if broken_city:
        # Its rows are scored as if they were positive, all of them.
        tables[0][2 + CITIES.index(broken_city)] += 4
    folder.mkdir(parents=True)
    encoder.save(folder / "encoder.json")
    onnx.save(graph(tables, bias, len(encoder.sizes), len(encoder.value_fields)), folder / "model.onnx")
    features = make_features(rows, seed=7) if features is None else features
    for name in set(encoder.columns) - set(features.column_names):
        features = features.append_column(name, pa.array(["sun"] * rows))
    encoded = encoder.encode(features)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    ids, values = encoded.ids.astype(np.int64), encoded.values
    outputs = session.run(["OUTPUT_0"], {"INPUT_0": ids, "INPUT_1": values})[0][:, 0]
    Golden(ids, values, outputs).save(folder / "golden.npz")
    pq.write_table(features, folder / "golden_features.parquet")
    (folder / "metrics.json").write_text(json.dumps({"test": {"auc": 0.7}}))
    epochs = [{"epoch": epoch, "loss": 0.6 - epoch / 10, "valid_auc": 0.6 + epoch / 20} for epoch in range(3)]
    (folder / "epochs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in epochs))
    (folder / "report.html").write_text("<p>report</p>")
    manifest = ModelManifest(
        kind="lr",
        fields=tuple({"name": field.name, "size": field.size} for field in encoder.id_fields),
        values=tuple(field.name for field in encoder.value_fields),
        hyper_parameters={"learning_rate": 0.1, "noise": noise},
        encoder_fingerprint=encoder.fingerprint,
        plan_id=encoder.plan_id,
        dataset_fingerprint="d" * 64,
        feature_set={"name": "shopping", "version": 3, "uri": "/tables/shopping"},
        metrics={"test": {"auc": 0.7, "logloss": 0.4}},
        rows={"test": {"rows": rows, "positives": 10}},
        inputs=(
            Tensor("INPUT_0", "INT64", (len(encoder.sizes),)),
            Tensor("INPUT_1", "FP32", (len(encoder.value_fields),)),
        ),
        encoder="encoder.json",
        recipe=recipe or files.digest_text(f"{noise} {bias} {flat} {seed}"),
        files=digests(folder),
    )
    document = {**manifest.to_document(), "fingerprint": identity(manifest)}
    (folder / "model.json").write_text(json.dumps(document))
    return folder


def make_dataset(folder: Path, *, rows: int = 6000, seed: int = 1) -> Path:
    """A dataset folder with a small training split and a test split; the planted weights make the labels."""
    encoder = make_encoder()
    folder.mkdir(parents=True)
    encoder.save(folder / ENCODER_FILE)
    counts, positives = {}, {}
    for place, (name, size) in enumerate({"train": 200, "test": rows}.items()):
        features = make_features(size, seed=seed + place)
        labels = make_labels(encoder, features, seed=seed + place)
        encoded = encoder.encode(features)
        (folder / name).mkdir()
        for file, matrix in (("ids", encoded.ids), ("values", encoded.values), ("labels", labels)):
            np.save(folder / name / f"{file}.npy", matrix)
        if name == "test":
            pq.write_table(features, folder / name / "features.parquet")
        counts[name], positives[name] = size, int(labels.sum())
    Manifest(
        fingerprint=files.digest_text(f"{rows} {seed}"),
        identity="i" * 64,
        encoder_fingerprint=encoder.fingerprint,
        plan_id=encoder.plan_id,
        feature_set={"name": "shopping", "version": 3, "uri": "/tables/shopping"},
        profile="declared",
        fields=[{"name": field.name, "size": field.size} for field in encoder.id_fields],
        values=[{"name": field.name} for field in encoder.value_fields],
        dropped=[],
        label="label",
        keys=[],
        rows=counts,
        positives=positives,
        split={"kind": "time"},
        seed=None,
        shards=[],
    ).write(folder)
    return folder


def make_evaluation(folder: Path, model: Path, dataset: Path, *, broken_score: int | None = None) -> Path:
    """The evaluation of a model on a dataset's test split."""
    from airflow_provider_mlfeat.training.evaluation.metrics import compute_metrics

    trained, opened = TrainedModel.open(model, threads=1), Dataset.open(dataset)
    encoded = trained.encoder.encode(opened.features("test"))
    labels = np.asarray(opened.split("test").labels)
    scores = trained.predict(encoded.ids, encoded.values)
    constant = np.full(len(labels), opened.manifest.positives["train"] / opened.manifest.rows["train"], np.float32)
    # A baseline that knows half of what there is to know.
    logistic = 1 / (1 + np.exp(-(true_logits(opened.encoder, opened.features("test")) / 2 - 1)))
    document = {
        "version": 1,
        "model_fingerprint": trained.manifest.fingerprint,
        "dataset_fingerprint": opened.manifest.fingerprint,
        "split": "test",
        "rows": len(labels),
        "positives": int(labels.sum()),
        "metrics": compute_metrics(labels, scores),
        "baselines": {
            "constant": compute_metrics(labels, constant),
            "logistic": compute_metrics(labels, logistic.astype(np.float32)),
        },
    }
    if broken_score is not None:
        scores[broken_score] = np.nan
    folder.mkdir(parents=True)
    table = pa.table({"row": np.arange(len(labels)), "label": labels, "score": scores})
    pq.write_table(table, folder / "scores.parquet")
    (folder / "evaluation.json").write_text(json.dumps(document))
    return folder
