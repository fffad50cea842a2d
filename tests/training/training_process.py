"""A training job in a process of its own, which says each step before it is made; `test_kills` kills it."""

from __future__ import annotations

import json
import sys
from itertools import count

from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.run import parse_spec, run


class Spoken(Cancellation):
    """Is asked at each step whether to go on, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = count()

    def check(self) -> None:
        print(f"step {next(self._steps)}", flush=True)
        super().check()


if __name__ == "__main__":
    run(parse_spec(json.loads(sys.argv[1])), cancellation=Spoken())
