"""The engines by name; an engine is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from tests.conformance.engines import Engine, OracleBatch, OracleReplay

ENGINES: dict[str, Callable[[], Engine]] = {
    "oracle": OracleBatch,
    "oracle-request": OracleReplay,
}
