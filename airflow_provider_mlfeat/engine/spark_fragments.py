"""Cutting a plan into fragments that run on partitions.

A fragment is a plan of its own whose stored tables are ports. A *map* fragment reads one stored table and runs on any
piece of it. Every other fragment runs once per partition, on the rows that its ports bring there: rows with equal key
values meet in one partition (``KEY``; the empty key brings all rows together), a copy of all rows goes to every
partition (``COPY``), or rows go anywhere (``SPREAD``). What runs on a partition is the batch driver; nothing about
windows, joins or functions is said again here.

Rows must stay in arrival order, which a shuffle destroys. So every row carries its *arrival*: one or more bigint
columns at the end that sort as the rows arrived. A port sorts by them; the fragment's relation hands them on. The
invariant of `_Piece.relation` is the original columns, at their numbers, followed by the arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_mlfeat.engine.pruning import renumber, select
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.spark_ports import PORT, SINGLE_ROW, Fragment, Port, Reach, Route, Table
from airflow_provider_mlfeat.engine.spark_relations import (
    has_filter,
    map_sources,
    moved_key,
    reach_of,
    references_to,
    trace,
)
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.types import BIGINT

ARRIVAL = plan.Column("#arrival", BIGINT)
# A right side of a join goes to every partition as a copy when it has at most so many rows, and at most this part of
# the left side's rows; a few rows are copied in any case.
SMALL_ROWS, SMALL_SHARE, FEW_ROWS = 200_000, 0.25, 1_000


@dataclass(slots=True)
class _Piece:
    """A relation under construction.

    :param relation: the relation, ending in its arrival columns.
    :param width: how many columns come before the arrival.
    :param ports: the ports it uses, by number.
    :param key: columns whose equal values are known to be in one partition; None while ports have no route yet.
    :param spoiled: whether a hot key of it must not be split.
    """

    relation: plan.Relation
    width: int
    ports: dict[int, Port | None]
    key: tuple[int, ...] | None = None
    reach: Reach | None = None
    spoiled: bool = False

    @property
    def arrival(self) -> int:
        return len(self.relation.schema) - self.width


@dataclass(slots=True)
class _Cutter:
    """Cuts one plan.

    :param row_counts: rows of the stored tables, where they are known.
    """

    row_counts: dict[Table, int]
    fragments: list[Fragment] = field(default_factory=list)
    producers: dict[int, int] = field(default_factory=dict)  # port number → fragment number

    # ── ports and fragments ─────────────────────────────────────────────────────────────────────────────────────────

    def new_port(self, producer: int) -> _Piece:
        """A piece that is all rows of a fragment."""
        number = len(self.producers)
        self.producers[number] = producer
        made = self.fragments[producer]
        # A port's columns are called by their numbers: names may repeat in a query's output.
        schema = tuple(plan.Column(str(place), column.type) for place, column in enumerate(made.relation.schema))
        return _Piece(plan.Source(PORT, str(number), schema), len(schema) - made.arrival, {number: None})

    def table(self, table: Table, schema: plan.Schema) -> _Piece:
        """A piece that is a stored table; the map fragment adds the arrival to its columns."""
        self.fragments.append(Fragment(plan.Source(*table, (*schema, ARRIVAL)), (), table, 1, 0))
        return self.new_port(len(self.fragments) - 1)

    def finish(self, piece: _Piece) -> int:
        """Make the piece a fragment and return its number."""
        numbers = list(piece.ports)
        if piece.key is None and len(numbers) == 1:
            # Nothing needs these rows in another place: the work is done where they are made.
            made = self.fragments[self.producers[numbers[0]]]
            name = (PORT, str(numbers[0]))
            relation = map_sources(
                piece.relation, lambda source: made.relation if (source.database, source.table) == name else source
            )
            reach = None if piece.spoiled else made.reach
            self.fragments.append(replace(made, relation=relation, arrival=piece.arrival, reach=reach))
        else:
            places = {str(number): str(place) for place, number in enumerate(numbers)}
            relation = map_sources(piece.relation, lambda source: replace(source, table=places[source.table]))
            ports = tuple(piece.ports[number] or Port(self.producers[number], Route.SPREAD) for number in numbers)
            level = 1 + max(self.fragments[port.producer].level for port in ports)
            reach = None if piece.spoiled else piece.reach
            self.fragments.append(Fragment(relation, ports, None, piece.arrival, level, reach))
        return len(self.fragments) - 1

    def partition(self, piece: _Piece, key: tuple[int, ...]) -> _Piece:
        """The same rows, those with equal key values in one partition."""
        if piece.key == key or piece.key == ():
            return piece
        if piece.key is None and not has_filter(piece.relation):
            traced = [trace(piece.relation, column) for column in key]
            loose = [number for number, port in piece.ports.items() if port is None]
            if all(set(places or ()) == set(loose) for places in traced):
                for number in loose:
                    columns = tuple(places[number] for places in traced if places is not None)
                    piece.ports[number] = Port(self.producers[number], Route.KEY, columns)
                piece.key = key
                return piece
        moved = self.new_port(self.finish(piece))
        number = next(iter(moved.ports))
        moved.ports[number] = Port(self.producers[number], Route.KEY, key)
        moved.key = key
        return moved

    def copied(self, piece: _Piece) -> _Piece:
        """The same rows, all of them in every partition."""
        moved = self.new_port(self.finish(piece))
        number = next(iter(moved.ports))
        moved.ports[number] = Port(self.producers[number], Route.COPY)
        return moved

    def loose(self, piece: _Piece) -> _Piece:
        """The same rows, in no particular place."""
        return piece if piece.key is None else self.new_port(self.finish(piece))

    # ── relations ───────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, relation: plan.Relation) -> _Piece:
        """The piece that gives the rows of `relation`."""
        match relation:
            case plan.Source():
                return self.table((relation.database, relation.table), relation.schema)
            case plan.SingleRow():
                return self.table(SINGLE_ROW, ())
            case plan.Project():
                return self.project(self.cut(relation.input), relation.expressions, relation.schema)
            case plan.Filter():
                piece = self.cut(relation.input)
                piece.relation = plan.Filter(piece.relation, relation.condition, piece.relation.schema)
                return piece
            case plan.Join():
                return self.join(relation)
            case plan.Windows():
                return self.windows(relation)
            case plan.Aggregate():
                return self.aggregate(relation)
            case plan.Union():
                return self.union(relation)
            case plan.Limit():
                return self.limit(relation)
            case _:
                raise TypeError(f"no way to distribute {type(relation).__name__}")

    def project(self, piece: _Piece, expressions: Sequence[plan.Expression], schema: plan.Schema) -> _Piece:
        key = None if piece.key is None else moved_key(piece.key, expressions)
        if piece.key is not None and key is None:
            # Rows stay where they are, but no column says why any more.
            key = (-1,)
        projected = plan.Project(
            piece.relation,
            (*expressions, *_arrival_of(piece)),
            (*schema, *piece.relation.schema[piece.width :]),
        )
        return replace(piece, relation=projected, width=len(schema), key=key)

    def with_keys(self, piece: _Piece, keys: Sequence[plan.Expression]) -> tuple[_Piece, tuple[int, ...]]:
        """The piece with a column for every key expression, and the numbers of these columns."""
        columns: list[int] = []
        added: list[plan.Expression] = []
        for key in keys:
            if isinstance(key, plan.ColumnReference):
                columns.append(key.index)
            else:
                columns.append(piece.width + len(added))
                added.append(key)
        if not added:
            return piece, tuple(columns)
        names = tuple(plan.Column(f"#key{number}", key.type) for number, key in enumerate(added))
        schema = piece.relation.schema[: piece.width] + names
        passed = references_to(schema, range(piece.width))
        return self.project(piece, (*passed, *added), schema), tuple(columns)

    def join(self, relation: plan.Join) -> _Piece:
        left_width, right_width = len(relation.left.schema), len(relation.right.schema)
        left, right = self.cut(relation.left), self.cut(relation.right)
        if not relation.left_keys or self.is_small(relation.right, relation.left):
            # Any place of a left row will do: the right side is there.
            right = self.copied(right)
        else:
            left, left_key = self.with_keys(left, relation.left_keys)
            right, right_key = self.with_keys(right, relation.right_keys)
            left, right = self.partition(left, left_key), self.partition(right, right_key)
            if () in (left.key, right.key) and left.key != right.key:
                # One side is in a single partition; the other one has to come there.
                left, right = self.partition_all(left), self.partition_all(right)
        last = relation.how == "last"
        right_relation = select(right.relation, range(right.width)) if last else right.relation
        left_columns, right_columns = len(left.relation.schema), len(right_relation.schema)

        def number(column: int) -> int:
            return column if column < left_width else column - left_width + left_columns

        joined = replace(
            relation,
            left=left.relation,
            right=right_relation,
            condition=None if relation.condition is None else renumber(relation.condition, number),
            schema=left.relation.schema + right_relation.schema,
        )
        arrival = [*range(left.width, left_columns)]
        if not last:
            arrival += [left_columns + column for column in range(right.width, right_columns)]
        columns = [*range(left_width), *(left_columns + column for column in range(right_width)), *arrival]
        key = left.key
        if key is not None and any(column >= left_width for column in key):
            key = (-1,)
        return _Piece(
            select(joined, columns),
            left_width + right_width,
            left.ports | right.ports,
            key,
            left.reach,
            spoiled=left.spoiled or not last or any(port and port.route is Route.KEY for port in right.ports.values()),
        )

    def partition_all(self, piece: _Piece) -> _Piece:
        return piece if piece.key == () else self.partition(self.loose(piece), ())

    def windows(self, relation: plan.Windows) -> _Piece:
        """Streams by streams with the same key; the features of one group pass through the next."""
        width = len(relation.input.schema)
        piece = self.cut(relation.input)
        places: dict[int, int] = {}
        for key in dict.fromkeys(stream.partition for stream in relation.streams):
            numbers = [number for number, stream in enumerate(relation.streams) if stream.partition == key]
            chosen = [place for place, feature in enumerate(relation.features) if feature.stream in numbers]
            passed = piece.width
            piece = self.window_group(piece, relation, key, numbers, chosen)
            places |= {place: passed + offset for offset, place in enumerate(chosen)}
        order = [*range(width), *(places[place] for place in range(len(relation.features)))]
        expressions = references_to(piece.relation.schema, order)
        return self.project(piece, expressions, relation.schema)

    def window_group(
        self,
        main: _Piece,
        relation: plan.Windows,
        key: tuple[int, ...],
        numbers: Sequence[int],
        chosen: Sequence[int],
    ) -> _Piece:
        width = len(relation.input.schema)
        main = self.partition(main, key)
        pieces = {
            number: [self.partition(self.cut(union), key) for union in relation.streams[number].unions]
            for number in numbers
        }
        others = [piece for group in pieces.values() for piece in group]
        if () in {main.key, *(piece.key for piece in others)} and key != ():
            main = self.partition_all(main)
            pieces = {number: [self.partition_all(piece) for piece in group] for number, group in pieces.items()}
            others = [piece for group in pieces.values() for piece in group]
        simple = _is_simple(main) and all(_is_simple(piece) for piece in others)
        reach = reach_of([relation.streams[number] for number in numbers]) if simple else None
        if reach is not None:
            mains_are_history = any(not relation.streams[number].instance_not_in_window for number in numbers)
            marked = [self.mark_order(main, relation.streams[numbers[0]].order, mains_are_history)]
            marked += [
                self.mark_order(piece, relation.streams[number].order, True)
                for number in numbers
                for piece in pieces[number]
            ]
            reach = reach if all(marked) else None
        schema = main.relation.schema
        streams = tuple(
            replace(
                relation.streams[number],
                unions=tuple(_widened(piece, width, schema) for piece in pieces[number]),
            )
            for number in numbers
        )
        features = tuple(
            replace(relation.features[place], stream=list(numbers).index(relation.features[place].stream))
            for place in chosen
        )
        names = tuple(relation.schema[width + place] for place in chosen)
        windows = plan.Windows(main.relation, streams, features, schema + names)
        columns = [*range(main.width), *range(len(schema), len(schema) + len(names)), *range(main.width, len(schema))]
        ports = dict(main.ports)
        for piece in others:
            ports |= piece.ports
        return _Piece(select(windows, columns), main.width + len(names), ports, main.key, reach, spoiled=reach is None)

    def mark_order(self, piece: _Piece, order: int | None, halo: bool) -> bool:
        """Note the order column on the piece's ports; whether all of them have it."""
        traced = None if order is None else trace(piece.relation, order)
        if traced is None:
            return False
        for number, port in piece.ports.items():
            if port is not None and port.route is Route.KEY:
                if number not in traced:
                    return False
                piece.ports[number] = replace(port, order=traced[number], halo=halo)
        return True

    def aggregate(self, relation: plan.Aggregate) -> _Piece:
        """A group arrives when its last row does."""
        piece = self.partition(self.cut(relation.input), relation.keys)
        schema = piece.relation.schema
        newest = tuple(
            plan.Feature(0, 0, "last_value", (plan.ColumnReference(column, BIGINT),), BIGINT)
            for column in range(piece.width, len(schema))
        )
        aggregate = plan.Aggregate(
            piece.relation, relation.keys, relation.calls + newest, relation.schema + schema[piece.width :]
        )
        key = () if piece.key == () else tuple(range(len(relation.keys)))
        return _Piece(aggregate, len(relation.schema), piece.ports, key, spoiled=True)

    def union(self, relation: plan.Union) -> _Piece:
        if relation.distinct:
            return self.distinct(relation)
        pieces = [self.loose(self.cut(part)) for part in relation.inputs]
        depth = max(piece.arrival for piece in pieces)
        schema = (*relation.schema, *([ARRIVAL] * (depth + 1)))
        inputs = tuple(
            plan.Project(
                piece.relation,
                (
                    *references_to(piece.relation.schema, range(piece.width)),
                    plan.Literal(branch, BIGINT),
                    *_arrival_of(piece),
                    *([plan.Literal(0, BIGINT)] * (depth - piece.arrival)),
                ),
                schema,
            )
            for branch, piece in enumerate(pieces)
        )
        ports: dict[int, Port | None] = {}
        for piece in pieces:
            ports |= piece.ports
        return _Piece(plan.Union(inputs, False, schema), len(relation.schema), ports, spoiled=True)

    def distinct(self, relation: plan.Union) -> _Piece:
        """Equal rows are one group, which keeps its first row's place."""
        width = len(relation.schema)
        piece = self.partition(self.union(replace(relation, distinct=False)), tuple(range(width)))
        schema = piece.relation.schema
        oldest = tuple(
            plan.Feature(0, 0, "first_value", (plan.ColumnReference(column, BIGINT),), BIGINT)
            for column in range(width, len(schema))
        )
        return _Piece(
            plan.Aggregate(piece.relation, tuple(range(width)), oldest, schema),
            width,
            piece.ports,
            piece.key,
            spoiled=True,
        )

    def limit(self, relation: plan.Limit) -> _Piece:
        """The newest of every partition, then the newest of those."""
        piece = self.cut(relation.input)
        if piece.key != ():
            piece = self.newest(piece, relation.count)
            piece = self.partition(self.new_port(self.finish(piece)), ())
        return self.newest(piece, relation.count)

    def newest(self, piece: _Piece, count: int) -> _Piece:
        limited = plan.Limit(piece.relation, count, piece.relation.schema)
        return replace(piece, relation=limited, spoiled=True)

    def is_small(self, right: plan.Relation, left: plan.Relation) -> bool:
        """Whether the right side of a join is known to have few rows, compared with the left one."""
        rows, left_rows = self.row_count(right), self.row_count(left)
        if rows is None:
            return False
        return rows <= FEW_ROWS or (rows <= SMALL_ROWS and left_rows is not None and rows <= left_rows * SMALL_SHARE)

    def row_count(self, relation: plan.Relation) -> int | None:
        """A guess: all rows of the stored tables below, without unions and right sides."""
        match relation:
            case plan.Source():
                return self.row_counts.get((relation.database, relation.table))
            case plan.SingleRow():
                return 1
            case plan.Join():
                return self.row_count(relation.left)
            case plan.Windows():
                return self.row_count(relation.input)
            case plan.Union():
                counts = [self.row_count(part) for part in relation.inputs]
                return None if None in counts else sum(count or 0 for count in counts)
            case _:
                (below,) = inputs_of(relation)
                return self.row_count(below)


