"""Feature signatures, and the three texts that they are formatted as."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import Any, NamedTuple

from airflow_provider_mlfeat.engine.functions.context import CallContext
from airflow_provider_mlfeat.engine.functions.hashing import fingerprint
from airflow_provider_mlfeat.sql.types import BIGINT, DataType


class Role(Enum):
    """What a signed value is to a model."""

    LABEL = auto()
    INDEX = auto()
    CONTINUOUS = auto()
    HASHED = auto()
    BUCKETED = auto()


class Feature(NamedTuple):
    """A value with its signature.

    :param role: what it is.
    :param text: its text; None when it is missing.
    :param bucket: its bucket, when it has buckets.
    :param buckets: how many buckets there are; 0 without.
    """

    role: Role
    text: str | None
    bucket: int = 0
    buckets: int = 0


def _number(value: Any, data_type: DataType) -> str | None:
    """Whole numbers and bools as integers, others with six decimals."""
    if value is None:
        return None
    return f"{value:f}" if data_type.is_floating else str(int(value))


def continuous(context: CallContext, value: Any) -> Feature:
    """A number."""
    return Feature(Role.CONTINUOUS, _number(value, context.arguments[0]))


def _label(context: CallContext, value: Any) -> Feature:
    return Feature(Role.LABEL, _number(value, context.arguments[0]))


binary_label = multiclass_label = regression_label = _label


def gcformat_index(context: CallContext, value: Any) -> Feature:
    """The index of a gcformat row."""
    return Feature(Role.INDEX, _number(value, context.arguments[0]))


def discrete(context: CallContext, value: Any, *buckets: int | None) -> Feature:
    """A category by its hash, or by the bucket that the hash falls into."""
    data_type = context.arguments[0]
    if not buckets:
        return Feature(Role.HASHED, None if value is None else str(fingerprint(value, data_type)))
    count = max(0, buckets[0] or 0)
    if value is None or count == 0:
        return Feature(Role.BUCKETED, None, 0, count)
    bucket = fingerprint(value, data_type) % (1 << 64) % count
    return Feature(Role.BUCKETED, str(bucket), bucket, count)


def csv(context: CallContext, *features: Feature) -> str:
    """One field per feature."""
    return ",".join(feature.text or "" for feature in features)


def libsvm(context: CallContext, *features: Feature) -> str:
    """The label, then ``slot:value`` of every feature that is present."""
    parts, slot = [_last(Role.LABEL, features)], 1
    for role, text, bucket, buckets in features:
        if role is Role.CONTINUOUS:
            entry, width = f"{slot}:{text}", 1
        elif role is Role.HASHED:
            entry, width = f"{text}:1", 0
        elif role is Role.BUCKETED:
            entry, width = f"{slot + bucket}:1", buckets
        else:
            continue
        if text is not None:
            parts.append(entry)
        slot += width
    return " ".join(parts)


def gcformat(context: CallContext, *features: Feature) -> str:
    """The label and index, then ``slot:hash`` or ``slot:slot's hash:value`` of every feature that is present."""
    parts: list[str] = []
    slot = 0
    for role, text, _, _ in features:
        if role in (Role.LABEL, Role.INDEX):
            continue
        slot += 1
        if text is None:
            continue
        parts.append(f"{slot}:{_slot_hash(slot)}:{text}" if role is Role.CONTINUOUS else f"{slot}:{text}")
    return f"{_last(Role.LABEL, features)} {_last(Role.INDEX, features)}| {' '.join(parts)}"


@lru_cache(maxsize=4096)
def _slot_hash(slot: int) -> int:
    return fingerprint(slot, BIGINT)


def _last(role: Role, features: tuple[Feature, ...]) -> str:
    """The text of the last feature of a role."""
    return next((feature.text or "" for feature in reversed(features) if feature.role is role), "")
