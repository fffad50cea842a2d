"""Random examples until the time is up: ``python -m tests.differential.soak --seconds 600 --seed 1``.

Round number n of a seed always draws the same examples. The first failing one is made small, printed with its SQL and
tables, and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.examples import check, check_spark
from tests.differential.queries import Query, queries
from tests.differential.tables import Database, databases, long_databases

ROUND = 200


def run_round(number: int, examples: int, with_spark: bool) -> None:
    """One round of small examples, a few long ones and fewer still on Spark; raises at the first that fails."""

    options = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )

    @seed(number)
    @options
    @given(query=queries(), database=databases())
    def small(query: Query, database: Database) -> None:
        check(query, database)

    @seed(number)
    @settings(options, max_examples=max(1, examples // 20))
    @given(query=queries(), database=long_databases())
    def long(query: Query, database: Database) -> None:
        check(query, database)

    @seed(number)
    @settings(options, max_examples=max(1, examples // 40), phases=[Phase.generate])
    @given(query=queries(), database=databases())
    def on_spark(query: Query, database: Database) -> None:
        check_spark(query, database)

    small()
    long()
    if with_spark:
        on_spark()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Compare the drivers on random queries until the time is up.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spark", action="store_true", help="run a few examples of each round on Spark, too")
    options = parser.parse_args(arguments)

    end = time.monotonic() + options.seconds
    rounds = 0
    while time.monotonic() < end:
        number = options.seed * 1_000_003 + rounds
        try:
            run_round(number, ROUND, options.spark)
        except Exception:
            traceback.print_exc()
            print(f"failed in round {rounds} of seed {options.seed}", file=sys.stderr)
            return 1
        rounds += 1
        print(f"round {rounds}: {ROUND} examples agree", flush=True)
    print(f"{rounds * ROUND} examples agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
