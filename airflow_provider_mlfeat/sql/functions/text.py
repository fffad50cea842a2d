"""Functions of strings."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Form
from airflow_provider_mlfeat.sql.functions.signatures import AS_TEXT, INTEGER, TEXT, Slot, signature
from airflow_provider_mlfeat.sql.types import BIGINT, INT, NUMERIC_KINDS, STRING, Kind

_WHOLE = INTEGER.to(BIGINT)
_DIGITS = Slot("a number or string", (*NUMERIC_KINDS, Kind.STRING), STRING)

TEXT_FUNCTIONS = Group("Strings", "text")
TEXT_FUNCTIONS.scalar(
    "concat",
    "concat(a, …)",
    signature(AS_TEXT, repeated=AS_TEXT, result=STRING),
    "All arguments as text, joined.",
    form=Form.COLUMN,
)
TEXT_FUNCTIONS.scalar(
    "concat_ws",
    "concat_ws(d, a, …)",
    signature(AS_TEXT, AS_TEXT, repeated=AS_TEXT, result=STRING),
    "All further arguments as text, joined by d.",
    form=Form.COLUMN,
)
TEXT_FUNCTIONS.scalar(
    "substr",
    "substr(s, pos[, len])",
    signature(TEXT, _WHOLE, _WHOLE, optional=1, result=STRING),
    "The part from character pos (1 is the first, -1 the last); empty when pos is 0 or outside.",
    form=Form.VALUE,
    aliases=("substring",),
)
TEXT_FUNCTIONS.scalar(
    "strcmp",
    "strcmp(a, b)",
    signature(TEXT, TEXT, result=INT),
    "-1, 0 or 1 as a sorts before, with or after b.",
    form=Form.VALUE,
)
TEXT_FUNCTIONS.scalar(
    "upper",
    "upper(s)",
    signature(TEXT, result=STRING),
    "ASCII letters in upper case.",
    form=Form.VALUE,
    aliases=("ucase",),
)
TEXT_FUNCTIONS.scalar(
    "lower",
    "lower(s)",
    signature(TEXT, result=STRING),
    "ASCII letters in lower case.",
    form=Form.VALUE,
    aliases=("lcase",),
)
TEXT_FUNCTIONS.scalar(
    "reverse", "reverse(s)", signature(TEXT, result=STRING), "The characters backwards.", form=Form.VALUE
)
TEXT_FUNCTIONS.scalar(
    "char_length",
    "char_length(s)",
    signature(TEXT, result=INT),
    "The number of characters.",
    form=Form.VALUE,
    aliases=("character_length",),
)
TEXT_FUNCTIONS.scalar(
    "char", "char(n)", signature(_WHOLE, result=STRING), "The character with code n modulo 256.", form=Form.VALUE
)
TEXT_FUNCTIONS.scalar(
    "replace",
    "replace(s, from[, to])",
    signature(TEXT, TEXT, TEXT, optional=1, result=STRING),
    "Every `from` replaced by `to`, or removed.",
    form=Form.VALUE,
)
TEXT_FUNCTIONS.scalar(
    "locate",
    "locate(sub, s[, pos])",
    signature(TEXT, TEXT, _WHOLE, optional=1, result=INT),
    "The place (from 1) of sub in s at or after pos; 0 when there is none.",
    form=Form.VALUE,
)
TEXT_FUNCTIONS.scalar(
    "hex",
    "hex(x)",
    signature(_DIGITS, result=STRING),
    "The UTF-8 bytes of a string, or a number (rounded, 64 bits), in hexadecimal digits.",
    form=Form.VALUE,
    implementation="hexadecimal",
)
TEXT_FUNCTIONS.scalar(
    "unhex",
    "unhex(s)",
    signature(TEXT, result=STRING),
    "The string whose UTF-8 bytes are given; NULL for anything else.",
    form=Form.VALUE,
)
