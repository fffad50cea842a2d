"""The options that statements take: names, values, and which values they accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_mlfeat.sql.errors import Position, SqlError, SqlNameError, nearest_name

Value = bool | int | str


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    :param words: what is accepted, as an error message says it.
    :param read: the value as the statement keeps it, or None when it is refused.
    """

    words: str
    read: Callable[[Value], Value | None]


def _choice(*choices: str) -> Option:
    return Option(" or ".join(f"'{choice}'" for choice in choices), lambda value: _one_of(value, choices))


def _one_of(value: Value, choices: tuple[str, ...]) -> str | None:
    return next((choice for choice in choices if choice.lower() == str(value).lower()), None)


def _flag_value(value: Value) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower())


def _whole(least: int, most: int | None = None) -> Option:
    words = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def read(value: Value) -> int | None:
        number = int(value) if re.fullmatch(r"\d+", str(value)) else None
        return number if number is not None and number >= least and (most is None or number <= most) else None

    return Option(words, read)


def _bias(value: Value) -> Value | None:
    return value if re.fullmatch(r"\d+[smhd]?|inf", str(value).lower()) else None


def _string(least: int = 0, most: int | None = None, words: str = "a string") -> Option:
    def read(value: Value) -> str | None:
        fits = isinstance(value, str) and len(value) >= least and (most is None or len(value) <= most)
        return str(value) if fits else None

    return Option(words, read)


_FLAG = Option("true or false", _flag_value)
_TEXT = _string()
_DELIMITER = _string(1, words="a string that is not empty")
_CHARACTER = _string(0, 1, "at most one character")
_FORMAT = _choice("csv", "parquet", "hive", "iceberg")
_MODE = _choice("error_if_exists", "append", "overwrite")

LOAD_OPTIONS: Mapping[str, Option] = {
    "format": _FORMAT,
    "delimiter": _DELIMITER,
    "header": _FLAG,
    "null_value": _TEXT,
    "quote": _CHARACTER,
    "mode": _MODE,
    "deep_copy": _FLAG,
    "load_mode": _choice("cluster", "local"),
    "thread": _whole(1, 50),
    "writer_type": _choice("single", "batch"),
    "put_if_absent": _FLAG,
    "sql": _TEXT,
    "max_errors": _whole(0),
    "positional": _FLAG,
}
OUTFILE_OPTIONS: Mapping[str, Option] = {
    "format": _FORMAT,
    "mode": _MODE,
    "delimiter": _DELIMITER,
    "header": _FLAG,
    "null_value": _TEXT,
    "quote": _CHARACTER,
    "coalesce": _whole(0),
    "create_if_not_exists": _FLAG,
    "skip_cvt": _FLAG,
    "sql": _TEXT,
}
DEPLOY_OPTIONS: Mapping[str, Option] = {
    "long_windows": _TEXT,
    "skip_index_check": _FLAG,
    "sync": _FLAG,
    "range_bias": Option("milliseconds, a time like '10d' or 'inf'", _bias),
    "rows_bias": Option(
        "a number of rows or 'inf'", lambda value: _bias(value) if str(value)[-1:] not in "smhd" else None
    ),
    "replace": _FLAG,
}
TABLE_OPTIONS: Mapping[str, Option] = {
    "partitionnum": _whole(1),
    "replicanum": _whole(1),
    "distribution": _TEXT,
    "storage_mode": _choice("Memory", "HDD", "SSD"),
    "compress_type": _choice("NoCompress", "Snappy"),
}
VARIABLES: Mapping[str, Option] = {
    "execute_mode": _choice("offline", "online", "request"),
    "sync_job": _FLAG,
    "job_timeout": _whole(0),
    "enable_trace": _FLAG,
    "spark_config": _TEXT,
    "insert_memory_usage_limit": _whole(0, 100),
    "time_zone": _TEXT,
    "null_join_keys": _choice("match", "never"),
}


def check_option(
    known: Mapping[str, Option], name: str, value: Value, what: str, position: Position | None
) -> tuple[str, Value]:
    """The option's name in lower case and its value; raises for an unknown name or a value that is refused."""
    option = known.get(name.lower())
    if option is None:
        raise SqlNameError(f"unknown {what} '{name}'", position, nearest_name(name, known))
    read = option.read(value)
    if read is None:
        raise SqlError(f"{what} '{name.lower()}' takes {option.words}, not '{value}'", position)
    return name.lower(), read
