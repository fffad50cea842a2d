"""Random scalar expressions, by type."""

from __future__ import annotations

from hypothesis import strategies as st

# Per type the templates of an expression; {int} and the like stand for a smaller expression of that type.
_TEMPLATES: dict[str, list[str]] = {
    "int": [
        "({int} + {int})",
        "({int} - {int})",
        "({int} * {int})",
        "({int} % {int})",
        "({int} DIV {int})",
        "(-{int})",
        "CASE WHEN {bool} THEN {int} ELSE {int} END",
        "CASE WHEN {bool} THEN {int} END",
        "ifnull({int}, {int})",
        "nvl2({string}, {int}, {int})",
        "int({string})",
        "int({double})",
        "abs({int})",
        "({int} & {int})",
        "({int} ^ {int})",
        "char_length({string})",
        "strcmp({string}, {string})",
        "locate({string}, {string})",
        "year({date})",
        "dayofweek({timestamp})",
        "hour({timestamp})",
        "pmod({int}, 3)",
        "datediff({date}, {date})",
        "size(split({string}, ','))",
    ],
    "bigint": [
        "bigint({int})",
        "({bigint} + {int})",
        "({bigint} * {bigint})",
        "bigint({timestamp})",
        "hash64({string})",
    ],
    "double": [
        "({int} / {int})",
        "({double} + {int})",
        "({double} * {double})",
        "({double} - {double})",
        "double({string})",
        "floor({double})",
        "ifnull({double}, {double})",
        "abs({double})",
    ],
    "float": ["({float} + {float})", "({float} * {int})", "float({double})", "ifnull({float}, {float})"],
    "string": [
        "concat({string}, {string})",
        "concat({string}, {int})",
        "string({int})",
        "string({double})",
        "string({bool})",
        "string({date})",
        "string({timestamp})",
        "substr({string}, {small})",
        "substr({string}, {small}, {small})",
        "upper({string})",
        "reverse({string})",
        "replace({string}, 'a', 'é')",
        "nvl({string}, {string})",
        "CASE {int} WHEN 1 THEN {string} ELSE {string} END",
        "at(split({string}, ','), 1)",
        "`join`(split_by_key({string}, ',', ':'), '-')",
    ],
    "bool": [
        "({int} < {int})",
        "({int} = {bigint})",
        "({double} >= {double})",
        "({float} <= {int})",
        "({string} < {string})",
        "({string} = {int})",
        "({date} != {date})",
        "({timestamp} > {timestamp})",
        "({int} IN ({int}, 1, NULL))",
        "({string} NOT IN ('a', {string}))",
        "({int} BETWEEN {int} AND {int})",
        "({bool} AND {bool})",
        "({bool} OR {bool})",
        "({bool} XOR {bool})",
        "(NOT {bool})",
        "({string} IS NULL)",
        "isnull({double})",
        "({string} LIKE '%a_')",
        "({string} LIKE '_')",
        "({int} OR {string})",
        "bool({string})",
    ],
    "date": ["date({timestamp})", "last_day({date})", "add_months({date}, {small})", "date({string})"],
    "timestamp": ["timestamp({date})", "({timestamp} + {small})", "timestamp({string})", "timestamp({bigint})"],
}
_LITERALS: dict[str, list[str]] = {
    "int": ["0", "1", "-1", "2", "7", "2147483647"],
    "bigint": ["0L", "3000000000", "-1L"],
    "double": ["0.0", "1.5", "-0.1", "1e300"],
    "float": ["0.5f", "1.1f"],
    "string": ["''", "'a'", "'k:1'", "'10'", "'é'"],
    "bool": ["true", "false"],
    "date": ["date('2020-05-01')"],
    "timestamp": ["timestamp(2000)"],
    "small": ["-2", "0", "1", "2", "3"],
}
_COLUMNS: dict[str, list[str]] = {
    "int": ["g", "i", "h", "id"],
    "bigint": ["l", "o"],
    "double": ["d"],
    "float": ["f"],
    "string": ["k", "s"],
    "bool": ["b"],
    "date": ["e"],
    "timestamp": ["ts"],
}


def draw_expression(draw: st.DrawFn, kind: str, qualifiers: tuple[str, ...], depth: int = 2) -> str:
    """The text of an expression of a type over columns of the qualified tables."""
    choice = draw(st.integers(0, 9))
    if depth == 0 or choice < 4 or kind not in _TEMPLATES:
        if kind in _COLUMNS and choice % 5:
            qualifier = draw(st.sampled_from(qualifiers))
            return f"{qualifier}.{draw(st.sampled_from(_COLUMNS[kind]))}"
        return draw(st.sampled_from(_LITERALS[kind]))
    text = draw(st.sampled_from(_TEMPLATES[kind]))
    before, brace, rest = text.partition("{")
    while brace:
        name, _, after = rest.partition("}")
        before += draw_expression(draw, name, qualifiers, depth - 1)
        text, brace, rest = after.partition("{")
        before += text
    return before
