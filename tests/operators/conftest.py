"""What Airflow hands to a task, without Airflow around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest


class StateStore:
    """The task state store's contract, in memory: no None values, missing keys give the default."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, **_: Any) -> None:
        assert value is not None
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TaskInstance:
    dag_id, run_id, task_id, map_index = "tests", "run_1", "task", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.stats_tags: dict[str, str] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


class OutletEvents(dict[Any, Any]):
    def __missing__(self, asset: Any) -> SimpleNamespace:
        self[asset] = SimpleNamespace(extra={})
        return self[asset]


@pytest.fixture
def context() -> dict[str, Any]:
    return {"ti": TaskInstance(), "task_state_store": StateStore(), "outlet_events": OutletEvents()}
