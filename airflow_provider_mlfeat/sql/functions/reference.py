"""The SQL function reference, written from the catalogue.

``python -m airflow_provider_mlfeat.sql.functions.reference`` writes the page.

What a function takes is asked from its resolver, type by type, so that the page cannot say anything else than the
binder does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import TypeVar

from airflow_provider_mlfeat.sql.functions import CATALOGUE, GROUPS
from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import (
    AggregateFunction,
    Argument,
    ScalarFunction,
    Signature,
    SignatureError,
)
from airflow_provider_mlfeat.sql.functions.user import GROUP as USER_GROUP
from airflow_provider_mlfeat.sql.types import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    NULL,
    SMALLINT,
    STRING,
    STRING_LIST,
    TIMESTAMP,
    DataType,
    Kind,
    array_of,
    map_of,
)

Function = TypeVar("Function", ScalarFunction, AggregateFunction)

PAGE = Path("docs/sql/functions.md")

_WHOLE = (SMALLINT, INT, BIGINT)
_NUMBERS = (*_WHOLE, FLOAT, DOUBLE)
_BASE = (BOOL, *_NUMBERS, STRING, DATE, TIMESTAMP)
_NESTED = {
    STRING_LIST: "list",
    array_of(INT): "array",
    map_of(INT, INT): "map",
    DataType(Kind.FEATURE, (INT,)): "feature",
}
_FAMILIES = (
    (_BASE, "any"),
    (_NUMBERS, "number"),
    (_WHOLE, "whole number"),
)
_MOST_ARGUMENTS = 4
# Results that follow from more than the probed types show.
_RESULTS = {
    "CAST(x AS type)": "the type",
    "CASE WHEN c THEN v … ELSE d END": "the common type",
    "if_null(x, d)": "the common type",
    "nvl2(x, a, b)": "the common type of a and b",
    "at(list, i)": "the type of the elements",
    "map_keys(m)": "array",
    "m[key]": "the type of the values",
}

_HEADER = """# SQL functions

This page is generated from the function catalogue; `python -m airflow_provider_mlfeat.sql.functions.reference` writes
it anew.

A *number* is a smallint, int, bigint, float or double, a *whole number* one of the first three, and *any* is any type
but lists, arrays and maps. Numbers of different types are widened: bool → smallint → int → bigint → float → double.
Whole numbers wrap at their width, and floats are rounded to 32 bits after each operation. Unless a function says
otherwise, a NULL argument makes its result NULL. Functions never fail on data: what has no result is NULL.
All parts of times, and all texts of times, are those of the session's time zone (`@@time_zone`, `+08:00` by default).
"""

_AGGREGATES = """
## Aggregates

Aggregates see the rows of a window's frame, or those of a group, the newest first. Where a list stands in place of a
column, as in `distinct_count(window_split(c, ','))`, its elements are aggregated.
"""

_USER_FUNCTIONS = '''
## Functions of your own

A function of Python values becomes a SQL function, and a function of lists an aggregate, by a decorator that names the
SQL types:

```python
from airflow_provider_mlfeat.sql.functions.user import aggregate_function, scalar_function


@scalar_function("string", "int", returns="string")
def shorten(text: str, length: int = 8) -> str:
    """The first characters of a text."""
    return text[:length]


@aggregate_function("double", returns="double")
def spread(values: list[float]) -> float | None:
    """The distance between the largest and the smallest value."""
    return max(values) - min(values) if values else None
```

`SELECT shorten(name), spread(price) OVER w FROM …` then works in batch, on Spark and in requests alike.

* A parameter with a default may be left out; `*values` takes any number of arguments of the last type.
* bool, whole numbers, float and double, string and date come as `bool`, `int`, `float`, `str` and `datetime.date`; a
  timestamp comes as whole milliseconds since 1970. Results go back the same way, and None is NULL.
* A NULL argument makes the result of a scalar function NULL, and leaves its row out of an aggregate's lists. With
  `handles_null=True` the function gets None instead.
* An aggregate gets one list per argument, the newest row first; over an empty frame the lists are empty.
* Functions must be pure: a scalar function runs once per distinct combination of arguments, constants are computed
  once, and training and serving may compute the same row at different times.
* Put them into a module that is imported before the SQL is planned. Spark's workers import it by its name.
'''


def page() -> str:
    """The page as Markdown."""
    scalars = _by_group(CATALOGUE.scalars.values())
    aggregates = _by_group(CATALOGUE.aggregates.values())
    lines = [_HEADER]
    for title, functions in groupby(scalars, key=lambda function: function.group):
        lines += [f"## {title}\n", "| call | takes | gives | meaning |", "|---|---|---|---|"]
        lines += [_row(_call(function), *_types(function), function.doc) for function in functions]
        lines.append("")
    lines[-1] = _AGGREGATES
    for title, calls in groupby(aggregates, key=lambda function: function.group):
        if title != "Aggregates":
            lines.append(f"### {title}\n")
        lines += ["| call | takes | gives | meaning | NULL | nothing to aggregate |", "|---|---|---|---|---|---|"]
        for function in calls:
            meaning = function.doc + (" Needs a window." if function.needs_window else "")
            lines.append(_row(_call(function), *_types(function), meaning, function.null_rule, function.empty))
        lines.append("")
    lines[-1] = _USER_FUNCTIONS
    return "\n".join(lines)


def _by_group(functions: Iterable[Function]) -> list[Function]:
    """Each function once, section by section, without users' own."""
    titles = [value.title for module in GROUPS for value in vars(module).values() if isinstance(value, Group)]
    built_in = [function for function in dict.fromkeys(functions) if function.group != USER_GROUP]
    return sorted(built_in, key=lambda function: titles.index(function.group))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _call(function: ScalarFunction | AggregateFunction) -> str:
    """The form of a call, and the other names of what is called by name."""
    usage = function.usage.replace("`", "")
    shown, is_call, _ = usage.partition("(")
    others = [name for name in (function.name, *function.aliases) if name != shown]
    if not is_call or not shown.isidentifier() or not others or shown == "CAST":
        return f"`{usage}`"
    return f"`{usage}`, also {', '.join(f'`{name}`' for name in others)}"


