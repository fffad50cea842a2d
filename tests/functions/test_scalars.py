"""Text, hashes, mathematics, lists, JSON and feature signatures: their rules, value by value."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mlfeat.sql.plan import Call
from airflow_provider_mlfeat.sql.types import BIGINT, DOUBLE, FLOAT, INT, STRING
from tests.functions.calls import call, evaluate, over_columns, typed, value_of
from tests.oracle.farmhash import fingerprint64

TEXT: list[tuple[str, tuple[Any, ...], Any]] = [
    ("concat", ("a", 1, 1.5, typed(True, "bool")), "a11.5true"),
    ("concat", ("a", None), None),
    ("concat_ws", ("-", "a", 2, typed(datetime.date(2020, 5, 1), "date")), "a-2-2020-05-01"),
    ("concat_ws", (7, "a", "b"), "a7b"),
    ("concat_ws", (None, "a", "b"), None),
    ("substr", ("123456789", 3), "3456789"),
    ("substr", ("123456789", 3, 20), "3456789"),
    ("substr", ("123456789", -3, 2), "78"),
    ("substr", ("123456789", 10), ""),
    ("substr", ("123456789", -10), ""),
    ("substr", ("123456789", 0), ""),
    ("substr", ("123456789", 1, 0), ""),
    ("substring", ("aé😀b", 2, 2), "é😀"),
    ("strcmp", ("a", "b"), -1),
    ("strcmp", ("é", "z"), 1),
    ("strcmp", ("", ""), 0),
    ("upper", ("aéz",), "AéZ"),
    ("ucase", ("abc",), "ABC"),
    ("lower", ("AÉZ",), "aÉz"),
    ("reverse", ("aé😀",), "😀éa"),
    ("char_length", ("aé😀",), 3),
    ("char", (65,), "A"),
    ("char", (65 + 256,), "A"),
    ("char", (-1,), "ÿ"),
    ("replace", ("ABCabcabc", "abc", "ABC"), "ABCABCABC"),
    ("replace", ("ABCabc", "abc"), "ABC"),
    ("replace", ("abc", "", "x"), "abc"),
    ("replace", ("abc", None, "x"), None),
    ("locate", ("b", "abcb"), 2),
    ("locate", ("b", "abcb", 3), 4),
    ("locate", ("b", "abcb", 0), 0),
    ("locate", ("x", "abcb"), 0),
    ("locate", ("", "abc", 4), 4),
    ("locate", ("", "abc", 5), 0),
    ("hex", ("Spark SQL",), "537061726B2053514C"),
    ("hex", (17,), "11"),
    ("hex", (17.4,), "11"),
    ("hex", (17.5,), "12"),
    ("hex", (-1,), "FFFFFFFFFFFFFFFF"),
    ("hex", (math.inf,), None),
    ("unhex", ("4A6f",), "Jo"),
    ("unhex", ("A",), "\n"),
    ("unhex", ("4G",), None),
    ("unhex", ("4 6",), None),
    ("unhex", ("FF",), None),
    ("unhex", ("",), ""),
]
MATH: list[tuple[str, tuple[Any, ...], Any]] = [
    ("abs", (typed(-32768, "smallint"),), 32768),
    ("abs", (typed(-(2**31), "int"),), -(2**31)),
    ("abs", (-0.5,), 0.5),
    ("abs", (typed(True, "bool"),), 1.0),
    ("truncate", (-1.9,), -1.0),
    ("ceil", (-1.5,), -1.0),
    ("ceil", (typed(3, "smallint"),), 3),
    ("floor", (typed(2**53 + 1, "bigint"),), 2**53 + 1),
    ("floor", (-1.5,), -2.0),
    ("round", (0.5,), 1.0),
    ("round", (-2.5,), -3.0),
    ("round", (2.345, 2), 2.35),
    ("round", (1234.5, -2), 1200.0),
    ("round", (1e300, 400), 1e300),
    ("round", (5.5, -400), 0.0),
    ("round", (-math.inf, -2), -math.inf),
    ("round", (math.nan, 2), math.nan),
    ("round", (25, -1), 30),
    ("round", (-25, -1), -30),
    ("round", (24, -1), 20),
    ("round", (7, 3), 7),
    ("round", (7, -30), 0),
    ("round", (typed(32767, "smallint"), -1), -32766),
    ("sqrt", (-1,), math.nan),
    ("ln", (0,), -math.inf),
    ("log", (typed(False, "bool"),), -math.inf),
    ("log", (2, 8), 3.0),
    ("log10", (100,), 2.0),
    ("exp", (1000,), math.inf),
    ("pow", (2, 10), 1024.0),
    ("power", (10, 1000), math.inf),
    ("atan", (1, 2), math.atan2(1, 2)),
    ("atan2", (1, 2), math.atan2(1, 2)),
    ("cot", (1,), 1 / math.tan(1)),
    ("asin", (2,), math.nan),
    ("degrees", (math.pi,), 180.0),
    ("pmod", (-10, 3), 2),
    ("pmod", (10, -3), 1),
    ("pmod", (-10, -3), -4),
    ("pmod", (1, 0), None),
    ("pmod", (-1.5, 1.0), 0.5),
    ("earth_distance", (40.0, 73.0, 41.0, 74.0), 139.72810080682342),
    ("earth_distance", (90.5, 73.0, 41.0, 74.0), None),
    ("earth_distance", (90.0, -181.0, 41.0, 74.0), None),
]
LISTS: list[tuple[Call, Any]] = [
    (call("split", "7,8,,9", ","), ("7", "8", "", "9")),
    (call("split", "a", ""), ()),
    (call("split", None, ","), ()),
    (call("split_by_key", "k:v,x,y:z:w", ",", ":"), ("k", "y")),
    (call("split_by_value", "k:v,x,y:z:w", ",", ":"), ("v", "z:w")),
    (call("split_by_value", "k:v", ",", ""), ()),
    (call("join", call("split", "a,b", ","), "-"), "a-b"),
    (call("size", call("split", "a,b", ",")), 2),
    (call("at", call("split", "a,b", ","), 1), "b"),
    (call("at", call("split", "a,b", ","), 2), None),
    (call("at", call("split", "a,b", ","), -1), None),
    (call("join", call("list_except_by_key", call("split", "a:1,b:2,c", ","), "a,c"), " "), "b:2"),
    (call("join", call("list_except_by_value", call("split", "a:1,b:2,c", ","), "1"), " "), "b:2 c"),
    (call("join", call("list_except_by_value", call("split", "a:1,c", ","), ""), " "), "a:1"),
    (call("split_array", "a,,b", ","), ("a", None, "b")),
    (call("array_join", call("split_array", "a,,b", ","), "-"), "a-b"),
    (call("array_join", call("split_array", ",a", ","), "-"), "a"),
    (call("array_join", call("array", 1, 2), None), "12"),
    (call("array_contains", call("array", 1, None), typed(None, "int")), True),
    (call("array_contains", call("array", 1, 2), typed(None, "int")), False),
    (call("array_contains", call("array", math.nan, 1.0), math.nan), True),
    (call("isin", 3, call("array", 1.0, 3.0)), True),
    (call("array_combine", "-", call("array", 1, 2), call("array", "a", None)), ("1-a", "2-a")),
    (call("array_combine", "|", call("array")), ()),
    (call("subscript", call("map", 1, "a", 1, "b"), 1), "a"),
    (call("subscript", call("map", 1, "a"), 2), None),
    (call("subscript", call("map", "k", 5), typed(None, "string")), None),
    (call("map_keys", call("map", "b", 1, "a", 2, "b", 3)), ("b", "a")),
]
DOCUMENT = '{"a":{"b~/c":[1,"x",null,true,1.5,{"d":"é"}]},"":0}'
JSON: list[tuple[str, tuple[Any, ...], Any]] = [
    ("json_array_length", ("[1,[2],{}]",), 3),
    ("json_array_length", ("{}",), None),
    ("json_array_length", ("[1,",), None),
    ("json_array_length", ("[NaN]",), None),
    ("json_array_length", ("[" * 100_000,), None),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/0"), "1"),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/1"), "x"),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/2"), "null"),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/3"), "true"),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/5"), '{"d":"é"}'),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/6"), None),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/00"), None),
    ("get_json_object", (DOCUMENT, "/a/b~0~1c/99999999999"), None),
    ("get_json_object", (DOCUMENT, "/"), "0"),
    ("get_json_object", ("[1]", ""), "[1]"),
    ("get_json_object", ("[1]", "0"), None),
    ("get_json_object", ('"text"', "/0"), None),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), TEXT + MATH + JSON)
def test_values(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    found = evaluate(name, *arguments)
    if isinstance(expected, float) and math.isfinite(expected):
        assert math.isclose(found, expected, rel_tol=1e-12)
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(("bound", "expected"), LISTS, ids=[str(number) for number in range(len(LISTS))])
def test_lists(bound: Call, expected: Any) -> None:
    assert value_of(bound) == expected


def test_floats_are_computed_in_64_bits_and_rounded_once() -> None:
    found, result = over_columns("log2", [FLOAT], [[3.0], [None]])
    assert result == FLOAT
    assert found == [1.5849624872207642, None]


HASHES = [
    (typed(90, "smallint"), -9205917472348398353),
    (typed(90, "int"), -3754664774081171349),
    (typed(90, "bigint"), -6110541762027922508),
    (typed(90.0, "double"), 42123122574000053),
    (typed(90.0, "float"), 3717229009355585768),
    (typed("g1", "string"), -8280049305495806603),
    (typed(datetime.date(2020, 7, 15), "date"), -8740639806462273876),
    (typed(True, "bool"), 5161771770385946686),
    (typed(False, "bool"), -4728684028706075820),
    (typed(1590115420000, "timestamp"), 4361965398422314040),
]


@pytest.mark.parametrize(("argument", "expected"), [item for item in HASHES if item[0].value != "g1"])
def test_hash64_of_the_width_of_the_type(argument: Any, expected: int) -> None:
    assert evaluate("hash64", argument) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=4) | st.text("abc", min_size=5, max_size=300), min_size=1, max_size=12))
def test_hash64_of_strings_of_every_length(texts: list[str]) -> None:
    expected = [fingerprint64(text.encode()) for text in texts]
    signed = [value - (1 << 64) if value >> 63 else value for value in expected]
    assert over_columns("farm_fingerprint", [STRING], [[text] for text in texts]) == (signed, BIGINT)


FEATURES = [
    call("multiclass_label", 7),
    call("continuous", 1.5),
    call("continuous", typed(None, "int")),
    call("discrete", 3),
    call("discrete", 3, 100),
    call("discrete", typed(None, "int"), 100),
    call("discrete", 3, 0),
    call("continuous", typed(True, "bool")),
]


def test_formatters() -> None:
    bucket = 2681491882390849628 % 100
    assert value_of(call("csv", *FEATURES)) == f"7,1.500000,,2681491882390849628,{bucket},,,1"
    # Slots: 1 and 2 continuous, 3 to 102 and 103 to 202 buckets, 203 continuous.
    assert value_of(call("libsvm", *FEATURES)) == f"7 1:1.500000 2681491882390849628:1 {3 + bucket}:1 203:1"
    first, seventh = evaluate("hash64", typed(1, "bigint")), evaluate("hash64", typed(7, "bigint"))
    assert value_of(call("gcformat", *FEATURES)) == (
        f"7 | 1:{first}:1.500000 3:2681491882390849628 4:{bucket} 7:{seventh}:1"
    )
    assert value_of(call("gcformat", call("gcformat_index", 9), call("regression_label", typed(None, "int")))) == " 9| "
    assert value_of(call("csv")) == ""
    assert value_of(call("libsvm", call("continuous", 0), call("binary_label", typed(False, "bool")))) == "0 1:0"


def test_the_last_label_counts() -> None:
    labels = [call("regression_label", 1), call("regression_label", 2.5)]
    assert value_of(call("libsvm", *labels)) == "2.500000"
    assert value_of(call("csv", call("continuous", math.inf), call("continuous", math.nan))) == "inf,nan"


def test_rows_of_text() -> None:
    rows = [("a", 1), (None, 2), ("b", None), ("a", 1)]
    assert over_columns("concat", [STRING, INT], rows)[0] == ["a1", None, None, "a1"]
    assert over_columns("concat_ws", [STRING, INT, DOUBLE], [("-", 1, 0.5), ("-", None, 1.0)])[0] == ["1-0.5", None]
