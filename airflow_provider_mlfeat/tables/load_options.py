"""The options of LOAD DATA, and what a load answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol, get_args

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE

Format = Literal["csv", "parquet", "orc", "json"]
LoadMode = Literal["error_if_exists", "append", "overwrite"]
# What the language accepts and what has no meaning here: one process loads, with as many threads as it is told.
_WITHOUT_MEANING = ("load_mode", "writer_type")


class LoadProgress(Protocol):
    """Where a load tells how far it is; a job's progress is one."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None: ...

    def advance(self, amount: float = 1) -> None: ...


class LoadCancellation(Protocol):
    """What stops a load: `check` raises when somebody asked."""

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How files become rows of a table.

    :param format: ``csv``, ``parquet``, ``orc`` or ``json`` (one object a line).
    :param delimiter: between csv fields, one character.
    :param header: the first csv line holds names; without it columns go by order.
    :param null_value: csv text that is NULL; an empty field without quotes always is.
    :param quote: around csv fields, one character; '' is none.
    :param mode: refuse a table that has rows, add to them, or take their place.
    :param deep_copy: False links Parquet files in place of copying them.
    :param positional: go by order though there are names.
    :param max_bad_rows: so many rows may be refused; None is 0, or no such limit where `max_bad_share` is given.
    :param max_bad_share: this share of the rows, 0 to 1, may be refused.
    :param time_zone: of points in time that are text: a name or an offset such as ``+08:00``.
    :param threads: that work side by side; 0 is one per core.
    """

    format: Format = "csv"
    delimiter: str = ","
    header: bool = True
    null_value: str = "null"
    quote: str = '"'
    mode: LoadMode = "error_if_exists"
    deep_copy: bool = True
    positional: bool = False
    max_bad_rows: int | None = None
    max_bad_share: float | None = None
    time_zone: str = DEFAULT_TIME_ZONE
    threads: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("format", get_args(Format)), ("mode", get_args(LoadMode))):
            if getattr(self, name) not in allowed:
                raise UserError(f"option '{name}' takes {' or '.join(allowed)}, not '{getattr(self, name)}'")
        for name, least in (("delimiter", 1), ("quote", 0)):
            text = getattr(self, name)
            if not (least <= len(text.encode()) <= 1) or text in ("\n", "\r"):
                raise UserError(f"option '{name}' takes one ASCII character, not '{text}'")
        if self.delimiter == self.quote:
            raise UserError(f"options 'delimiter' and 'quote' are both '{self.quote}'")
        if (self.max_bad_rows or 0) < 0:
            raise UserError(f"option 'max_bad_rows' takes a number of rows, not {self.max_bad_rows}")
        if not 0 <= (self.max_bad_share or 0) <= 1:
            raise UserError(f"option 'max_bad_share' takes a share from 0 to 1, not {self.max_bad_share}")
        if not self.deep_copy and self.format != "parquet":
            raise UserError(f"deep_copy=false links Parquet files only; load {self.format} files with deep_copy=true")

    @classmethod
    def from_statement(cls, options: Mapping[str, Any], **others: Any) -> LoadOptions:
        """The options as LOAD DATA writes them: ``max_errors`` is `max_bad_rows`, ``thread`` is `threads`.

        :param options: of the statement, names in lower case.
        :param others: what the statement does not say, for instance the session's `time_zone`.
        """
        names = {"max_errors": "max_bad_rows", "thread": "threads"}
        known = {field.name for field in fields(cls)}
        given = dict(others)
        for name, value in options.items():
            ours = names.get(name, name)
            if name in ("put_if_absent", "sql") and value:
                raise UserError(f"LOAD DATA of offline tables has no option '{name}'; a load's id makes it repeatable")
            if ours in known:
                given[ours] = "\t" if ours == "delimiter" and value == "\\t" else value
            elif name not in (*_WITHOUT_MEANING, "put_if_absent", "sql"):
                raise UserError(
                    ". ".join(filter(None, (f"LOAD DATA has no option '{name}'", nearest_name(name, known))))
                )
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load did.

    :param database: the table's database.
    :param table: its name.
    :param version: the version that holds the rows.
    :param already_loaded: an earlier load of the same id had done it; the numbers are that load's.
    :param files: how many were read.
    :param rows_read: rows in the files.
    :param rows_loaded: rows that are in the version because of this load.
    :param rows_rejected: rows that were refused.
    :param rows_in_table: rows of the version.
    :param columns: column of the files to column of the table, or its number where order decided.
    :param defaulted: columns that the files do not have and that got their DEFAULT.
    :param quarantine: the file that lists refused rows with reasons; None when there are none.
    """

    database: str
    table: str
    version: int
    already_loaded: bool = False
    files: int = 0
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_in_table: int = 0
    columns: dict[str, str]
    defaulted: tuple[str, ...] = ()
    quarantine: str | None = None

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "defaulted": list(self.defaulted)}
