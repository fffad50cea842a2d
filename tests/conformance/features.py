"""Which features of the language a case uses, for the counts of a run."""

from __future__ import annotations

import re

from tests.conformance.cases import Case

_PATTERNS = {
    "LAST JOIN": r"\blast\s+join\b",
    "LAST JOIN … ORDER BY": r"\blast\s+join\b(?:(?!\bon\b).)*\border\s+by\b",
    "LEFT JOIN": r"\bleft\s+(outer\s+)?join\b",
    "WINDOW … UNION": r"\(\s*union\b",
    "UNION ALL / DISTINCT": r"\bunion\s+(all|distinct)\b",
    "ROWS_RANGE": r"\brows_range\b",
    "ROWS BETWEEN": r"\brows\s+between\b",
    "MAXSIZE": r"\bmaxsize\b",
    "INSTANCE_NOT_IN_WINDOW": r"\binstance_not_in_window\b",
    "EXCLUDE CURRENT_TIME": r"\bexclude\s+current_time\b",
    "EXCLUDE CURRENT_ROW": r"\bexclude\s+current_row\b",
    "OPEN PRECEDING": r"\bopen\s+preceding\b",
    "UNBOUNDED": r"\bunbounded\b",
    "GROUP BY": r"\bgroup\s+by\b",
    "HAVING": r"\bhaving\b",
    "WHERE": r"\bwhere\b",
    "LIMIT": r"\blimit\b",
    "WITH": r"^\s*with\b",
    "sub-query": r"\(\s*select\b",
    "CASE WHEN": r"\bcase\b",
    "LIKE, ILIKE, RLIKE": r"\b(i|r)?like\b|like_match",
    "IN (…)": r"\bin\s*\(",
    "? parameters": r"\?",
    "sum, avg": r"\b(sum|avg)\s*\(",
    "min, max": r"\b(min|max)\s*\(",
    "count": r"\bcount\s*\(",
    "distinct_count": r"\bdistinct_count\b",
    "*_where": r"\b(count|sum|avg|min|max)_where\b",
    "*_cate, *_cate_where": r"\b(count|sum|avg|min|max)_cate",
    "top_n_*, topn_frequency, top, top1_ratio": r"\b(top_n_\w+|topn_frequency|top1_ratio|top)\s*\(",
    "ew_avg, drawdown, median, entropy, deviations": r"\b(ew_avg|drawdown|median|entropy|std\w*|var\w*)\s*\(",
    "lag, at": r"\b(lag|at)\s*\(",
    "first_value, last_value, nth_value_where": r"\b(first_value|last_value|nth_value_where)\b",
    "NULL functions": r"\b(is_?null|if_?null|nvl2?)\s*\(|\bis\s+(not\s+)?null\b",
    "date functions": r"\b(year|month|day\w*|week\w*|hour|minute|second|date_format|last_day|add_months|datediff)\s*\(",
    "casts": r"\bcast\s*\(|\b(bool|smallint|int\d*|bigint|float|double|string|timestamp|date)\s*\(",
    "lists": r"split|list_except|`join`",
    "arrays, maps": r"array|\bisin\b|\bmap\s*\(",
    "signatures, hashes": r"\b(csv|libsvm|gcformat|hash64|farm_fingerprint)\b",
}
_COMPILED = {name: re.compile(pattern, re.IGNORECASE | re.DOTALL) for name, pattern in _PATTERNS.items()}


def features_of(case: Case) -> list[str]:
    """The names of the features that the case's text uses."""
    return [name for name, pattern in _COMPILED.items() if pattern.search(case.sql)] or ["other"]
