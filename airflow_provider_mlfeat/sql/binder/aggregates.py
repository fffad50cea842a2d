"""Aggregates: over windows, over groups, and inside the arguments of one another."""

from __future__ import annotations

from sqlglot import exp

from airflow_provider_mlfeat.sql.binder import calls
from airflow_provider_mlfeat.sql.binder.expressions import ExpressionBinder, is_list
from airflow_provider_mlfeat.sql.binder.scope import Scope
from airflow_provider_mlfeat.sql.binder.session import Session
from airflow_provider_mlfeat.sql.binder.windows import BoundWindow, FeatureCollector, NamedWindows, WindowBinder
from airflow_provider_mlfeat.sql.dialect.nodes import Over, WindowDefinition
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlNameError, SqlTypeError, SqlUnsupportedError, nearest_name
from airflow_provider_mlfeat.sql.functions.registry import AggregateFunction
from airflow_provider_mlfeat.sql.long_windows import check_call
from airflow_provider_mlfeat.sql.plan import ColumnReference, Expression, Feature, FrameCall, Literal
from airflow_provider_mlfeat.sql.types import DataType

# The positional function, whose outermost call in a SELECT item ignores the window's frame.
POSITIONAL = "at"
_POSITIONAL_NAMES = ("at", "lag")
_TWO_WINDOWS = "one SELECT item cannot use two different windows"


class WindowLookup:
    """Finds the window of an OVER: a name of the WINDOW clause, or a definition in place.

    :param named: the WINDOW clause.
    :param definitions: binds definitions in place.
    """

    def __init__(self, named: NamedWindows, definitions: WindowBinder) -> None:
        self._named = named
        self._definitions = definitions

    def find(self, node: exp.Expr) -> BoundWindow:
        """The window after an OVER."""
        if isinstance(node, WindowDefinition):
            return self._definitions.bind(node)
        window = self._named.find(node.name)
        if window is None:
            suggestion = nearest_name(node.name, self._named.names)
            raise SqlNameError(f"unknown window '{node.name}'", position_of(node), suggestion)
        return window


class AggregateBinder(ExpressionBinder):
    """An expression binder that knows aggregates; where they go is up to its kinds."""

    def arguments_binder(self) -> ExpressionBinder:
        """The binder for an aggregate's arguments."""
        return ExpressionBinder(self.session, self.scope, "the argument of an aggregate function")

    def prefers_aggregate(self, node: exp.Anonymous) -> bool:
        """A function of both kinds is the scalar one when its first argument is a list."""
        if not node.expressions or isinstance(node.expressions[0], exp.Star):
            return True
        return not is_list(self.arguments_binder().bind(node.expressions[0]).type)

    def bind_arguments(
        self, node: exp.Anonymous, function: AggregateFunction
    ) -> tuple[str, tuple[Expression, ...], DataType]:
        """The function's name in plans, its arguments (``*`` is none) and its type."""
        binder = self.arguments_binder()
        bound = [binder.bind(argument) for argument in node.expressions if not isinstance(argument, exp.Star)]
        stars = len(node.expressions) - len(bound)
        if stars and (stars > 1 or not isinstance(node.expressions[0], exp.Star) or not _takes_star(function)):
            raise SqlTypeError(f"'*' is no argument of '{node.name}'", position_of(node))
        if not stars and not bound and _takes_star(function):
            raise SqlTypeError(f"'{node.name}' needs an argument", position_of(node), f"Usage: {function.usage}")
        taken, result = calls.resolve(function, bound, position_of(node))
        name = POSITIONAL if function.name in _POSITIONAL_NAMES else function.name
        return name, taken, result


def _takes_star(function: AggregateFunction) -> bool:
    return function.name in ("count", "count_where")