def _types(function: ScalarFunction | AggregateFunction) -> tuple[str, str]:
    """What a function takes, argument by argument, and what it gives."""
    count = _argument_count(function)
    calls = {types: signature.result for types in _candidates(function, count) if (signature := _sign(function, types))}
    accepted = [{types[place] for types in calls} for place in range(count)]
    words = [_words(kinds) for kinds in accepted]
    takes = "; ".join(words if len(set(words)) > 1 else words[:1])
    return takes, _RESULTS.get(function.usage) or _results(calls)


def _argument_count(function: ScalarFunction | AggregateFunction) -> int:
    """As many arguments as there may be, or as few where there is no limit."""
    counts = range(1, _MOST_ARGUMENTS + 1)
    for count in counts if "…" in function.usage else reversed(counts):
        try:
            function.resolve([Argument(NULL, True, 1)] * count)
        except SignatureError as error:
            if ": takes " in str(error):
                continue
        return count
    raise AssertionError(f"no call of {function.name} has up to {_MOST_ARGUMENTS} arguments")


def _candidates(function: ScalarFunction | AggregateFunction, count: int) -> Iterator[tuple[DataType, ...]]:
    """Types to try: all of one and two arguments, and of more those that differ in one place from what is taken."""
    every = (*_BASE, *_NESTED)
    if count <= 2:
        yield from product(every, repeat=count)
        return
    typical = (DOUBLE, INT, STRING, BOOL, *_NESTED)
    example = next(types for types in product(typical, repeat=count) if _sign(function, types))
    for place in range(count):
        for kind in every:
            yield (*example[:place], kind, *example[place + 1 :])


def _sign(function: ScalarFunction | AggregateFunction, types: Sequence[DataType]) -> Signature | None:
    """The signature of a call with constants of these types, if there is one."""
    try:
        return function.resolve([Argument(kind, True, "a" if kind == STRING else 1) for kind in types])
    except SignatureError:
        return None


def _words(kinds: set[DataType]) -> str:
    names: list[str] = []
    for family, name in _FAMILIES:
        if kinds >= set(family):
            names.append(name)
            kinds = kinds - set(family)
    names += [str(kind) for kind in _BASE if kind in kinds] + [name for kind, name in _NESTED.items() if kind in kinds]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _results(calls: Mapping[tuple[DataType, ...], DataType]) -> str:
    """The types of results, or how they follow from those of the arguments."""
    results = set(calls.values())
    if len(results) == 1 and Kind.FEATURE not in {result.kind for result in results}:
        return str(next(iter(results)))
    if all(result in (types[0], _value_of(types[0])) for types, result in calls.items()):
        return "the type of the argument"
    kinds = {result.kind for result in results}
    if len(kinds) == 1:
        return kinds.pop().value
    return ", ".join(str(kind) for kind in _BASE if kind in results) if len(results) <= 3 else "the common type"


def _value_of(argument: DataType) -> DataType:
    """The type of what is aggregated: a list's elements, or the argument itself."""
    return argument.element if argument.kind is Kind.LIST else argument


def main() -> None:
    """Write the page to its place below the current folder, or below the one given."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
