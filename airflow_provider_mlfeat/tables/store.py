"""Where tables live: a root, a folder per database, a Delta table per table."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import MlfeatError, TransientError, UserError

DEFAULT_FOLDER = "default"
_NAME = re.compile(r"\w[\w-]*")
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "a file grew too large"}
_FULL_TEXTS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
}
_DENIED_TEXTS = (
    *("Permission denied", "PermissionDenied", "Access Denied", "AccessDenied", "Forbidden"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
)
_NO_BUCKET_TEXTS = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_NO_CREDENTIALS_TEXTS = ("loading credentials", "IMDS", "no providers in chain provided credentials")
# Colours and arrows with which Delta shows which error caused which.
_ORNAMENTS = re.compile(r"\x1b\[[0-9;]*m|↳")


@dataclass(frozen=True)
class TableStore:
    """A place for tables.

    Names are looked up in any case, so folders carry them in lower case; definitions keep them as declared.

    :param root: a local folder (``file://`` or plain) or a prefix such as ``s3://bucket/tables``.
    :param storage_options: access to an object store, as Delta's storage options; never shown.
    """

    root: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.root:
            raise UserError("the tables need a root: a folder or a prefix such as s3://bucket/tables")
        root = self.root.removeprefix("file://")
        root = root if "://" in root else str(Path(root).expanduser().absolute())
        object.__setattr__(self, "root", root.rstrip("/") or "/")

    @property
    def is_local(self) -> bool:
        """Whether tables are folders of this machine's file system."""
        return "://" not in self.root

    def uri(self, database: str, table: str) -> str:
        """Where a table is; the default database ``''`` is the folder ``default``."""
        return f"{self.database_uri(database)}/{_folder(table, 'table')}"

    def database_uri(self, database: str) -> str:
        """Where a database is."""
        return f"{self.root}/{_folder(database, 'database') if database else DEFAULT_FOLDER}"

    def options(self) -> dict[str, str]:
        """The storage options as Delta takes them."""
        return dict(self.storage_options)

    def filesystem(self, uri: str) -> Any:
        """A pyarrow file system whose paths are relative to `uri`."""
        return filesystem(uri, self.storage_options)


def filesystem(uri: str, storage_options: Mapping[str, str]) -> Any:
    """A pyarrow file system below a local folder or a prefix of an object store."""
    from pyarrow import fs

    if "://" not in uri:
        return fs.SubTreeFileSystem(uri, fs.LocalFileSystem())
    from airflow_provider_mlfeat.tables.object_store import ObjectStore

    return fs.PyFileSystem(ObjectStore(uri, dict(storage_options)))


def _folder(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a {what}: letters, digits, _ and - can")
    return name.lower()


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Errors of files, of the network and of Delta as sentences.

    :param doing: what is done, as the beginning of the sentence: ``reading 'a.csv'``.
    """
    from deltalake import exceptions

    try:
        yield
    except MlfeatError:
        raise
    except (OSError, exceptions.DeltaError) as error:
        raise _explained(error, doing) from error


def _explained(error: Exception, doing: str) -> MlfeatError:
    text = " ".join(_ORNAMENTS.sub("", str(error)).split()) or type(error).__name__
    number = getattr(error, "errno", None)
    number = next((code for words, code in _FULL_TEXTS.items() if words in str(error)), number)
    if number in _FULL:
        return UserError(f"{doing}: {_FULL[number]}; the table is as it was")
    if any(words in text for words in _NO_BUCKET_TEXTS):
        return UserError(f"{doing}: the object store has no such bucket; create it, or correct the root of the tables")
    if any(words in text for words in _NO_CREDENTIALS_TEXTS):
        return UserError(f"{doing}: there are no credentials for the object store; the connection should hold them")
    if isinstance(error, PermissionError) or any(words in str(error) for words in _DENIED_TEXTS):
        return UserError(f"{doing}: permission denied ({_shortened(text)})")
    if isinstance(error, FileNotFoundError):
        return UserError(f"{doing}: no such file ({_shortened(text)})")
    if number in (errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
        return UserError(f"{doing}: {os.strerror(number)}")
    return TransientError(f"{doing}: {_shortened(text)}")


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"
