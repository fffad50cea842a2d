"""One reading of a field, whoever wrote it, and one sentence where it cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.fields import ConnectionFields


def fields(extra: str | None, kind: str = "mlfeat_online") -> ConnectionFields:
    return ConnectionFields(Connection(conn_id="store", conn_type=kind, extra=extra), kind)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("true", True), ('"true"', True), ('"True"', True), ('" YES "', True), ('"1"', True), ("1", True),
        ('"on"', True),
        ("false", False), ('"false"', False), ('"False"', False), ('"no"', False), ('"0"', False),
        ("0", False),
        ("null", False), ('""', False), ('"  "', False),
    ],
)  # fmt: skip
def test_switch(written: str, read: bool) -> None:
    assert fields(f'{{"tls": {written}}}').switch("tls") is read


@pytest.mark.parametrize("written", ["7", '"7"', "7.0", '" 7 "'])
def test_whole(written: str) -> None:
    number = fields(f'{{"database": {written}}}').whole("database")
    assert number == 7
    assert isinstance(number, int)


@pytest.mark.parametrize(("written", "read"), [("2.5", 2.5), ('"2.5"', 2.5), ("3", 3.0), ("null", 5.0), ('""', 5.0)])
def test_seconds(written: str, read: float) -> None:
    assert fields(f'{{"timeout": {written}}}').seconds("timeout") == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"a": "x", "b": 2, "c": true, "d": 0.5}', (("a", "x"), ("b", "2"), ("c", "true"), ("d", "0.5"))),
        ('"{\\"a\\": \\"x\\"}"', (("a", "x"),)),
        ("null", ()), ('""', ()), ("[]", ()), ('"[]"', ()), ("{}", ()),
    ],
)  # fmt: skip
def test_mapping(written: str, read: tuple[tuple[str, str], ...]) -> None:
    assert fields(f'{{"conf": {written}}}', "mlfeat_spark").mapping("conf") == read


def test_a_missing_extra_means_the_defaults_of_the_form() -> None:
    blank = fields(None)
    assert (blank.choice("backend"), blank.text("path"), blank.text("key_prefix")) == ("embedded", None, "mlfeat")


@pytest.mark.parametrize(
    ("reader", "name", "extra", "sentence"),
    [
        ("switch", "tls", '{"tls": "maybe"}', "field 'tls' must be true or false, not 'maybe'"),
        ("switch", "tls", '{"tls": 2}', "field 'tls' must be true or false, not 2"),
        ("whole", "database", '{"database": "one"}', "field 'database' must be a whole number, not 'one'"),
        ("whole", "database", '{"database": 1.5}', "field 'database' must be a whole number, not 1.5"),
        ("whole", "database", '{"database": true}', "field 'database' must be a whole number, not True"),
        ("whole", "database", '{"database": -1}', "field 'database' must be from 0 to 65535, not -1"),
        ("seconds", "timeout", '{"timeout": "nan"}', "field 'timeout' must be a number of seconds, not 'nan'"),
        ("seconds", "timeout", '{"timeout": 0}', "field 'timeout' must be from 0.1 to 3600, not 0"),
        ("choice", "backend", '{"backend": "kafka"}', "field 'backend' must be one of embedded, redis, not 'kafka'"),
        ("choice", "backend", '{"backend": 3}', "field 'backend' must be one of embedded, redis, not 3"),
        ("text", "path", '{"path": 3}', "field 'path' must be a text, not 3"),
        ("text", "path", '{"path": ', "its extra is not JSON"),
        ("text", "path", "[1]", "its extra must be a JSON object"),
        ("text", "path", '{"pth": "x"}', "unknown field 'pth' in extra; known are backend, path, database"),
    ],
)
def test_a_mistake_is_one_sentence(reader: str, name: str, extra: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        getattr(fields(extra), reader)(name)
    assert str(caught.value).startswith(f"connection 'store': {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ('"{"', "field 'conf' is not JSON"),
        ("[1]", "field 'conf' must be a JSON object"),
        ("3", "field 'conf' must be a JSON object"),
        ('{"a": {"b": 1}}', "field 'conf': the value of 'a' must be a text, a number or a boolean"),
        ('{"a": null}', "field 'conf': the value of 'a' must be a text, a number or a boolean"),
    ],
)
def test_a_mistake_in_a_mapping_is_one_sentence(conf: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        fields(f'{{"conf": {conf}}}', "mlfeat_spark").mapping("conf")


def test_a_connection_of_another_type_is_refused() -> None:
    other: Any = Connection(conn_id="store", conn_type="redis")
    with pytest.raises(UserError, match="its type is 'redis', but 'mlfeat_online' is needed"):
        ConnectionFields(other, "mlfeat_online")
