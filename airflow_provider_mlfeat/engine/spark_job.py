"""What a worker has to know to do its part of a query: fragments, where their rows go, and how many partitions.

A job becomes one JSON text, which travels with the tasks. It holds plans, not SQL: workers import no parser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from airflow_provider_mlfeat.engine.spark_hot_keys import HotKeys
from airflow_provider_mlfeat.engine.spark_ports import Fragment, Port, Reach, Route, Table
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.functions.user import import_user_functions, user_function_modules


@dataclass(frozen=True, slots=True)
class Consumer:
    """A port that a fragment's output goes to.

    :param fragment: number of the consuming fragment.
    :param place: number of its port.
    :param port: the port.
    """

    fragment: int
    place: int
    port: Port


@dataclass(frozen=True, slots=True)
class Job:
    """A query on its way through Spark.

    :param query: the plan that the fragments were cut from; they share its zone and settings.
    :param fragments: producers before consumers; the last one gives the answer.
    :param partitions: how many partitions each fragment has; 0 for map fragments.
    :param hot_keys: per fragment where the hot keys of its rows are cut.
    :param files: per table the place of each file in the arrival order, by the hash of its name.
    :param parameters: values of the query's parameters.
    :param stream_bytes: what the rows of a partition may take before those that are complete have to leave; 0 when
        every partition is known to fit.
    """

    query: plan.Plan
    fragments: tuple[Fragment, ...]
    partitions: tuple[int, ...]
    hot_keys: Mapping[int, HotKeys]
    files: Mapping[Table, Mapping[int, int]]
    parameters: tuple[Any, ...] = ()
    stream_bytes: int = 0

    @property
    def levels(self) -> int:
        """The level of the last fragment: how many shuffles there are."""
        return self.fragments[-1].level

    def consumers(self, producer: int) -> list[Consumer]:
        """The ports that fragment number `producer` feeds."""
        return [
            Consumer(number, place, port)
            for number, fragment in enumerate(self.fragments)
            for place, port in enumerate(fragment.ports)
            if port.producer == producer
        ]

    def map_fragments(self, table: Table) -> list[int]:
        """The fragments that read a stored table."""
        return [number for number, fragment in enumerate(self.fragments) if fragment.table == table]

    def target(self, level: int, fragment: int, partition: int) -> int:
        """The Spark partition, in the shuffle before `level`, of a partition of a fragment of that level or later."""
        if self.fragments[fragment].level != level:
            # Rows for later levels pass through; anywhere is as good.
            return (fragment + partition) % self.width(level)
        return sum(self.partitions[number] for number in self.at_level(level) if number < fragment) + partition

    def at_level(self, level: int) -> list[int]:
        """The fragments of one level."""
        return [number for number, fragment in enumerate(self.fragments) if fragment.level == level]

    def width(self, level: int) -> int:
        """How many Spark partitions the shuffle before `level` has."""
        return sum(self.partitions[number] for number in self.at_level(level))

    def place(self, level: int, target: int) -> tuple[int, int]:
        """(fragment, partition) of a Spark partition of a level."""
        for number in self.at_level(level):
            if target < self.partitions[number]:
                return number, target
            target -= self.partitions[number]
        raise ValueError(f"level {level} has no such partition")

    def fragment_plan(self, number: int) -> plan.Plan:
        """One fragment as a plan of its own."""
        return replace(self.query, root=self.fragments[number].relation, warnings=())

    def to_json(self) -> str:
        """The text that ``from_json`` reads."""
        fragments = [
            {**asdict(fragment), "relation": self.fragment_plan(number).to_json()}
            for number, fragment in enumerate(_without_relations(self.fragments))
        ]
        hot = {
            number: {"reach": asdict(hot.reach), "boundaries": list(hot.boundaries.items())}
            for number, hot in self.hot_keys.items()
        }
        return json.dumps(
            {
                "fragments": fragments,
                "partitions": self.partitions,
                "hot_keys": list(hot.items()),
                "files": [[list(table), list(places.items())] for table, places in self.files.items()],
                "parameters": self.parameters,
                "stream_bytes": self.stream_bytes,
                "function_modules": user_function_modules(
                    _called([json.loads(part["relation"]) for part in fragments])
                ),
            }
        )

    @classmethod
    @lru_cache(maxsize=4)
    def from_json(cls, text: str) -> Job:
        """The job of a text; the last few are remembered, since a worker runs many tasks of one job."""
        document = json.loads(text)
        import_user_functions(document["function_modules"])
        plans = [plan.Plan.from_json(fragment["relation"]) for fragment in document["fragments"]]
        fragments = tuple(
            Fragment(
                query.root,
                tuple(_port(port) for port in fragment["ports"]),
                None if fragment["table"] is None else (fragment["table"][0], fragment["table"][1]),
                fragment["arrival"],
                fragment["level"],
                None if fragment["reach"] is None else Reach(**fragment["reach"]),
            )
            for query, fragment in zip(plans, document["fragments"], strict=True)
        )
        hot_keys = {
            number: HotKeys({value: tuple(cuts) for value, cuts in hot["boundaries"]}, Reach(**hot["reach"]))
            for number, hot in document["hot_keys"]
        }
        files: dict[Table, Mapping[int, int]] = {
            (table[0], table[1]): dict(places) for table, places in document["files"]
        }
        return cls(
            plans[-1],
            fragments,
            tuple(document["partitions"]),
            hot_keys,
            files,
            tuple(document["parameters"]),
            document["stream_bytes"],
        )


def _without_relations(fragments: Sequence[Fragment]) -> list[Fragment]:
    return [replace(fragment, relation=plan.SingleRow()) for fragment in fragments]


def _called(document: Any) -> set[str]:
    """The names of all functions that a JSON document's plans call."""
    if isinstance(document, dict):
        found = set().union(*(_called(part) for part in document.values()))
        name = document.get("function")
        return found | {name} if isinstance(name, str) else found
    return set().union(*(_called(part) for part in document)) if isinstance(document, list) else set()


def _port(document: dict[str, Any]) -> Port:
    return Port(**{**document, "route": Route(document["route"]), "key": tuple(document["key"])})
