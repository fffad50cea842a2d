"""Feature signatures and their formatters (reference 1.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.sql.types import BIGINT, DataType
from tests.oracle.scalars import Invocation, scalar
from tests.oracle.strings import hash64_of

LABEL, INDEX, CONTINUOUS, HASHED, BUCKETED = "label", "index", "continuous", "hashed", "bucketed"


@dataclass(frozen=True)
class Signature:
    """One argument of a formatter.

    :param role: label, index, continuous, hashed or bucketed.
    :param text: what it prints; None when the value is missing.
    :param buckets: of a bucketed feature.
    """

    role: str
    text: str | None
    buckets: int = 0


def _number_text(value: Any, kind: DataType) -> str | None:
    if value is None:
        return None
    return f"{value:f}" if kind.is_floating else str(int(value))


@scalar("binary_label", "multiclass_label", "regression_label", own_nulls=True)
def label(call: Invocation, value: Any) -> Signature:
    return Signature(LABEL, _number_text(value, call.types[0]))


@scalar("gcformat_index", own_nulls=True)
def gcformat_index(call: Invocation, value: Any) -> Signature:
    return Signature(INDEX, _number_text(value, call.types[0]))


@scalar("continuous", own_nulls=True)
def continuous(call: Invocation, value: Any) -> Signature:
    return Signature(CONTINUOUS, _number_text(value, call.types[0]))


@scalar("discrete", own_nulls=True)
def discrete(call: Invocation, value: Any, *buckets: int | None) -> Signature:
    if not buckets:
        return Signature(HASHED, None if value is None else str(hash64_of(value, call.types[0])))
    count = buckets[0] if buckets[0] is not None and buckets[0] > 0 else 0
    if value is None or not count:
        return Signature(BUCKETED, None, count)
    unsigned = hash64_of(value, call.types[0]) % (1 << 64)
    return Signature(BUCKETED, str(unsigned % count), count)


@scalar("csv", own_nulls=True)
def csv(call: Invocation, *signatures: Signature) -> str:
    return ",".join(signature.text or "" for signature in signatures)


def _last_label(signatures: tuple[Signature, ...]) -> str:
    labels = [signature.text or "" for signature in signatures if signature.role == LABEL]
    return labels[-1] if labels else ""


@scalar("libsvm", own_nulls=True)
def libsvm(call: Invocation, *signatures: Signature) -> str:
    parts, slot = [_last_label(signatures)], 1
    for signature in signatures:
        if signature.role == CONTINUOUS:
            parts += [] if signature.text is None else [f"{slot}:{signature.text}"]
            slot += 1
        elif signature.role == HASHED:
            parts += [] if signature.text is None else [f"{signature.text}:1"]
        elif signature.role == BUCKETED:
            parts += [] if signature.text is None else [f"{slot + int(signature.text)}:1"]
            slot += signature.buckets
    return " ".join(parts)


@scalar("gcformat", own_nulls=True)
def gcformat(call: Invocation, *signatures: Signature) -> str:
    indexes = [signature.text or "" for signature in signatures if signature.role == INDEX]
    parts, slot = [], 1
    for signature in signatures:
        if signature.role in (LABEL, INDEX):
            continue
        if signature.text is not None:
            slot_hash = f"{hash64_of(slot, BIGINT)}:" if signature.role == CONTINUOUS else ""
            parts.append(f"{slot}:{slot_hash}{signature.text}")
        slot += 1
    return f"{_last_label(signatures)} {indexes[-1] if indexes else ''}| {' '.join(parts)}"
