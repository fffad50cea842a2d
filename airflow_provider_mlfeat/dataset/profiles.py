"""Which fields a table becomes, where nobody declares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.faithful import in_training_order
from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.request import Request
    from airflow_provider_mlfeat.dataset.source import Source

PROFILES = ("faithful", "recommended", "numeric", "declared")
# The rows of the training split; the argument names the stage that reads them.
TrainingRows = Callable[[str], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Chosen:
    """The fields of a dataset.

    :param fields: not fitted yet.
    :param dropped: columns that were left out, and why.
    """

    fields: tuple[Field, ...]
    dropped: list[dict[str, str]] = field(default_factory=list)


def choose_fields(request: Request, source: Source, training_rows: TrainingRows) -> Chosen:
    """The declared fields, or those that the profile makes of the columns."""
    columns = [name for name in source.schema.names if name != request.label]
    if request.profile == "declared":
        return Chosen(_declared(request))
    if request.fields:
        raise UserError(f"profile '{request.profile}' makes the fields by itself: give fields, or a profile")
    if request.profile == "faithful":
        return Chosen(tuple(Field(name, name, "vocabulary") for name in in_training_order(columns)))
    raise UserError(f"profile '{request.profile}' is not known: it is {', '.join(PROFILES)}")


def _declared(request: Request) -> tuple[Field, ...]:
    if not request.fields:
        raise UserError("a dataset needs fields: declare them, or choose a profile: faithful, recommended, numeric")
    if leaking := [one.name for one in request.fields if one.column == request.label]:
        raise UserError(f"field '{leaking[0]}' is made of the label column '{request.label}'")
    return request.fields
