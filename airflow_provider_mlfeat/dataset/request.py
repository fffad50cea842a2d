"""What a dataset is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.dataset.encoder import SEED, Field
from airflow_provider_mlfeat.dataset.splits import Split


@dataclass(frozen=True)
class Request:
    """What a dataset is to be.

    :param label: the label's column: 0 or 1.
    :param split: how rows are divided.
    :param profile: ``faithful``, ``recommended``, ``numeric``, or ``declared`` for fields given here.
    :param fields: the declared fields.
    :param keys: columns that identify a row.
    :param time: the column with the row's time, or ''.
    :param groups: columns whose values together must not be in two splits.
    :param drop: columns that a profile leaves out.
    :param strict: whether what the leakage checks call an error is one; else it is a warning too.
    :param shuffle: whether the training rows are shuffled.
    :param seed: of hashes, samples and the shuffle.
    """

    label: str
    split: Split
    profile: str = "declared"
    fields: tuple[Field, ...] = ()
    keys: tuple[str, ...] = ()
    time: str = ""
    groups: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    strict: bool = True
    shuffle: bool = True
    seed: int = SEED

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "label": self.label,
            "split": self.split.to_document(),
            "profile": self.profile,
            "fields": [one.to_document() for one in self.fields],
            "keys": list(self.keys),
            "time": self.time,
            "groups": list(self.groups),
            "drop": sorted(self.drop),
            "strict": self.strict,
            "shuffle": self.shuffle,
            "seed": self.seed,
        }
