"""Words that the grammar keeps for itself."""

from __future__ import annotations

# Never a name without backticks.
RESERVED = frozenset(
    [
        "ALL",
        "AND",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "CROSS",
        "DISTINCT",
        "ELSE",
        "END",
        "ESCAPE",
        "EXCEPT",
        "FALSE",
        "FROM",
        "FULL",
        "GROUP",
        "HAVING",
        "ILIKE",
        "IN",
        "INNER",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
        "NATURAL",
        "NOT",
        "NULL",
        "ON",
        "OR",
        "ORDER",
        "OVER",
        "PARTITION",
        "RIGHT",
        "RLIKE",
        "SELECT",
        "THEN",
        "TRUE",
        "UNION",
        "WHEN",
        "WHERE",
        "WINDOW",
        "WITH",
        "XOR",
    ]
)

# Fine as a name, but it cannot be an alias without AS, because it may begin the next clause or go on with this one.
CLAUSE_WORDS = frozenset(
    ["ASC", "CONFIG", "DESC", "DIV", "LAST", "MOD", "OFFSET", "OPTIONS", "OUTFILE", "QUALIFY", "USING"]
)

# What may follow the last comma of a SELECT list.
AFTER_SELECT_LIST = frozenset(
    ["FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "LIMIT", "UNION", "INTO", "CONFIG", "ORDER"]
)
