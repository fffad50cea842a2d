"""Which fields a table becomes, where nobody declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.faithful import in_training_order
from airflow_provider_mlfeat.dataset.measuring import Measured
from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.request import Request
    from airflow_provider_mlfeat.dataset.source import Source

PROFILES = ("faithful", "recommended", "numeric", "declared")
# A value that comes up less than twice in the training rows teaches nothing about the next row that has it.
_ROWS_PER_VALUE = 2
# What has more different values than this is a quantity, or a list to be taken apart.
_FEW = 1_000
# A larger table than this is shared by values.
_LARGEST_VOCABULARY = 1_000_000
_BUCKETS = 64
_LONGEST_LIST = 10
# Rarer values share the row 'out of vocabulary', which so learns what an unknown value means.
_MIN_FREQUENCY = 2

# Measures columns of the training rows, given by name with their logical types.
Measure = Callable[[Mapping[str, str]], Sequence[Measured]]


@dataclass(frozen=True)
class Chosen:
    """The fields of a dataset.

    :param fields: not fitted yet.
    :param dropped: columns that were left out, and why.
    """

    fields: tuple[Field, ...]
    dropped: list[dict[str, str]] = field(default_factory=list)


def choose_fields(request: Request, source: Source, measure: Measure) -> Chosen:
    """The declared fields, or those that the profile makes of the columns.

    :param request: what the dataset is to be.
    :param source: the rows.
    :param measure: looks at the training rows, for a profile that asks.
    """
    if request.profile not in PROFILES:
        raise UserError(f"profile '{request.profile}' is not known: it is {', '.join(PROFILES)}")
    if request.profile == "declared":
        return Chosen(_declared(request))
    if request.profile == "faithful" and request.fields:
        return Chosen(_named(request.fields))
    if request.fields:
        raise UserError(f"profile '{request.profile}' makes the fields by itself: give fields, or a profile")
    columns = [name for name in source.schema.names if name != request.label and name not in request.drop]
    dropped = [_because(name, "asked for") for name in request.drop]
    if not columns:
        raise UserError("there are no columns but the label")
    if request.profile == "faithful":
        return Chosen(tuple(Field(name, name, "vocabulary") for name in in_training_order(columns)), dropped)
    roles = dict.fromkeys(request.keys, "identifies the row")
    if request.time:
        roles[request.time] = "is the row's time, which never comes again"
    dropped += [_because(name, roles[name]) for name in columns if name in roles]
    columns = [name for name in columns if name not in roles]
    kinds = {name: source.type_of(name, "column") for name in columns}
    found = _numeric(kinds) if request.profile == "numeric" else recommended(measure(kinds))
    if not found.fields:
        reasons = "; ".join(f"'{one['column']}' {one['reason']}" for one in found.dropped[:5])
        raise UserError(f"profile '{request.profile}' leaves no column to learn from: {reasons}")
    return Chosen(found.fields, dropped + found.dropped)


def recommended(columns: Sequence[Measured]) -> Chosen:
    """What can be learned from, by what the training rows hold; the rest is dropped with the reason."""
    fields: list[Field] = []
    dropped = []
    first: dict[int, str] = {}
    for column in columns:
        twin = first.setdefault(column.contents, column.name)
        reason = f"has the same values as '{twin}'" if twin != column.name else _hopeless(column)
        if reason:
            dropped.append(_because(column.name, reason))
        else:
            fields += _fields_of(column)
    return Chosen(tuple(fields), dropped)


def _hopeless(column: Measured) -> str:
    """Why nothing can be learned from a column; '' where something can."""
    if column.distinct <= 1:
        return f"has one value in all {column.rows} training rows"
    if column.type in ("timestamp", "date"):
        return "is a point in time: take its parts, or how long ago it was, in the query"
    if column.type in ("string", "int"):
        present = column.rows - column.nulls
        if column.distinct * _ROWS_PER_VALUE > present:
            return f"has {column.distinct} different values in {present} training rows: it is an id"
    return ""


def _fields_of(column: Measured) -> list[Field]:
    name = column.name
    is_real = column.type.startswith(("float", "decimal"))
    few = column.distinct <= (_BUCKETS if is_real else _FEW)
    category = Field(name, name, "vocabulary", min_frequency=_MIN_FREQUENCY, non_finite="null")
    if few or column.type == "bool":
        return [category]
    ranges = Field(name, name, "bucket", buckets=_BUCKETS, non_finite="null")
    if is_real:
        return [ranges]
    if column.type == "string" and 1 < column.parts <= _LONGEST_LIST:
        return [
            Field(
                f"{name}.{place + 1}",
                name,
                "vocabulary",
                position=place,
                null_text="NULL",
                min_frequency=_MIN_FREQUENCY,
            )
            for place in range(column.parts)
        ]
    if column.distinct > _LARGEST_VOCABULARY:
        category = Field(name, name, "hash", rows=_LARGEST_VOCABULARY, salt=name)
    # Whether a whole number counts or names something, nobody can see: it does both.
    return [category, _renamed(ranges, f"{name}.range")] if column.type == "int" else [category]


def _renamed(one: Field, name: str) -> Field:
    return Field(name, one.column, one.kind, buckets=one.buckets, non_finite=one.non_finite)


def _numeric(kinds: dict[str, str]) -> Chosen:
    """Every number as it is, for trees; texts by vocabulary."""
    fields, dropped = [], []
    for name, kind in kinds.items():
        if kind in ("timestamp", "date"):
            dropped.append(_because(name, "is a point in time: take its parts, or how long ago it was, in the query"))
        elif kind == "string":
            fields.append(Field(name, name, "vocabulary", min_frequency=_MIN_FREQUENCY))
        else:
            fields.append(Field(name, name, "value", missing="nan", non_finite="null"))
    return Chosen(tuple(fields), dropped)


def _because(column: str, reason: str) -> dict[str, str]:
    return {"column": column, "reason": reason}


def _named(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Fields of the faithful profile that only say which column has which of the trainer's names."""
    for one in fields:
        if one != Field(one.name, one.column, "vocabulary"):
            raise UserError(
                f"field '{one.name}': profile 'faithful' takes name, column and kind 'vocabulary', no options"
            )
    found = {one.name: one for one in fields}
    return tuple(found[name] for name in in_training_order([one.name for one in fields]))


def _declared(request: Request) -> tuple[Field, ...]:
    if not request.fields:
        raise UserError("a dataset needs fields: declare them, or choose a profile: faithful, recommended, numeric")
    if leaking := [one.name for one in request.fields if one.column == request.label]:
        raise UserError(f"field '{leaking[0]}' is made of the label column '{request.label}'")
    return request.fields