def cut_plan(query: plan.Plan, row_counts: dict[Table, int] | None = None) -> list[Fragment]:
    """The fragments of a plan, producers before consumers; the last one gives the answer.

    :param query: the plan, pruned and with narrowed tables.
    :param row_counts: rows of the stored tables, where they are known.
    """
    cutter = _Cutter(dict(row_counts or {}))
    last = cutter.finish(cutter.cut(query.root))
    return _reachable(cutter.fragments, last)


def keep_whole(query: plan.Plan) -> list[Fragment]:
    """The plan as one fragment that gets all rows of all tables: for data that is not worth spreading."""
    cutter = _Cutter({})
    ports: list[Port] = []

    def gather(source: plan.Source) -> plan.Relation:
        piece = cutter.table((source.database, source.table), source.schema)
        ports.append(Port(len(cutter.fragments) - 1, Route.KEY))
        return select(plan.Source(PORT, str(len(ports) - 1), piece.relation.schema), range(piece.width))

    relation = map_sources(query.root, gather)
    if not ports:
        return cut_plan(query)
    return [*cutter.fragments, Fragment(relation, tuple(ports), None, 0, 1)]


# ── details ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _reachable(fragments: Sequence[Fragment], last: int) -> list[Fragment]:
    """The fragments that the last one needs, renumbered in their old order."""
    needed = {last}
    for number in range(last, -1, -1):
        if number in needed:
            needed |= {port.producer for port in fragments[number].ports}
    kept = sorted(needed)
    return [
        replace(
            fragments[number],
            ports=tuple(replace(port, producer=kept.index(port.producer)) for port in fragments[number].ports),
        )
        for number in kept
    ]


def _arrival_of(piece: _Piece) -> tuple[plan.Expression, ...]:
    return references_to(piece.relation.schema, range(piece.width, len(piece.relation.schema)))


def _is_simple(piece: _Piece) -> bool:
    """Whether all that happens to the piece's rows happens to each on its own."""
    return piece.reach is None and not piece.spoiled


def _widened(piece: _Piece, width: int, schema: plan.Schema) -> plan.Relation:
    """A union's rows in the columns of the main input, which may carry features and more arrival columns."""
    relation = piece.relation
    missing = len(schema) - width - piece.arrival
    expressions: list[plan.Expression] = [*references_to(schema, range(width))]
    expressions += [plan.Literal(None, column.type) for column in schema[width:]]
    if missing == 0:
        # Same shape: hand the arrival on instead of inventing one, so that nothing is projected at all.
        return relation
    return plan.Project(select(relation, range(width)), tuple(expressions), schema)
