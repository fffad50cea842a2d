"""Where the shared data lies: a folder beside the project, which a checkout may lack."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def shared(*parts: str) -> Path:
    """A file or folder of the shared data; skips the test that asks when it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data has no {'/'.join(parts)} at {SHARED}")
    return path
