"""What becomes of a column: one column of ids, or one of values.

A field is declared with its options and fitted on the training split; a fitted one knows its size. In JSON, options
that have their default are left out, so a field reads as it was meant.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.dataset.encoder.canonical import is_known_type
from airflow_provider_mlfeat.dataset.encoder.vocabulary import FIRST
from airflow_provider_mlfeat.errors import UserError

KINDS = ("vocabulary", "hash", "bucket", "part", "value")
# How many different ones there are, and the smallest.
PARTS: dict[str, tuple[int, int]] = {"hour": (24, 0), "weekday": (7, 0), "day": (31, 1), "month": (12, 1)}
TRANSFORMS = ("none", "standard", "log")
_ZONE = re.compile(r"([+-])(\d{2}):(\d{2})")
_NUMBERS = ("bool", "int", "float32", "float64", "timestamp", "date")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the ids matrix, or of the values matrix.

    Every column of ids has row 0 for what is out of vocabulary and row 1 for NULL; what the field knows follows from
    row 2 on.

    :param name: the field's; different from all others'.
    :param column: which column it is made of.
    :param kind: ``vocabulary`` gives each key that training saw its own row; ``hash`` spreads keys over `rows` rows;
        ``bucket`` finds the range that a number falls into; ``part`` takes a part of a timestamp; ``value`` keeps a
        number as it is, for the values matrix.
    :param type: logical type of the column, as `canonical.type_name` gives it; '' until it is fitted.
    :param size: rows of the field's table; 0 until it is fitted, and for values.
    :param salt: vocabulary and hash: makes the same text another key than in other fields.
    :param min_frequency: vocabulary: keys that training saw less often have no row.
    :param max_rows: vocabulary: only so many most frequent keys have a row; 0 is all.
    :param position: vocabulary and hash: which element of a list in a string, from 0; None takes the whole value.
    :param delimiter: between the elements of such a list.
    :param null_text: an element that reads so is NULL; '' is no such text.
    :param rows: hash: how many rows.
    :param buckets: bucket: how many ranges of about equal frequency to fit.
    :param boundaries: bucket: where the second and later ranges begin; fitted when none are declared.
    :param part: ``hour``, ``weekday`` (Monday is 0), ``day`` or ``month``.
    :param zone: of the part, such as ``+08:00``.
    :param transform: value: ``none``, ``standard`` (mean 0, deviation 1), or ``log`` (logarithm, then standard).
    :param center: value: what is taken off; fitted.
    :param scale: value: by what it is divided then; fitted.
    :param missing: value: what NULL becomes: ``zero`` or ``nan``.
    :param non_finite: what NaN and infinity are: ``refuse`` or ``null``.
    """

    name: str
    column: str
    kind: str
    type: str = ""
    size: int = 0
    salt: str = ""
    min_frequency: int = 1
    max_rows: int = 0
    position: int | None = None
    delimiter: str = ","
    null_text: str = ""
    rows: int = 0
    buckets: int = 0
    boundaries: tuple[float, ...] = ()
    part: str = ""
    zone: str = "+00:00"
    transform: str = "none"
    center: float = 0.0
    scale: float = 1.0
    missing: str = "zero"
    non_finite: str = "refuse"

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise UserError(f"field '{self.name}': {problem}")

    @property
    def is_value(self) -> bool:
        """Whether it goes into the values matrix."""
        return self.kind == "value"

    @property
    def has_keys(self) -> bool:
        """Whether its ids come from 64-bit keys."""
        return self.kind in ("vocabulary", "hash")

    @property
    def zone_milliseconds(self) -> int:
        """How far the zone is ahead of UTC."""
        found = _ZONE.fullmatch(self.zone)
        assert found is not None
        minutes = int(found[2]) * 60 + int(found[3])
        return minutes * (-60_000 if found[1] == "-" else 60_000)

    def with_type(self, kind: str) -> Field:
        """The field on a column of a type; raises UserError where the two do not fit."""
        return dataclasses.replace(self, type=kind)

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: value for name, value in options.items() if name in _ALWAYS or value != _DEFAULTS.get(name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Field:
        """The field of a JSON form; raises UserError for what is no field."""
        known = {field.name for field in dataclasses.fields(cls)}
        name = document.get("name", "?")
        if unknown := sorted(set(document) - known):
            raise UserError(f"field '{name}': unknown option '{unknown[0]}'; there are {', '.join(sorted(known))}")
        if missing := [option for option in _ALWAYS[:3] if option not in document]:
            raise UserError(f"field '{name}': option '{missing[0]}' is missing")
        options = dict(document)
        if "boundaries" in options:
            options["boundaries"] = tuple(float(one) for one in options["boundaries"])
        return cls(**options)

    def _problem(self) -> str:
        if not self.name or not self.column:
            return "name and column must not be empty"
        if self.kind not in KINDS:
            return f"kind '{self.kind}' is not known: it is {', '.join(KINDS)}"
        if self.type and not is_known_type(self.type):
            return f"type '{self.type}' is not known"
        return self._options_problem() or (self._type_problem() if self.type else "")

    def _options_problem(self) -> str:
        if self.min_frequency < 1:
            return "min_frequency must be 1 or more"
        if self.position is not None and (self.position < 0 or not self.has_keys or not self.delimiter):
            return "position is an element's number from 0, of a vocabulary or hash field, with a delimiter"
        if self.kind == "hash" and self.rows < 1:
            return "kind 'hash' needs rows, the size of its table"
        if self.kind == "bucket":
            if not self.boundaries and self.buckets < 2:
                return "kind 'bucket' needs boundaries, or buckets of 2 or more"
            if list(self.boundaries) != sorted(set(self.boundaries)):
                return "boundaries must ascend"
        if self.kind == "part" and self.part not in PARTS:
            return f"part '{self.part}' is not known: it is {', '.join(PARTS)}"
        if not _ZONE.fullmatch(self.zone):
            return f"zone '{self.zone}' must look like +08:00"
        if self.transform not in TRANSFORMS:
            return f"transform '{self.transform}' is not known: it is {', '.join(TRANSFORMS)}"
        if self.missing not in ("zero", "nan"):
            return f"missing is 'zero' or 'nan', not '{self.missing}'"
        if self.non_finite not in ("refuse", "null"):
            return f"non_finite is 'refuse' or 'null', not '{self.non_finite}'"
        return ""

    def _type_problem(self) -> str:
        if self.kind == "part" and self.type not in ("timestamp", "date"):
            return f"column '{self.column}' is {self.type}, and only a timestamp or date has a part"
        if self.kind == "part" and self.type == "date" and self.part == "hour":
            return f"column '{self.column}' is a date, which has no hour"
        if self.kind in ("bucket", "value") and self.type not in _NUMBERS and not self.type.startswith("decimal("):
            return f"column '{self.column}' is {self.type}, and kind '{self.kind}' takes numbers"
        if self.position is not None and self.type != "string":
            return f"column '{self.column}' is {self.type}, and only a string holds a list"
        return ""


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Field)}
_ALWAYS = ("name", "column", "kind", "type", "size")


def fixed_size(field: Field) -> int:
    """Rows of a field's table where they follow from its options; 0 for a vocabulary and for values."""
    if field.kind == "hash":
        return FIRST + field.rows
    if field.kind == "part":
        return FIRST + PARTS[field.part][0]
    return FIRST + len(field.boundaries) + 1 if field.kind == "bucket" else 0
