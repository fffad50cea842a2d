"""Lines of a job's log, as watchers read them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from airflow_provider_mlfeat.jobs.logs import JsonFormatter, LogTail, last_lines, parse_line


def record(message: str, level: int = logging.WARNING) -> str:
    return JsonFormatter().format(logging.LogRecord("mlfeat.job", level, "", 0, message, None, None)) + "\n"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0c", "\n", "\r"])
def test_a_record_stays_one_line_whatever_its_text_holds(tmp_path: Path, separator: str) -> None:
    log = tmp_path / "job.log"
    log.write_text(record(f"one{separator}two"), encoding="utf-8")
    for lines in (LogTail(log).read(), last_lines(log, 10)):
        assert [parse_line(line) for line in lines] == [(logging.WARNING, f"one{separator}two", None)]


def test_what_libraries_print_is_cut_at_every_kind_of_line_end(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(b"10%\r20%\r\nwarning \xff\nnot ended")
    assert LogTail(log).read() == last_lines(log, 10) == ["10%", "20%", "warning \ufffd"]


def test_a_tail_goes_on_where_it_was(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "job.log")
    assert tail.read() == []
    (tmp_path / "job.log").write_text("a\nb")
    assert tail.read() == ["a"]
    (tmp_path / "job.log").write_text("a\nbc\n")
    assert tail.read() == ["bc"]


def test_the_last_lines_of_a_long_log_are_read_alone(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    assert last_lines(log, 3) == []
    log.write_text("".join(f"line {number}\n" for number in range(1_000)))
    assert last_lines(log, 2) == ["line 998", "line 999"]
    assert last_lines(log, 100, most_bytes=25) == ["line 998", "line 999"]
    assert len(last_lines(log, 5_000)) == 1_000
