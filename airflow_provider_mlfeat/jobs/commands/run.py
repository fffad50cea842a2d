"""``mlfeat run``: run a job without Airflow."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.logs import JsonFormatter, log_to_stream
from airflow_provider_mlfeat.jobs.progress import BarSink, LogSink, Progress, Sink
from airflow_provider_mlfeat.jobs.run import parse_spec, run


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("spec", metavar="SPEC.json", help="the spec; - reads standard input")
    parser.add_argument("--result", metavar="FILE", help="write the result there instead of to standard output")
    parser.add_argument("--json-log", action="store_true", help="log as JSON lines, also on a terminal")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the job in this process, show its progress on standard error, and write its result."""
    from airflow_provider_mlfeat import files

    document = run_document(_read(options.spec), json_log=options.json_log)
    if options.result:
        files.write_json(Path(options.result), document)
    else:
        print(json.dumps(document, indent=1))
    return 0


def run_document(spec: Any, *, json_log: bool = False, secrets: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run the job of a spec document with progress on standard error; its result as a document."""
    show_bar = sys.stderr.isatty() and not json_log
    log_to_stream(JsonFormatter() if json_log else logging.Formatter("%(levelname)s %(message)s"))
    sink: Sink = BarSink(sys.stderr) if show_bar else LogSink()
    cancellation = Cancellation()
    with _cancelled_by_signals(cancellation):
        result = run(parse_spec(spec), Progress([sink], cancellation), cancellation, secrets=secrets or {})
    return result.model_dump(mode="json")


@contextmanager
def _cancelled_by_signals(cancellation: Cancellation) -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel the job while the block runs; afterwards they mean what they meant before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: cancellation.request())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read(path: str) -> Any:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return json.loads(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from None
