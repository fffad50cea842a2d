"""Files that appear whole or not at all, and what they contain in one number.

Everything the project writes goes through `staged_file` or `staged_directory`: the work happens under a temporary name
beside the target, and a rename makes it visible. A process that is killed leaves a staging name behind, never half an
artefact; the next writer of the same target removes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STATE_VARIABLE = "MLFEAT_STATE"
_STAGING = ".mlfeat-staging-"
_HOST = socket.gethostname().replace(".", "-")
_ABANDONED_AFTER = 24 * 3600


def state_directory() -> Path:
    """Where jobs, caches and embedded stores live: ``$MLFEAT_STATE``, else ``~/.mlfeat``."""
    return Path(os.environ.get(STATE_VARIABLE) or Path.home() / ".mlfeat").expanduser().absolute()


def staging_path(target: Path) -> Path:
    """A free temporary name beside `target`; what a killed writer of the same target left is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{_STAGING}{target.name}."
    for leftover in target.parent.glob(f"{_STAGING}*"):
        if leftover.name.startswith(prefix) and _is_abandoned(leftover):
            remove(leftover)
    return target.parent / f"{prefix}{_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def _is_abandoned(staging: Path) -> bool:
    """Whether nobody writes to a staging name any more: its process is gone, or (on another host) it is a day old."""
    host, process_id = staging.name.rsplit(".", 3)[1:3]
    if host != _HOST:
        return time.time() - staging.stat().st_mtime > _ABANDONED_AFTER
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well, and vanishes when it does not."""
    staging = staging_path(target)
    try:
        yield staging
        with staging.open("rb") as written:
            os.fsync(written.fileno())
        staging.replace(target)
    finally:
        remove(staging)


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """A new directory to fill; it becomes `target`, which must not exist, when the block ends well."""
    if target.exists():
        raise FileExistsError(f"{target} exists")
    staging = staging_path(target)
    staging.mkdir()
    try:
        yield staging
        staging.rename(target)
    finally:
        remove(staging)


def write_json(target: Path, document: Any) -> None:
    """Write `document` to `target` in one step."""
    with staged_file(target) as staging:
        staging.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def canonical_json(document: Any) -> str:
    """The one text of a JSON document: sorted keys, no blanks."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> str:
    """SHA-256 of a file, or of a directory's file names and contents in order."""
    if not path.is_dir():
        return digest_file(path)
    files = sorted(child for child in path.rglob("*") if child.is_file())
    return digest_text("\n".join(f"{child.relative_to(path).as_posix()} {digest_file(child)}" for child in files))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(child.stat().st_size for child in path.rglob("*") if child.is_file())
