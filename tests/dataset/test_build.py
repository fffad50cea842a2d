"""Datasets: what lies in the folder, and that nothing is there when the build fails."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset import writing
from airflow_provider_mlfeat.dataset.build import build_dataset
from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.splits import Split
from airflow_provider_mlfeat.errors import UserError
from tests.dataset.tables import Stages, source_of, visits
from tests.places import ROOT

SAMPLE = ROOT.parent / "shared" / "data" / "jd_sample" / "reference_features_41.parquet"
FIELDS = (
    Field("shop", "shop", "vocabulary", min_frequency=2),
    Field("amount", "amount", "bucket", buckets=10),
    Field("items", "items", "value", transform="standard"),
)
# The numbers of the original pipeline for the JD sample.
DATA_INFO = (
    "11132\n1391\n1393\n4,26,16,4,11,809,1,1,5,3,17,16,7,13916,13890,13916,10000,3674,9119,7,2,13916,5,4,4,33,2,2,7,2580,"
    "3,5,13916,10,47,13916,365,17,132,32,37"
)


def request(split: str = "random", **options: Any) -> Request:
    columns = {"time": ("at",), "key": ("customer",)}.get(split, ())
    return Request("bought", Split(split, columns), **{"fields": FIELDS, "keys": ("request",), **options})


def build(tmp_path: Path, asked: Request, table: pa.Table, name: str = "dataset") -> Dataset:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    build_dataset(asked, source_of(table), tmp_path / name, scratch, Stages())
    return Dataset.open(tmp_path / name)


def rows_of(ids: Any, values: Any, labels: Any) -> list[tuple[float, ...]]:
    """Rows of numbers as a sorted list, whatever their order."""
    return sorted(map(tuple, np.column_stack((ids, values, labels)).tolist()))


@pytest.mark.skipif(not SAMPLE.exists(), reason="the JD sample is not beside this checkout")
def test_the_faithful_profile_gives_the_numbers_of_the_original(tmp_path: Path) -> None:
    sample = pq.read_table(SAMPLE)
    # Columns in any order: the trainer's is found by their names. The sample has no labels.
    sample = sample.select(sorted(sample.column_names)).append_column(
        "Label", pa.array((np.arange(sample.num_rows) % 37 == 0).astype(np.int32))
    )
    asked = Request("Label", Split("positional"), "faithful", shuffle=False)
    dataset = build(tmp_path, asked, sample)
    assert (dataset.folder / "data_info.txt").read_bytes().decode() == DATA_INFO
    assert dataset.manifest.rows == {"train": 11132, "test": 1391, "valid": 1393}
    encoder = dataset.encoder
    names = [*(f"I{number}" for number in range(1, 14)), *(f"C{number}" for number in range(1, 29))]
    assert [field.name for field in encoder.fields] == names
    # The table of a field has a row for each key of the training rows, one for the others and one for NULL.
    trained = sample.slice(0, 11132)
    for field in encoder.fields:
        assert field.size == pc.count_distinct(trained.column(field.column), mode="only_valid").as_py() + 2
    train = dataset.split("train")
    assert (train.ids == encoder.encode(trained).ids).all()
    assert (train.ids > 0).all()


def test_every_row_is_in_one_split_with_its_label(tmp_path: Path) -> None:
    table = visits()
    for kind in ("random", "positional", "time", "key"):
        dataset = build(tmp_path, request(kind), table, kind)
        rows = dataset.manifest.rows
        splits = [dataset.split(name) for name in rows]
        found = [np.concatenate([getattr(one, name) for one in splits]) for name in ("ids", "values", "labels")]
        assert rows_of(*found) == rows_of(*dataset.encoder.encode(table), table.column("bought"))
        assert sum(rows.values()) == 2_000
        assert rows["train"] == pytest.approx(1_600, abs=80)
        assert rows["test"] == pytest.approx(200, abs=60)
        positives = {name: int(dataset.split(name).labels.sum()) for name in rows}
        assert dataset.manifest.positives == positives
        dataset.check()


def test_a_split_by_time_is_in_order(tmp_path: Path) -> None:
    table = visits()
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(2_000)))
    dataset = build(tmp_path, request("time", time="at"), shuffled)
    boundaries = [np.datetime64(moment, "ms") for moment in dataset.manifest.split["boundaries"]]
    moments = {name: np.asarray(dataset.features(name).column("at")) for name in ("valid", "test")}
    assert moments["valid"].min() >= boundaries[0]
    assert moments["valid"].max() < boundaries[1] <= moments["test"].min()
    assert dataset.manifest.rows == {"train": 1_600, "valid": 200, "test": 200}
    given = Split("time", ("at",), boundaries=tuple(int(one.astype(int)) for one in boundaries))
    again = build(tmp_path, dataclasses.replace(request(time="at"), split=given), shuffled, "given")
    assert again.manifest.rows == dataset.manifest.rows


def test_rows_of_one_moment_stay_together(tmp_path: Path) -> None:
    def on_days(rows_a_day: int) -> pa.Table:
        days = [datetime.date(2026, 1, 1 + number // rows_a_day) for number in range(2_000)]
        return visits().set_column(1, "at", pa.array(days))

    dataset = build(tmp_path, request("time"), on_days(100))
    assert dataset.manifest.rows == {"train": 1_600, "valid": 200, "test": 200}
    with pytest.raises(UserError, match="too many rows share a moment; give boundaries"):
        build(tmp_path, request("time"), on_days(1_990), "crowded")


def test_a_split_by_key_keeps_it_together(tmp_path: Path) -> None:
    dataset = build(tmp_path, request("key", groups=("customer",)), visits())
    customers = [set(dataset.features(name).column("customer").to_pylist()) for name in ("valid", "test")]
    assert not customers[0] & customers[1]
    with pytest.raises(UserError, match="values of 'customer' are in more than one of train, valid, test"):
        build(tmp_path, request(groups=("customer",)), visits(), "random")


def test_features_are_those_of_the_rows(tmp_path: Path) -> None:
    table = visits()
    dataset = build(tmp_path, request(), table)
    for name in ("valid", "test"):
        features = dataset.features(name)
        assert features.schema == table.schema
        split = dataset.split(name)
        ids, values = dataset.encoder.encode(features)
        assert (ids == split.ids).all()
        assert (values == split.values).all()
        assert (np.asarray(features.column("bought")) == split.labels).all()
        # In the order in which they came.
        numbers = [int(text[1:]) for text in features.column("request").to_pylist()]
        assert numbers == sorted(numbers)
    with pytest.raises(UserError, match="split 'train' keeps no features; valid and test do"):
        dataset.features("train")
    with pytest.raises(UserError, match="there is no split 'validation'"):
        dataset.split("validation")


def test_the_training_rows_are_shuffled_once_and_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = visits()
    plain = build(tmp_path, request(shuffle=False), table, "plain").split("train")
    whole = build(tmp_path, request(), table, "whole").split("train")
    monkeypatch.setattr("airflow_provider_mlfeat.dataset.build.SHARD_ROWS", 300)
    parts = build(tmp_path, request(), table, "parts")
    assert len(parts.manifest.shards) == 7
    starts = np.cumsum([0] + [rows for _, rows in parts.manifest.shards])
    assert [start for start, _ in parts.manifest.shards] == starts[:-1].tolist()
    assert starts[-1] == parts.manifest.rows["train"]

    def multiset(split: Any) -> list[tuple[float, ...]]:
        return rows_of(split.ids, split.values, split.labels)

    train = parts.split("train")
    assert multiset(plain) == multiset(whole) == multiset(train)
    assert (plain.ids != whole.ids).any()
    # Labels of the first half are as frequent as those of the second, also where rows came in order of the label.
    ordered = table.sort_by("bought")
    mixed = build(tmp_path, request(), ordered, "mixed").split("train").labels
    assert abs(mixed[: len(mixed) // 2].mean() - mixed[len(mixed) // 2 :].mean()) < 0.06
    assert writing.SHARD_ROWS == 1 << 20


def test_the_same_request_gives_the_same_dataset(tmp_path: Path) -> None:
    table = visits()
    first = build(tmp_path, request(), table, "first")
    again = build(tmp_path, request(), pa.concat_tables([table.slice(0, 700), table.slice(700)]), "again")
    assert again.manifest == first.manifest
    other = build(tmp_path, request(seed=11), table, "other")
    assert other.manifest.fingerprint != first.manifest.fingerprint
    assert other.manifest.identity != first.manifest.identity


def test_the_encoder_sees_no_row_but_the_training_rows(tmp_path: Path) -> None:
    table = visits()
    shops = table.column("shop").to_pylist()
    table = table.set_column(3, "shop", pa.array([*shops[:1_600], *("late" for _ in shops[1_600:])]))
    dataset = build(tmp_path, request("time"), table)
    assert (dataset.split("test").ids[:, 0] == 0).all()
    assert (dataset.split("train").ids[:, 0] > 0).mean() > 0.9


@pytest.mark.parametrize("stage", ["split", "fit", "encode", "shuffle", "digest"])
def test_a_build_that_is_stopped_leaves_nothing(tmp_path: Path, stage: str) -> None:
    (tmp_path / "scratch").mkdir()
    asked = request("time")
    with pytest.raises(KeyboardInterrupt):
        build_dataset(asked, source_of(visits()), tmp_path / "d" / "x", tmp_path / "scratch", Stages(stop_in=stage))
    assert list((tmp_path / "d").iterdir()) == []


def with_label(values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    table = visits(len(values))
    return table.set_column(table.schema.get_field_index("bought"), "bought", pa.array(values, kind))


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (visits(0), {}, "there are no rows to build a dataset of"),
        (visits(8), {}, "split '.*' is empty: choose other shares"),
        (with_label([0] * 500), {}, "label column 'bought' is 0 in all 500 rows"),
        (with_label([1] * 400 + [0] * 100), {"split": Split("positional")}, "is 1 in all 400 rows of split 'train'"),
        (with_label([0, 1, None] * 100), {}, "label column 'bought' is NULL in row 2"),
        (with_label([0, 1, 2] * 100), {}, "label column 'bought' is 2 in row 2, not 0 or 1"),
        (with_label(["0", "1"] * 100), {}, "label column 'bought' is string; it must be 0 or 1"),
        (visits(), {"label": "sold"}, "label column 'sold' is not among the columns: request, at"),
        (visits(), {"keys": ("id",)}, "key column 'id' is not among the columns"),
        (visits(), {"fields": ()}, "a dataset needs fields"),
        (visits(), {"fields": (Field("x", "bought", "value"),)}, "field 'x' is made of the label column"),
        (visits(), {"fields": (Field("x", "price", "value"),)}, "there is no column 'price'"),
        (visits(), {"profile": "best"}, "profile 'best' is not known"),
        (visits(), {"profile": "faithful"}, "makes the fields by itself"),
        (visits(), {"split": Split("time", ("shop",))}, "time column 'shop' (is string|holds NULL)"),
        (visits(), {"split": Split("key", ("shops",))}, "split column 'shops' is not among the columns"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    tmp_path: Path, table: pa.Table, options: dict[str, Any], message: str
) -> None:
    asked = dataclasses.replace(request(), **options)
    with pytest.raises(UserError, match=message):
        build(tmp_path, asked, table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("monthly", {}, "split 'monthly' is not known"),
        ("random", {"train": 0.9, "test": 0.1}, "leave some for valid"),
        ("time", {}, "split 'time' takes one column"),
        ("key", {}, "split 'key' takes the columns of the key"),
        ("random", {"columns": ("a",)}, "split 'random' takes no columns"),
        ("time", {"columns": ("a",), "boundaries": (2, 1)}, "two ascending moments"),
    ],
)
def test_a_wrong_split_is_explained(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Split(kind, **options)


def test_a_damaged_dataset_is_refused(tmp_path: Path) -> None:
    dataset = build(tmp_path, request(), visits())
    folder = dataset.folder
    with pytest.raises(UserError, match="is in an object store; datasets are read from local"):
        Dataset.open("s3://bucket/dataset")
    with pytest.raises(UserError, match="is no dataset: it has no dataset.json"):
        Dataset.open(tmp_path)
    assert Dataset.open(f"file://{folder}").manifest == dataset.manifest

    other = build(tmp_path, request(seed=11), visits(), "other")
    manifest = json.loads((folder / "dataset.json").read_text())
    encoder = (folder / "encoder.bin").read_bytes()
    (folder / "encoder.bin").write_bytes((other.folder / "encoder.bin").read_bytes())
    with pytest.raises(UserError, match="was made by encoder .* and the encoder beside it is"):
        Dataset.open(folder)
    (folder / "encoder.bin").write_bytes(encoder)

    labels = folder / "test" / "labels.npy"
    content = labels.read_bytes()
    labels.write_bytes(content[:-4] + b"\x00\x00\x80\x40")
    with pytest.raises(UserError, match="the contents of test/labels.npy were changed"):
        Dataset.open(folder).check()
    labels.write_bytes(content[:-4])
    with pytest.raises(UserError, match="test/labels.npy is not of the size"):
        Dataset.open(folder)
    labels.unlink()
    with pytest.raises(UserError, match="test/labels.npy is missing"):
        Dataset.open(folder)
    (folder / "dataset.json").write_text(json.dumps(manifest | {"version": 9}))
    with pytest.raises(UserError, match="of a version that this release does not read"):
        Dataset.open(folder)
    (folder / "dataset.json").write_text(
        json.dumps({name: value for name, value in manifest.items() if name != "rows"})
    )
    with pytest.raises(UserError, match="its entry 'rows' is missing or unknown"):
        Dataset.open(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="is damaged: it is no JSON"):
        Dataset.open(folder)
