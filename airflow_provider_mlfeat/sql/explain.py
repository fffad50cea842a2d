"""A plan as a tree for people: streams, frames, features, joins, and what history each table must keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_provider_mlfeat.sql.history import describe_offset, required_history
from airflow_provider_mlfeat.sql.plan import (
    Aggregate,
    Call,
    ColumnReference,
    Expression,
    Feature,
    Filter,
    Frame,
    FrameCall,
    Join,
    Limit,
    Literal,
    Parameter,
    Plan,
    Project,
    Relation,
    Schema,
    SingleRow,
    Source,
    Stream,
    Union,
    Windows,
)

_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "int_divide": "DIV",
    "modulo": "%",
    "bit_and": "&",
    "bit_or": "|",
    "bit_xor": "^",
    "equal": "=",
    "not_equal": "<>",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "and": "AND",
    "or": "OR",
    "xor": "XOR",
    "like": "LIKE",
    "ilike": "ILIKE",
    "rlike": "RLIKE",
}
_STEP = "  "


def explain(plan: Plan) -> str:
    """The plan's identity, output, tree, and the history that it needs."""
    lines = [f"plan {plan.plan_id}", f"time zone {plan.time_zone}, NULL join keys {plan.null_join_keys}"]
    if plan.request_source is not None:
        lines.append(f"request table {'.'.join(filter(None, plan.request_source))}")
    if plan.parameters:
        lines.append(f"parameters {', '.join(map(str, plan.parameters))}")
    for window in plan.long_windows:
        bucket = describe_offset(window.bucket, duration=True)
        lines.append(f"long window {window.name}: stream {window.stream}, frame {window.frame}, buckets of {bucket}")
    lines += ["", "output"]
    lines += [f"{_STEP}{number}. {column.name} {column.type}" for number, column in enumerate(plan.schema, 1)]
    lines += ["", "tree", *(_STEP + line for line in _relation(plan.root))]
    history = required_history(plan)
    if history:
        lines += ["", "history", *(f"{_STEP}{need}" for need in history)]
    if plan.warnings:
        lines += ["", "warnings", *(f"{_STEP}{warning}" for warning in plan.warnings)]
    return "\n".join(lines) + "\n"


# ── relations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _relation(relation: Relation) -> Iterator[str]:
    match relation:
        case Source():
            yield f"table {'.'.join(filter(None, (relation.database, relation.table)))}"
        case SingleRow():
            yield "one row"
        case Project():
            yield "project"
            for column, expression in zip(relation.schema, relation.expressions, strict=True):
                text = describe(expression, relation.input.schema)
                yield f"{_STEP * 2}{column.name}" if text == column.name else f"{_STEP * 2}{column.name} = {text}"
            yield from _below(relation.input)
        case Filter():
            yield f"filter {describe(relation.condition, relation.input.schema)}"
            yield from _below(relation.input)
        case Join():
            yield from _join(relation)
        case Windows():
            yield "windows"
            for number, stream in enumerate(relation.streams):
                features = [feature for feature in relation.features if feature.stream == number]
                yield from (f"{_STEP * 2}{line}" for line in _stream(relation, number, stream, features))
            yield from _below(relation.input)
        case Aggregate():
            keys = ", ".join(relation.input.schema[key].name for key in relation.keys)
            yield f"group by {keys}" if keys else "aggregate all rows"
            for column, call in zip(relation.schema[len(relation.keys) :], relation.calls, strict=True):
                yield f"{_STEP * 2}{column.name} = {_call(call.function, call.arguments, relation.input.schema)}"
            yield from _below(relation.input)
        case Union():
            yield f"union {'distinct' if relation.distinct else 'all'}"
            for branch in relation.inputs:
                yield from _below(branch)
        case Limit():
            yield f"limit {relation.count}"
            yield from _below(relation.input)


def _below(relation: Relation) -> Iterator[str]:
    return (_STEP + line for line in _relation(relation))


def _join(join: Join) -> Iterator[str]:
    both = (*join.left.schema, *join.right.schema)
    keys = [
        f"{describe(left, join.left.schema)} = {describe(right, join.right.schema)}"
        for left, right in zip(join.left_keys, join.right_keys, strict=True)
    ]
    yield f"{join.how} join on {' and '.join(keys) or 'no key'}"
    if join.condition is not None:
        yield f"{_STEP * 2}where {describe(join.condition, both)}"
    if join.how == "last":
        order = "arrival" if join.order is None else join.right.schema[join.order].name
        yield f"{_STEP * 2}takes the {'smallest' if join.descending else 'latest'} by {order}"
    yield from _below(join.left)
    yield from _below(join.right)


def _stream(windows: Windows, number: int, stream: Stream, features: Sequence[Feature]) -> Iterator[str]:
    schema = windows.input.schema
    partition = ", ".join(schema[column].name for column in stream.partition)
    order = "arrival" if stream.order is None else schema[stream.order].name
    only = ", of the main input only the current row" if stream.instance_not_in_window else ""
    yield f"stream {number}: partition by {partition}, order by {order}{only}"
    for source in stream.unions:
        lines = list(_relation(source))
        yield f"{_STEP}union {lines[0]}"
        yield from (_STEP * 2 + line for line in lines[1:])
    for place, frame in enumerate(stream.frames):
        yield f"{_STEP}frame {place}: {describe_frame(frame)}"
        for feature in features:
            if feature.frame == place:
                name = windows.schema[len(schema) + windows.features.index(feature)].name
                yield f"{_STEP * 2}{name} {feature.type} = {_call(feature.function, feature.arguments, schema)}"


def describe_frame(frame: Frame) -> str:
    """``range 14d .. current row, newest 200``."""
    duration = frame.unit == "range"
    start = "unbounded" if frame.start is None else describe_offset(frame.start, duration)
    end = "current row" if frame.end == 0 else describe_offset(frame.end, duration)
    words = [f"{frame.unit} {start} .. {end}"]
    if frame.maxsize is not None:
        words.append(f"newest {frame.maxsize}")
    if frame.exclude_current_time:
        words.append("without other rows of the current time")
    if frame.exclude_current_row:
        words.append("without the current row")
    return ", ".join(words)


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def describe(expression: Expression, schema: Schema) -> str:
    """An expression over the columns of `schema`, in the language's own notation."""
    match expression:
        case ColumnReference():
            return schema[expression.index].name
        case Literal():
            return _literal(expression)
        case Parameter():
            return f"?{expression.index + 1}"
        case FrameCall():
            return _call(expression.function, expression.arguments, schema)
        case Call(function="cast"):
            return f"cast({describe(expression.arguments[0], schema)} as {expression.type})"
        case Call() if _is_infix(expression):
            operator = f" {_INFIX[expression.function]} "
            return f"({operator.join(describe(argument, schema) for argument in expression.arguments)})"
        case Call():
            return _call(expression.function, expression.arguments, schema)
    raise AssertionError(f"no text for {expression!r}")


def _is_infix(call: Call) -> bool:
    return call.function in ("and", "or") or (call.function in _INFIX and len(call.arguments) == 2)


def _call(function: str, arguments: Sequence[Expression], schema: Schema) -> str:
    return f"{function}({', '.join(describe(argument, schema) for argument in arguments)})"


def _literal(literal: Literal) -> str:
    if isinstance(literal.value, str):
        escaped = literal.value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return "NULL" if literal.value is None else str(literal.value).lower()
