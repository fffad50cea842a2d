"""Where the fields of a dataset lie in the model's one table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class FieldLayout:
    """The id fields, whose ids are dense from 0, and the value fields, which have one row each behind them.

    :param names: the id fields in the order of the ids matrix.
    :param sizes: how many ids each has.
    :param value_names: the value fields in the order of the values matrix.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    value_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.sizes)
        assert all(size > 0 for size in self.sizes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The row of each field's id 0."""
        return tuple(accumulate(self.sizes, initial=0))[:-1]

    @property
    def id_rows(self) -> int:
        """Rows of all id fields together, which is also the row of the first value field."""
        return sum(self.sizes)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.id_rows + len(self.value_names)

    @property
    def width(self) -> int:
        """Fields of either kind."""
        return len(self.names) + len(self.value_names)

    def to_document(self) -> dict[str, object]:
        """The JSON form."""
        return {"names": list(self.names), "sizes": list(self.sizes), "value_names": list(self.value_names)}
