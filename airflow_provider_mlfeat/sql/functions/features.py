"""Feature signatures: what a column is to a model, and the texts that trainers read."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Form
from airflow_provider_mlfeat.sql.functions.signatures import INTEGER, NUMBER_OR_BOOL, Slot, signature
from airflow_provider_mlfeat.sql.types import BIGINT, BOOL, INT, INTEGER_KINDS, STRING, DataType, Kind

_HASHED = Slot(
    "a bool, whole number, string, date or timestamp",
    (Kind.BOOL, *INTEGER_KINDS, Kind.STRING, Kind.DATE, Kind.TIMESTAMP),
    INT,
)
_FLAG = Slot("a bool", (Kind.BOOL,), BOOL)
_CLASS = Slot("a bool or whole number", (Kind.BOOL, *INTEGER_KINDS), INT)
_SIGNED = Slot("a feature signature such as continuous(x)", (Kind.FEATURE,), BOOL)


def _feature(types: tuple[DataType, ...]) -> DataType:
    return DataType(Kind.FEATURE, (types[0],))


FEATURES = Group("Feature signatures", "features")
for _name, _usage, _resolver, _doc in (
    ("continuous", "continuous(x)", signature(NUMBER_OR_BOOL, result=_feature), "A number that is used as it is."),
    (
        "discrete",
        "discrete(x[, buckets])",
        signature(_HASHED, INTEGER.to(BIGINT), optional=1, result=_feature),
        "A category: its hash64, or that modulo a number of buckets.",
    ),
    ("binary_label", "binary_label(x)", signature(_FLAG, result=_feature), "The label of two classes."),
    ("multiclass_label", "multiclass_label(x)", signature(_CLASS, result=_feature), "The label of several classes."),
    (
        "regression_label",
        "regression_label(x)",
        signature(NUMBER_OR_BOOL, result=_feature),
        "The label that is a number.",
    ),
    ("gcformat_index", "gcformat_index(x)", signature(INTEGER, result=_feature), "The index of a gcformat row."),
):
    FEATURES.scalar(_name, _usage, _resolver, _doc, form=Form.VALUE, own_nulls=True)
for _name, _doc in (
    ("csv", "One field per argument; a missing value is an empty field."),
    ("libsvm", "The label and slot:value pairs of what is present."),
    ("gcformat", "The label, the index and slot:hash pairs of what is present."),
):
    FEATURES.scalar(
        _name,
        f"{_name}(…)",
        signature(repeated=_SIGNED, result=STRING),
        _doc,
        form=Form.VALUE,
        own_nulls=True,
    )
