"""Log lines of a job: one JSON object each in its file, plain text for people."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, message, and the progress snapshot where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if (progress := getattr(record, "progress", None)) is not None:
            document["progress"] = progress
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def log_to_stream(formatter: logging.Formatter) -> None:
    """Send all log records to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def parse_line(line: str) -> tuple[int, str, dict[str, Any] | None]:
    """Level, message and progress of a line; a line that is no record (a library that prints) is an info message."""
    try:
        document = json.loads(line)
        level = logging.getLevelNamesMapping()[document["level"]]
        message = document["message"]
    except (ValueError, KeyError, TypeError):
        return logging.INFO, line, None
    if exception := document.get("exception"):
        message = f"{message}\n{exception}"
    return level, message, document.get("progress")


class LogTail:
    """Reads the complete lines that were added to a file since the last look.

    :param path: the file; it may not exist yet.
    :param from_end: whether to leave out what is there already.
    """

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_end and path.exists() else 0

    def read(self) -> list[str]:
        """New lines, without their line ends."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return []
        complete = added[: added.rfind(b"\n") + 1]
        self._offset += len(complete)
        return _lines(complete)


def last_lines(path: Path, count: int, most_bytes: int = 1 << 18) -> list[str]:
    """The last complete lines of a file, however long it is; none where there is no file.

    :param path: the file.
    :param count: how many lines.
    :param most_bytes: how much of the file is read at the most.
    """
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
            file.seek(start)
            end = file.read(most_bytes)
    except FileNotFoundError:
        return []
    if start:
        # What the reading began in the middle of.
        end = end[end.find(b"\n") + 1 :]
    return _lines(end[: end.rfind(b"\n") + 1])[-count:]


def _lines(text: bytes) -> list[str]:
    """Lines without their ends. A record keeps separators such as U+2028 in its text: they end no line."""
    lines = text.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1]
