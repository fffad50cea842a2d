"""Queries: FROM, joins, WHERE, windows or groups, the SELECT list, UNION and LIMIT, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlglot import exp

from airflow_provider_mlfeat.sql.binder import calls
from airflow_provider_mlfeat.sql.binder.aggregates import GroupBinder, WindowedBinder, WindowLookup
from airflow_provider_mlfeat.sql.binder.expressions import ExpressionBinder
from airflow_provider_mlfeat.sql.binder.joins import bind_join
from airflow_provider_mlfeat.sql.binder.leftmost import leftmost_source
from airflow_provider_mlfeat.sql.binder.naming import expression_name
from airflow_provider_mlfeat.sql.binder.scope import Bound, Field, Scope, schema_of
from airflow_provider_mlfeat.sql.binder.session import Session
from airflow_provider_mlfeat.sql.binder.windows import (
    FeatureCollector,
    NamedWindows,
    WindowBinder,
    check_same_schema,
)
from airflow_provider_mlfeat.sql.dialect.nodes import LastJoin, Over
from airflow_provider_mlfeat.sql.dialect.positions import first_position, position_of
from airflow_provider_mlfeat.sql.errors import SqlNameError, SqlUnsupportedError
from airflow_provider_mlfeat.sql.long_windows import check_rows
from airflow_provider_mlfeat.sql.plan import (
    Aggregate,
    Column,
    ColumnReference,
    Expression,
    Filter,
    Limit,
    LongWindow,
    Project,
    Relation,
    SingleRow,
    Source,
    Union,
)
from airflow_provider_mlfeat.sql.types import BOOL, NULL

Node = TypeVar("Node", bound=exp.Expr)

# Queries of WITH, by lower-case name, each with the queries that its own body can see.
CommonTables = Mapping[str, "CommonTable"]


class CommonTable:
    """A query of WITH; it is bound wherever it is used.

    :param query: its syntax.
    :param visible: the names that stand for other queries inside it.
    """

    def __init__(self, query: exp.Query, visible: CommonTables) -> None:
        self.query = query
        self.visible = visible
        self.used = False


class QueryBinder:
    """Binds queries; one per set of visible WITH names.

    :param session: what holds for the whole query.
    :param common: names of WITH queries in sight.
    """

    def __init__(self, session: Session, common: CommonTables) -> None:
        self.session = session
        self.common = common

    def bind(self, node: exp.Expr) -> Bound:
        """A query, a UNION, or a query in parentheses."""
        binder, tables = self._with(node.args.get("with_"))
        if isinstance(node, exp.Subquery):
            bound = binder.bind(node.this)
        elif isinstance(node, exp.Union):
            bound = binder.union(node)
        else:
            assert isinstance(node, exp.Select)
            bound = SelectBinder(self.session, binder.common, node).bind_select()
        for table in tables:
            if not table.used:
                # Bound for its errors alone.
                self._common_table(table)
        limit = node.args.get("limit")
        if limit is None:
            return bound
        count = int(limit.expression.name)
        return Bound(Limit(bound.relation, count, bound.relation.schema), bound.fields)

    def _with(self, clause: exp.With | None) -> tuple[QueryBinder, list[CommonTable]]:
        """The binder that sees the names of a WITH clause, and what they stand for."""
        common = dict(self.common)
        tables: dict[str, CommonTable] = {}
        for node in clause.expressions if clause is not None else ():
            name = node.alias.lower()
            if name in tables:
                raise SqlNameError(f"WITH defines '{node.alias}' twice", position_of(node))
            # Inside its own body the name still means what it meant outside.
            tables[name] = CommonTable(node.this, dict(common))
            common[name] = tables[name]
        return QueryBinder(self.session, common), list(tables.values())

    def _common_table(self, table: CommonTable) -> Bound:
        table.used = True
        return QueryBinder(self.session, table.visible).bind(table.query)

    def union(self, node: exp.Union) -> Bound:
        """A chain of UNIONs of one kind."""
        distinct = bool(node.args.get("distinct"))
        if distinct:
            self.session.refuse_in_request("UNION DISTINCT", node)
        branches = [self.bind(branch) for branch in _branches(node)]
        first = branches[0]
        for branch, syntax in zip(branches[1:], _branches(node)[1:], strict=True):
            check_same_schema(first.fields, branch.fields, "a query of a UNION", "the first one", syntax)
        relation = Union(tuple(branch.relation for branch in branches), distinct, first.relation.schema)
        return Bound(relation, tuple(Field(field.name, field.type) for field in first.fields))

    # ── sources ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def source(self, node: exp.Expr) -> Bound:
        """A table, a WITH name or a sub-query, under its alias if it has one."""
        bound = self._table(node) if isinstance(node, exp.Table) else self.bind(node.this)
        return bound.renamed(node.alias) if node.alias else bound

    def _table(self, node: exp.Table) -> Bound:
        common = None if node.db else self.common.get(node.name.lower())
        if common is not None:
            return self._common_table(common).renamed(node.name)
        database = node.db or self.session.database
        try:
            database = self.session.catalog.resolve_database(database)
            table = self.session.catalog.get_table(database, node.name)
        except SqlNameError as error:
            error.position = position_of(node)
            raise
        columns = tuple(Column(column.name, column.type) for column in table.columns)
        fields = tuple(Field(column.name, column.type, table.name, database) for column in columns)
        return Bound(Source(database, table.name, columns), fields)


def _branches(node: exp.Union) -> list[exp.Expr]:
    """The queries of a chain of UNIONs of one kind."""
    left = node.this
    nested = isinstance(left, exp.Union) and not left.args.get("limit") and not left.args.get("with_")
    same = nested and bool(left.args.get("distinct")) == bool(node.args.get("distinct"))
    return [*(_branches(left) if same else [left]), node.expression]


class SelectBinder(QueryBinder):
    """Binds one SELECT.

    :param session: what holds for the whole query.
    :param common: names of WITH queries in sight.
    :param node: the SELECT.
    """

    def __init__(self, session: Session, common: CommonTables, node: exp.Select) -> None:
        super().__init__(session, common)
        self._node = node

    def bind_select(self) -> Bound:
        """The SELECT as a relation."""
        source, leftmost = self._from()
        where = self._node.args.get("where")
        if where is not None:
            condition = ExpressionBinder(self.session, self._scope(source), "WHERE").condition(where.this)
            source = Bound(Filter(source.relation, condition, source.relation.schema), source.fields)
        if self._is_grouped():
            return self._grouped(source)
        return self._windowed(source, leftmost)

    def _scope(self, bound: Bound) -> Scope:
        return Scope(bound.fields, self.session.database)

    # ── FROM ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _from(self) -> tuple[Bound, int]:
        """The joined tables, and how many columns the leftmost one has."""
        clause = self._node.args.get("from_")
        if clause is None:
            return Bound(SingleRow(), ()), 0
        bound = self.source(clause.this)
        leftmost, first = len(bound.fields), leftmost_source(bound.relation)
        for join in self._node.args.get("joins") or []:
            bound = bind_join(self.session, bound, self._right(join), join, first)
        return bound, leftmost

    def _right(self, join: exp.Join) -> Bound:
        inside = isinstance(join, LastJoin)
        self.session.inside_last_join += inside
        try:
            return self.source(join.this)
        finally:
            self.session.inside_last_join -= inside

    # ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_grouped(self) -> bool:
        if self._node.args.get("group") or self._node.args.get("having"):
            return True
        return self._first_plain_aggregate() is not None

    def _first_plain_aggregate(self) -> exp.Expr | None:
        """The first aggregate of the SELECT list that no OVER covers."""
        functions = self.session.functions
        for call in self._find_all(exp.Anonymous):
            name = call.name.lower()
            if name in functions.aggregates and name not in functions.scalars and not call.find_ancestor(Over):
                return call
        return None

    def _grouped(self, source: Bound) -> Bound:
        group, having = self._node.args.get("group"), self._node.args.get("having")
        plain = self._first_plain_aggregate()
        self.session.refuse_in_request(
            "GROUP BY" if group else "HAVING" if having else "an aggregate without a window", group or having or plain
        )
        windows = self._node.args.get("windows") or self._find_all(Over)
        if windows:
            what = "GROUP BY or HAVING" if group or having else "aggregates without a window"
            raise SqlUnsupportedError(
                f"windows cannot stand together with {what}", first_position(windows), "Use a sub-query."
            )
        scope = self._scope(source)
        keys = tuple(scope.resolve(column).index for column in group.expressions) if group else ()
        binder = GroupBinder(self.session, scope, keys)
        items = self._items(source, binder, binder.bind)
        condition = binder.condition(having.this) if having else None
        schema = (
            *(source.relation.schema[key] for key in keys),
            *(Column(f"aggregate_{number}", call.type) for call, number in binder.calls.items()),
        )
        relation: Relation = Aggregate(source.relation, keys, tuple(binder.calls), schema)
        if condition is not None:
            relation = Filter(relation, condition, schema)
        return _project(relation, items)

    # ── windows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _windowed(self, source: Bound, leftmost: int) -> Bound:
        definitions = WindowBinder(source, leftmost, self.session.database, self.source)
        clause = self._node.args.get("windows") or []
        named = NamedWindows([(window.this, definitions.bind(window.args["definition"])) for window in clause])
        features = FeatureCollector(source)
        lookup = WindowLookup(named, definitions)
        binder = WindowedBinder(self.session, self._scope(source), lookup, features)
        items = self._items(source, binder, binder.item)
        # LONG_WINDOWS names windows of the statement itself; one of a sub-query may have the same name.
        for window in clause if self._node.find_ancestor(exp.Select) is None else ():
            self._note_long(window.this, named, features, source.relation)
        return _project(features.relation(), items)

    def _note_long(
        self, name: exp.Identifier, named: NamedWindows, features: FeatureCollector, source: Relation
    ) -> None:
        """Remember a window that LONG_WINDOWS names and a feature uses; raises where buckets cannot stand for rows."""
        bucket, window = self.session.buckets.get(name.name.lower()), named.find(name.name)
        place = features.place(window) if window is not None else None
        if bucket is None or window is None or place is None:
            return
        check_rows(name, window.stream, source)
        self.session.long_windows.append(LongWindow(name.name, bucket, *place))

    # ── the SELECT list ─────────────────────────────────────────────────────────────────────────────────────────────

    def _find_all(self, kind: type[Node]) -> list[Node]:
        return [node for item in self._node.expressions for node in item.find_all(kind, bfs=False)]

    def _items(
        self, source: Bound, binder: ExpressionBinder, bind: Callable[[exp.Expr], Expression]
    ) -> list[tuple[Field, Expression]]:
        """The output columns: names as the query gives them, stars spread out."""
        items: list[tuple[Field, Expression]] = []
        for node in self._node.expressions:
            star = _star_of(node)
            if star is not None:
                if not source.fields:
                    raise SqlNameError("'*' needs a table in FROM", position_of(node))
                numbers = binder.scope.star(star if isinstance(star, exp.Column) else None)
                items += [(source.fields[number], binder.reference(number, node)) for number in numbers]
                continue
            value = node.this if isinstance(node, exp.Alias) else node
            bound = bind(value)
            if bound.type == NULL:
                # A column needs a type; that of an untyped NULL is bool.
                bound = calls.coerce(bound, BOOL)
            items.append((self._field(source, binder, node, value, bound), bound))
        return items

    def _field(
        self, source: Bound, binder: ExpressionBinder, node: exp.Expr, value: exp.Expr, bound: Expression
    ) -> Field:
        column = source.fields[binder.scope.resolve(value).index] if isinstance(value, exp.Column) else None
        if not isinstance(node, exp.Alias):
            return column or Field(expression_name(value), bound.type)
        if column is not None and column.name.lower() == node.alias.lower():
            return Field(node.alias, column.type, column.relation, column.database)
        return Field(node.alias, bound.type)


def _star_of(node: exp.Expr) -> exp.Expr | None:
    """The node, when it is ``*`` or ``t.*``."""
    if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
        return node
    return None


def _project(relation: Relation, items: Sequence[tuple[Field, Expression]]) -> Bound:
    """The items as a relation; a projection that changes nothing is left out."""
    fields = tuple(field for field, _ in items)
    expressions = tuple(expression for _, expression in items)
    schema = schema_of(fields)
    identity = tuple(ColumnReference(number, column.type) for number, column in enumerate(relation.schema))
    if schema == relation.schema and expressions == identity:
        return Bound(relation, fields)
    return Bound(Project(relation, expressions, schema), fields)