class WindowedBinder(AggregateBinder):
    """Binds one SELECT item of a query with windows; aggregates become features.

    :param windows: finds windows.
    :param features: takes the features.
    :param session: catalog, database and mode.
    :param scope: the columns that names may mean.
    """

    def __init__(self, session: Session, scope: Scope, windows: WindowLookup, features: FeatureCollector) -> None:
        super().__init__(session, scope, "the SELECT list")
        self._windows = windows
        self._features = features
        self._current: BoundWindow | None = None
        self._seen: BoundWindow | None = None

    def item(self, node: exp.Expr) -> Expression:
        """A SELECT item; all its aggregates belong to one window."""
        self._seen = None
        outermost = node.unnest() if isinstance(node, exp.Paren) else node
        if isinstance(outermost, Over):
            self._current = self._find(outermost)
            try:
                call = outermost.this.unnest() if isinstance(outermost.this, exp.Paren) else outermost.this
                if isinstance(call, exp.Anonymous) and self._is_positional(call):
                    return self._offset(call, self._current)
            finally:
                self._current = None
        return self.bind(node)

    def over(self, node: Over) -> Expression:
        window = self._find(node)
        if self._current is not None and self._current != window:
            raise self._two_windows(node)
        outer, self._current = self._current, window
        try:
            return self.bind(node.this)
        finally:
            self._current = outer

    def aggregate(self, node: exp.Anonymous, function: AggregateFunction) -> Expression:
        if self._current is None:
            raise SqlUnsupportedError(
                f"aggregate function '{node.name}' without OVER cannot stand beside windows", position_of(node)
            )
        name, arguments, type_ = self.bind_arguments(node, function)
        self._check_long(node, function)
        return self._features.add(self._current, name, arguments, type_)

    def prefers_aggregate(self, node: exp.Anonymous) -> bool:
        return self._current is not None and super().prefers_aggregate(node)

    def arguments_binder(self) -> ExpressionBinder:
        return ArgumentBinder(self.session, self.scope, self._windows, self._current)

    def _find(self, node: Over) -> BoundWindow:
        window = self._windows.find(node.args["window"])
        if self._seen is not None and self._seen != window:
            raise self._two_windows(node)
        self._seen = window
        return window

    def _two_windows(self, node: Over) -> SqlUnsupportedError:
        return SqlUnsupportedError(_TWO_WINDOWS, position_of(node), "Compute one of them in a sub-query.")

    def _check_long(self, node: exp.Anonymous, function: AggregateFunction) -> None:
        over = node.find_ancestor(Over)
        name = over.args["window"].name if over is not None else ""
        if name.lower() in self.session.buckets:
            check_call(name, node, function.name, ExpressionBinder(self.session, self.scope, "LONG_WINDOWS").bind)

    def _is_positional(self, node: exp.Anonymous) -> bool:
        function = self.session.functions.aggregates.get(node.name.lower())
        return function is not None and function.name in _POSITIONAL_NAMES and super().prefers_aggregate(node)

    def _offset(self, node: exp.Anonymous, window: BoundWindow) -> Expression:
        """``lag(x, n) OVER w`` as a whole item: it counts back from the current row, whatever the frame of w is."""
        function = self.session.functions.aggregates[node.name.lower()]
        name, arguments, type_ = self.bind_arguments(node, function)
        self._check_long(node, function)
        rows = arguments[1]
        assert isinstance(rows, Literal), "the signature asks for a constant"
        assert isinstance(rows.value, int), "the signature asks for a whole number"
        return self._features.add(window.at_offset(rows.value), name, arguments, type_)


class ArgumentBinder(AggregateBinder):
    """Binds an aggregate's arguments; aggregates in there are evaluated once over the frame.

    :param windows: finds windows.
    :param window: the window of the aggregate outside; another one in the arguments is refused.
    :param session: catalog, database and mode.
    :param scope: the columns that names may mean.
    """

    def __init__(
        self, session: Session, scope: Scope, windows: WindowLookup | None, window: BoundWindow | None
    ) -> None:
        super().__init__(session, scope, "the argument of an aggregate function")
        self._windows = windows
        self._window = window

    def over(self, node: Over) -> Expression:
        if self._windows is None or self._windows.find(node.args["window"]) != self._window:
            raise SqlUnsupportedError(_TWO_WINDOWS, position_of(node))
        return self.bind(node.this)

    def aggregate(self, node: exp.Anonymous, function: AggregateFunction) -> Expression:
        name, arguments, type_ = self.bind_arguments(node, function)
        return FrameCall(name, arguments, type_)

    def arguments_binder(self) -> ExpressionBinder:
        return self


class GroupBinder(AggregateBinder):
    """Binds SELECT items and HAVING of a grouped query, over the columns of its Aggregate relation.

    :param keys: numbers of the GROUP BY columns in the input.
    :param session: catalog, database and mode.
    :param scope: the columns that names may mean.
    """

    def __init__(self, session: Session, scope: Scope, keys: tuple[int, ...]) -> None:
        super().__init__(session, scope, "a query with GROUP BY, HAVING or aggregates without a window")
        self._keys = keys
        self.calls: dict[Feature, int] = {}

    def reference(self, number: int, node: exp.Expr) -> Expression:
        field = self.scope.fields[number]
        if number not in self._keys:
            raise SqlNameError(
                f"column '{field.name}' stands neither in GROUP BY nor in an aggregate function", position_of(node)
            )
        return ColumnReference(self._keys.index(number), field.type)

    def aggregate(self, node: exp.Anonymous, function: AggregateFunction) -> Expression:
        if function.needs_window:
            raise SqlUnsupportedError(f"'{node.name}' needs a window", position_of(node), "Add OVER.")
        name, arguments, type_ = self.bind_arguments(node, function)
        number = self.calls.setdefault(Feature(0, 0, name, arguments, type_), len(self.calls))
        return ColumnReference(len(self._keys) + number, type_)

    def prefers_aggregate(self, node: exp.Anonymous) -> bool:
        function = self.session.functions.aggregates[node.name.lower()]
        return not function.needs_window and super().prefers_aggregate(node)

    def arguments_binder(self) -> ExpressionBinder:
        return ArgumentBinder(self.session, self.scope, None, None)
