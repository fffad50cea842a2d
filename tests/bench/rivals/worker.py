"""The loop of a process that the bench drives: one JSON line in, one run, one JSON line out. Standard library only."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


def serve(start: Callable[..., tuple[Callable[..., dict[str, Any] | None], str]]) -> None:
    """Call `start(**options)` with the first line's options, then its `run` once per further line until the end."""
    replies = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no reply

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        run, name = start(**json.loads(sys.stdin.readline()))
        reply({"name": name})
        for line in sys.stdin:
            begin = time.perf_counter()
            notes = run(**json.loads(line)) or {}
            reply({"wall": time.perf_counter() - begin, **notes})
    except Exception:
        reply({"error": traceback.format_exc()})
        raise SystemExit(1) from None
