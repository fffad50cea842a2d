"""Folders that change as a whole: a reader finds the old one or the new one, never none and never a mixture.

Where the file system can exchange two names in one step (Linux' `renameat2` with RENAME_EXCHANGE: ext4, xfs, btrfs,
tmpfs), that is what happens. Elsewhere (some network file systems) the old folder steps aside under a name of its own
and the new one takes its place: between the two renames, microseconds apart, there is no folder, and a process
that is killed right there leaves the old one aside. The next writer, or `restore_interrupted`, puts it back.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

_NO_REPLACE, _EXCHANGE = 1, 2
_CURRENT_FOLDER = -100
_UNABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV)
_ASIDE = ".mlfeat-aside-"


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to fill for `put_in_place`; what is left of it at the end of the block goes away."""
    staging = files.staging_path(target)
    staging.mkdir()
    try:
        yield staging
    finally:
        files.remove(staging)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Let one writer at a time change what is at `target`; it is for moments, not for the time of writing.

    File systems without locks (some network file systems) go on without.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        restore_interrupted(target)
        yield
    finally:
        os.close(folder)


def put_in_place(new: Path, target: Path, replace: bool) -> None:
    """Make the folder `new` the folder `target`; what `target` was is then at `new`, or gone.

    :param new: a full folder beside `target`, from `staged`.
    :param target: where it is to be.
    :param replace: whether something may be there; otherwise that is an error.
    """
    _flush(new)
    if not _rename(new, target, _NO_REPLACE):
        _without_exchange(new, target, replace)
    elif new.exists():
        if not replace:
            raise _exists(target)
        if not _rename(new, target, _EXCHANGE):
            _without_exchange(new, target, replace)
    _flush_folder(target.parent)


def restore_interrupted(target: Path) -> None:
    """Put back a folder that a killed writer left aside, when nothing took its place."""
    aside = _aside(target)
    if aside.exists() and not target.exists():
        aside.rename(target)
    files.remove(aside)


def _without_exchange(new: Path, target: Path, replace: bool) -> None:
    if not target.exists():
        new.rename(target)
        return
    if not replace:
        raise _exists(target)
    aside = _aside(target)
    files.remove(aside)
    target.rename(aside)
    new.rename(target)
    files.remove(aside)


def _aside(target: Path) -> Path:
    return target.parent / f"{_ASIDE}{target.name}"


def _rename(source: Path, target: Path, flag: int) -> bool:
    """Rename in one step; False where this is not possible here. An existing target of _NO_REPLACE is left alone."""
    function = _renameat2()
    if function is None:
        return False
    if function(_CURRENT_FOLDER, os.fsencode(source), _CURRENT_FOLDER, os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EEXIST, errno.ENOTEMPTY) and flag == _NO_REPLACE:
        return True
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(target))


@cache
def _renameat2() -> Callable[..., int] | None:
    """The C library's function, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    exchange: Callable[..., int] = function
    return exchange


def _exists(target: Path) -> UserError:
    return UserError(f"{target} exists; mode='overwrite' replaces it and mode='append' adds to it")


def _flush(folder: Path) -> None:
    """See to it that all files are on the disk before their names are."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
