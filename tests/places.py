"""Where things are, for tests of all rooms."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
# A distribution of its own with a job kind, found through its entry points.
JOB_KINDS = TESTS / "job_kinds"
JOB_IMAGE = "mlfeat/job:latest"
