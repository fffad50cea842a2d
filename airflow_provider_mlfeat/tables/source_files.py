"""The files that a path means: a file, a folder, a glob, here or in an object store."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pyarrow import fs

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.store import filesystem, storage_errors

_WILD = "*?["


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to load.

    :param name: as messages call it.
    :param path: below `system`.
    :param size: in bytes.
    :param system: a pyarrow file system.
    """

    name: str
    path: str
    size: int
    system: Any = field(repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return "://" not in self.name


def find_files(paths: str | Sequence[str], storage_options: Mapping[str, str]) -> list[SourceFile]:
    """The files that paths mean, those of one path in the order of their names; none is a UserError.

    :param paths: files, folders or globs.
    :param storage_options: access to an object store.
    """
    found = []
    for path in [paths] if isinstance(paths, str) else paths:
        plain = path.removeprefix("file://")
        with storage_errors(f"looking for '{path}'"):
            files = _remote(plain, storage_options) if "://" in plain else _local(plain)
        if not files:
            what = "matches" if any(letter in path for letter in _WILD) else "is there at"
            raise UserError(f"no file {what} '{path}'")
        found += files
    if not found:
        raise UserError("a load needs at least one path")
    return found


def _local(path: str) -> list[SourceFile]:
    system = fs.LocalFileSystem()
    names = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - absolute patterns
    files = []
    for name in names:
        here = Path(name)
        below = sorted(here.rglob("*")) if here.is_dir() else [here]
        files += [
            SourceFile(str(file), str(file.absolute()), file.stat().st_size, system)
            for file in below
            if file.is_file() and (file == here or not _is_hidden(file.relative_to(here).as_posix()))
        ]
    return files


def _remote(path: str, storage_options: Mapping[str, str]) -> list[SourceFile]:
    parts = path.split("/")
    # scheme://bucket is the least that can be opened
    fixed = next((n for n, part in enumerate(parts) if any(letter in part for letter in _WILD)), len(parts) - 1)
    prefix, pattern = "/".join(parts[: max(fixed, 3)]), "/".join(parts[max(fixed, 3) :])
    if path.startswith("hdfs://"):
        base, folder = fs.FileSystem.from_uri(prefix)
        system: Any = fs.SubTreeFileSystem(folder, base)
    else:
        system = filesystem(prefix, storage_options)
    found = system.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
    files = sorted((info for info in found if info.is_file), key=lambda info: info.path)
    matching = [
        info
        for info in files
        if not _is_hidden(info.path)
        and (not pattern or _matches(info.path, pattern) or info.path.startswith(f"{pattern.rstrip('/')}/"))
    ]
    return [SourceFile(f"{prefix}/{info.path}", info.path, info.size, system) for info in matching]


def _matches(path: str, pattern: str) -> bool:
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))
