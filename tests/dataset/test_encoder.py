"""The encoder: columns and single rows give the same numbers, and the keys are those written down."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.dataset.encoder import Encoder, Field
from airflow_provider_mlfeat.dataset.encoder.hashing import hash_strings
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from airflow_provider_mlfeat.errors import UserError
from tests.dataset.tables import SEED, slow_text

# Digests with seed 10, as signed numbers.
VECTORS = {
    "": 1851709867586078768,
    "1": -8532035105496476826,
    "1.0": 4665192976968367878,
    "214": 2892608736962422766,
    "NULL": 4894360435863083783,
    "200080_5505": -8322372095585448885,
    "1458045784000": 315335755293319786,
    "26-35岁": -3297631702762314873,
    ",NULL,NULL": -7174342135268319677,
    "0.0288": 8124911754431569306,
}
NULL_KEY = 6824040866060455024

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "string": (pa.string(), st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)),
    "bool": (pa.bool_(), st.booleans()),
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float32": (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "float64": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "timestamp": (pa.timestamp("us"), st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))),
    "date": (pa.date32(), st.dates()),
    "decimal(10,2)": (pa.decimal128(10, 2), st.decimals(-(10**7), 10**7, places=2)),
}


def fit(table: pa.Table, *fields: Field) -> Encoder:
    fitter = EncoderFitter(fields, table.schema)
    fitter.add(table)
    return fitter.finish()


def key_of(content: bytes, seed: int = SEED) -> int:
    return int(np.uint64(xxhash.xxh64_intdigest(content, seed)).view(np.int64))


def test_the_vectors() -> None:
    # Often enough to be hashed together, and once, which is another way.
    for times in (1, 50):
        texts = [text for text in VECTORS for _ in range(times)]
        keys = hash_strings(pa.array([*texts, None]), SEED).view(np.int64).tolist()
        assert keys == [*(VECTORS[text] for text in texts), NULL_KEY]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=70), min_size=1, max_size=40), st.integers(0, 2**64 - 1), st.integers(0, 3))
def test_strings_are_hashed_as_by_the_library(contents: list[bytes], seed: int, skipped: int) -> None:
    texts = [content.decode("latin-1") for content in contents] * 30
    strings = pa.array(texts).slice(skipped)
    expected = [xxhash.xxh64_intdigest(text.encode(), seed) for text in texts[skipped:]]
    assert hash_strings(strings, seed).tolist() == expected


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_key_is_that_of_the_canonical_text(kind: str, data: st.DataObject) -> None:
    arrow, values = TYPES[kind]
    drawn = data.draw(st.lists(st.none() | values, min_size=1, max_size=30)) * data.draw(st.sampled_from([1, 4]))
    table = pa.table({"x": pa.array(drawn, arrow)})
    encoder = fit(table, Field("x", "x", "vocabulary"))
    expected = [NULL_KEY if value is None else key_of(slow_text(value, kind)) for value in drawn]
    assert encoder.keys(table)[:, 0].tolist() == expected
    rows = table.to_pylist()
    assert [int(encoder.keys_row(row)[0]) for row in rows] == expected
    ids = encoder.encode(table).ids[:, 0].tolist()
    assert [int(encoder.encode_row(row).ids[0]) for row in rows] == ids
    assert all((one == 1) == (value is None) for one, value in zip(ids, drawn, strict=True))
    # Different keys have different ids, dense from 2 on.
    known = {key: one for key, one in zip(expected, ids, strict=True) if key != NULL_KEY}
    assert sorted(known.values()) == list(range(2, encoder.sizes[0]))


def fields_for(kind: str) -> list[Field]:
    fields = [
        Field("vocabulary", "x", "vocabulary", min_frequency=2),
        Field("few", "x", "vocabulary", max_rows=3, salt="few"),
        Field("hash", "x", "hash", rows=17, salt="hash"),
    ]
    if kind == "string":
        fields += [Field(f"list{place}", "x", "vocabulary", position=place, null_text="NULL") for place in range(2)]
        fields += [Field("listed", "x", "hash", rows=5, position=1)]
    else:
        fields += [
            Field("fitted", "x", "bucket", buckets=4),
            Field("given", "x", "bucket", boundaries=(-1.0, 0.0, 0.5, 3.0)),
            Field("raw", "x", "value", missing="nan"),
            Field("standard", "x", "value", transform="standard"),
            Field("log", "x", "value", transform="log"),
        ]
    if kind in ("timestamp", "date"):
        fields += [Field(part, "x", "part", part=part, zone="+08:00") for part in ("weekday", "day", "month")]
    if kind == "timestamp":
        fields.append(Field("hour", "x", "part", part="hour", zone="-03:30"))
    return fields


LISTS = st.lists(st.sampled_from(["a", "b", "", "NULL"]), max_size=4).map(",".join)


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_row_alone_gives_the_numbers_of_its_column(kind: str, data: st.DataObject) -> None:
    arrow, values = TYPES[kind]
    if kind == "string":
        values = values | LISTS
    drawn = data.draw(st.lists(st.none() | values, min_size=2, max_size=20))
    drawn.append(data.draw(values))
    table = pa.table({"x": pa.array(drawn * data.draw(st.sampled_from([1, 3])), arrow)})
    encoder = fit(table, *fields_for(kind))
    fresh = pa.table({"x": pa.array(data.draw(st.lists(st.none() | values, max_size=10)), arrow)})
    for rows in (table, fresh):
        with np.errstate(over="ignore"):
            ids, floats = encoder.encode(rows)
            alone = [encoder.encode_row(row) for row in rows.to_pylist()]
        assert ids.dtype == np.int32
        assert floats.dtype == np.float32
        assert ids.flags.c_contiguous
        assert ids.tolist() == [one.ids.tolist() for one in alone]
        assert floats.tobytes() == b"".join(one.values.tobytes() for one in alone)
        assert (ids >= 0).all()
        assert (ids < np.array(encoder.sizes)).all()
    loaded = Encoder([*encoder.fields], encoder.vocabularies, encoder.plan_id, encoder.seed)
    assert loaded.fingerprint == encoder.fingerprint


def test_the_rules_of_ids() -> None:
    table = pa.table({"x": ["b", "a", "a", None, "c", "b", "a"]})
    encoder = fit(table, Field("x", "x", "vocabulary", min_frequency=2))
    # The most frequent first; what came once is out of vocabulary.
    assert encoder.encode(table).ids[:, 0].tolist() == [3, 2, 2, 1, 0, 3, 2]
    assert encoder.sizes == (4,)
    assert encoder.encode(pa.table({"x": ["unseen"]})).ids.tolist() == [[0]]


def test_parts_of_time_are_local() -> None:
    # A Sunday at 17:00 in UTC is Monday at 01:00 eight hours ahead.
    table = pa.table({"x": pa.array([datetime.datetime(2026, 1, 31, 17), datetime.datetime(1969, 12, 31, 15)])})
    names = ("hour", "weekday", "day", "month")
    encoder = fit(table, *(Field(part, "x", "part", part=part, zone="+08:00") for part in names))
    assert (encoder.encode(table).ids - 2).tolist() == [[1, 6, 0, 1], [23, 2, 30, 11]]
    assert encoder.sizes == (26, 9, 33, 14)


def test_buckets_hold_about_equally_many() -> None:
    table = pa.table({"x": np.random.default_rng(0).lognormal(size=10_000)})
    encoder = fit(table, Field("x", "x", "bucket", buckets=8))
    counts = np.bincount(encoder.encode(table).ids[:, 0] - 2)
    assert len(counts) == 8
    assert (abs(counts - 1250) < 5).all()
    constant = fit(pa.table({"x": [1.0, 1.0]}), Field("x", "x", "bucket", buckets=8))
    assert constant.encode(pa.table({"x": [0.0, 1.0, 2.0]})).ids.tolist() == [[2], [2], [2]]
    two = fit(pa.table({"x": [0.0, 0.0, 0.0, 1.0]}), Field("x", "x", "bucket", buckets=2))
    assert two.encode(pa.table({"x": [0.0, 1.0]})).ids.tolist() == [[2], [3]]


def test_values_are_scaled_by_the_training_rows() -> None:
    numbers = np.random.default_rng(0).normal(5, 3, 1000)
    fields = [Field("x", "x", "value", transform="standard"), Field("y", "x", "value", transform="log", missing="nan")]
    fitter = EncoderFitter(fields, pa.schema({"x": pa.float64()}))
    for start in range(0, 1000, 100):
        fitter.add(pa.table({"x": numbers[start : start + 100]}))
    encoder = fitter.finish()
    values = encoder.encode(pa.table({"x": numbers})).values
    assert abs(values.mean(0)).max() < 1e-6
    assert abs(values.std(0) - 1).max() < 1e-6
    assert np.isnan(encoder.encode_row({"x": None}).values).tolist() == [False, True]


def test_integers_of_any_width_and_nested_arrays_are_alike() -> None:
    encoder = fit(pa.table({"x": pa.array([3, 3, 4], pa.int64())}), Field("x", "x", "vocabulary"))
    for kind in (pa.int8(), pa.int32(), pa.uint16()):
        assert encoder.encode(pa.table({"x": pa.array([4, 3, None], kind)})).ids.tolist() == [[3], [2], [1]]
    encoded = pa.chunked_array([pa.array([3, 4]).dictionary_encode(), pa.array([4]).dictionary_encode()])
    assert encoder.encode(pa.table({"x": encoded})).ids.tolist() == [[2], [3], [3]]
    assert encoder.encode(pa.table({"x": pa.nulls(2)})).ids.tolist() == [[1], [1]]
    assert encoder.encode(pa.table({"x": pa.chunked_array([], pa.int64())})).ids.shape == (0, 1)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("string", 5, "column 'x' takes string, not 5"),
        ("string", "a\x00b", "contains the character U\\+0000"),
        ("int", "5", "column 'x' takes int, not '5' \\(str\\)"),
        ("int", True, "column 'x' takes int, not True"),
        ("int", 1.0, "column 'x' takes int, not 1.0"),
        ("float32", "1", "column 'x' takes float, not '1'"),
        ("float32", 1e300, "column 'x' takes float32, and 1e\\+300 is too large for one"),
        ("float32", float("nan"), "holds NaN or infinity"),
        ("float64", float("nan"), "holds NaN or infinity"),
        ("float64", float("inf"), "holds NaN or infinity"),
        ("bool", 1, "column 'x' takes bool, not 1"),
        ("timestamp", "2026", "column 'x' takes timestamp, not '2026'"),
        ("date", datetime.datetime(2026, 1, 1), "column 'x' takes date"),
        ("decimal(10,2)", Decimal("1.001"), "more than 2 digits after the point"),
        ("decimal(10,2)", 1.5, "column 'x' takes decimal\\(10,2\\)"),
    ],
)
def test_a_wrong_value_is_named(kind: str, value: Any, message: str) -> None:
    arrow, _ = TYPES[kind]
    encoder = fit(pa.table({"x": pa.nulls(1, arrow)}), Field("x", "x", "vocabulary"))
    with pytest.raises(UserError, match=message):
        encoder.encode_row({"x": value})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("float64", Field("x", "x", "vocabulary"), 10**400),
        ("int", Field("x", "x", "value"), 10**400),
        ("timestamp", Field("x", "x", "part", part="month"), 10**30),
        ("decimal(10,2)", Field("x", "x", "vocabulary"), Decimal("1e999999")),
    ],
)
def test_a_number_that_no_machine_holds_is_named(kind: str, field: Field, value: Any) -> None:
    encoder = fit(pa.table({"y": [1], "x": pa.nulls(1, TYPES[kind][0])}), Field("y", "y", "vocabulary"), field)
    with pytest.raises(UserError, match="column 'x': the value is beyond all numbers of its type"):
        encoder.encode_row({"y": 1, "x": value})


def test_columns_that_do_not_fit_are_named() -> None:
    encoder = fit(pa.table({"x": ["a"], "y": [1.5]}), Field("x", "x", "vocabulary"), Field("y", "y", "value"))
    with pytest.raises(UserError, match="column 'x' is int, and the encoder was made for string"):
        encoder.encode(pa.table({"x": [1], "y": [1.5]}))
    with pytest.raises(UserError, match="the rows lack column 'y', which the encoder reads"):
        encoder.encode(pa.table({"x": ["a"]}))
    with pytest.raises(UserError, match="the row lacks column 'y', which the encoder reads"):
        encoder.encode_row({"x": "a"})
    with pytest.raises(UserError, match="column 'x': type list<item: int64> has no canonical text; CAST it"):
        encoder.encode(pa.table({"x": [[1]], "y": [1.5]}))
    with pytest.raises(UserError, match="column 'y' holds NaN or infinity"):
        encoder.encode(pa.table({"x": ["a"], "y": [float("nan")]}))
    with pytest.raises(UserError, match="column 'x': a string contains the character"):
        encoder.encode(pa.table({"x": ["a\x00"], "y": [1.5]}))


def test_nan_counts_as_null_where_the_field_says_so() -> None:
    table = pa.table({"x": pa.array([float("nan"), float("inf"), 1.0, None], pa.float32())})
    fields = (
        Field("category", "x", "vocabulary", non_finite="null"),
        Field("range", "x", "bucket", boundaries=(0.0,), non_finite="null"),
        Field("value", "x", "value", missing="nan", non_finite="null"),
    )
    encoder = fit(table, *fields)
    ids, values = encoder.encode(table)
    assert ids.tolist() == [[1, 1], [1, 1], [2, 3], [1, 1]]
    assert np.isnan(values[:, 0]).tolist() == [True, True, False, True]
    for row, one, value in zip(table.to_pylist(), ids, values, strict=True):
        alone = encoder.encode_row(row)
        assert alone.ids.tolist() == one.tolist()
        assert alone.values.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "embedding"}, "kind 'embedding' is not known"),
        ({"kind": "hash"}, "needs rows"),
        ({"kind": "bucket"}, "needs boundaries, or buckets"),
        ({"kind": "bucket", "boundaries": [2, 1]}, "boundaries must ascend"),
        ({"kind": "part", "part": "year"}, "part 'year' is not known"),
        ({"kind": "part", "part": "hour", "zone": "Asia/Shanghai"}, "zone 'Asia/Shanghai' must look like"),
        ({"kind": "value", "transform": "cube"}, "transform 'cube' is not known"),
        ({"kind": "value", "position": 1}, "position is an element's number"),
        ({"kind": "vocabulary", "min_frequency": 0}, "min_frequency must be 1 or more"),
        ({"kind": "vocabulary", "min_frequency": "2"}, "option 'min_frequency' cannot be '2'"),
        ({"kind": "vocabulary", "min_frequency": True}, "option 'min_frequency' cannot be True"),
        ({"kind": "vocabulary", "salt": None}, "option 'salt' cannot be None"),
        ({"kind": "bucket", "boundaries": 5}, "option 'boundaries' cannot be 5"),
        ({"kind": "bucket", "boundaries": [1, "2"]}, "option 'boundaries' cannot be"),
        ({"kind": 7}, "option 'kind' cannot be 7"),
        ({"kind": "hash", "rows": 1 << 40}, "needs rows"),
        ({"kind": "vocabulary", "minfrequency": 2}, "unknown option 'minfrequency'"),
        ({}, "option 'kind' is missing"),
    ],
)
def test_a_wrong_declaration_is_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"field 'x': .*{message}"):
        Field.from_document({"name": "x", "column": "x", **options})


def test_a_field_on_the_wrong_column_is_explained() -> None:
    table = pa.table({"x": ["a"], "y": [datetime.date(2026, 1, 1)]})
    for field, message in (
        (Field("f", "z", "vocabulary"), "there is no column 'z'; there are 'x', 'y'"),
        (Field("f", "x", "value"), "column 'x' is string, and kind 'value' takes numbers"),
        (Field("f", "x", "part", part="day"), "only a timestamp or date has a part"),
        (Field("f", "y", "part", part="hour"), "is a date, which has no hour"),
        (Field("f", "y", "vocabulary", position=0), "only a string holds a list"),
        (Field("f", "x", "vocabulary", type="int"), "column 'x' is string, and the field was declared for int"),
    ):
        with pytest.raises(UserError, match=f"field 'f': .*{message}"):
            fit(table, field)
    with pytest.raises(UserError, match="two fields are called 'f'"):
        fit(table, Field("f", "x", "vocabulary"), Field("f", "y", "vocabulary"))
    with pytest.raises(UserError, match="the training split is empty"):
        EncoderFitter([Field("f", "x", "vocabulary")], table.schema).finish()
