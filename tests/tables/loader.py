"""A process that loads: `python -m tests.tables.loader JSON`; it says when it begins and ends, or the error."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

from airflow_provider_mlfeat.errors import MlfeatError
from airflow_provider_mlfeat.tables.load import LoadOptions, load_files
from airflow_provider_mlfeat.tables.store import TableStore


def main() -> int:
    asked = json.loads(sys.argv[1])
    if limit := asked.get("file_size"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if user := asked.get("user"):
        os.setuid(user)
    print("begin", flush=True)
    try:
        options = LoadOptions(**asked["options"])
        load_files(TableStore(asked["root"]), "", "t", asked["paths"], options, load_id=asked.get("load_id"))
    except MlfeatError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    print("end", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
