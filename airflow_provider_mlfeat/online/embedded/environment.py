"""Opening the store's files: LMDB, one environment per process and folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import MissingExtraError, StorageError, TransientError, UserError

_FILE = "data.mdb"
# Address space, not disk: the file grows with what is stored.
_MAP_SIZE = 1 << 38
_READERS = 1024
# A process that makes a store writes the first pages right after the file is there.
_BIRTH_SECONDS = 2.0
_FORMAT_KEY, _FORMAT = b"format", b"1"
_lock = threading.Lock()
_open: dict[tuple[int, str], tuple[Environment, int]] = {}


class Environment:
    """The open files of a store.

    :param folder: where they are; made when it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise MissingExtraError("server", "The embedded online store", error.name) from None
        self.folder = folder
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._check_content()
            self.lmdb: Any = lmdb.open(
                str(folder), max_dbs=16, map_size=_MAP_SIZE, max_readers=_READERS, meminit=False, readahead=False
            )
            self._check_length()
            # Readers that were killed hold on to pages that could be used again.
            self.lmdb.reader_check()
            self.documents = self.lmdb.open_db(b"documents")
            self.rows = self.lmdb.open_db(b"rows")
            self.summaries = self.lmdb.open_db(b"summaries")
            self.strings = self.lmdb.open_db(b"strings", integerkey=True)
            self.codes = self.lmdb.open_db(b"codes")
            self.counters = self.lmdb.open_db(b"counters")
            self.events = self.lmdb.open_db(b"events")
            self.event_order = self.lmdb.open_db(b"event_order", integerkey=True)
            self._check_format()

    def _check_format(self) -> None:
        """Files that another version of this package wrote in another form are not read as if they were ours."""
        with self.lmdb.begin() as transaction:
            found = transaction.get(_FORMAT_KEY, db=self.counters)
        if found is None:
            with self.lmdb.begin(write=True) as transaction:
                transaction.put(_FORMAT_KEY, _FORMAT, db=self.counters)
        elif found != _FORMAT:
            self.lmdb.close()
            message = f"the online store in '{self.folder}' has format {found.decode()}, and this version reads"
            raise UserError(f"{message} {_FORMAT.decode()}: use a folder of its own and load the tables again")

    def _check_content(self) -> None:
        """LMDB would make a new store of a file that lost all it held. One that is just being made is empty briefly."""
        deadline = time.monotonic() + _BIRTH_SECONDS
        file = self.folder / _FILE
        while file.exists() and not file.stat().st_size:
            if time.monotonic() > deadline:
                message = f"the online store in '{self.folder}' is cut off: its file {_FILE} is empty"
                raise UserError(f"{message}; restore the folder from a copy, or move it away and load the tables again")
            time.sleep(_BIRTH_SECONDS / 100)

    def _check_length(self) -> None:
        """Pages behind the end of a file that was cut off would kill the process that touches them."""
        size = (self.folder / _FILE).stat().st_size
        needed = (self.lmdb.info()["last_pgno"] + 1) * self.lmdb.stat()["psize"]
        if size < needed:
            self.lmdb.close()
            message = f"the online store in '{self.folder}' is cut off: {size} of {needed} bytes are there"
            raise UserError(f"{message}; restore the folder from a copy, or move it away and load the tables again")

    @contextmanager
    def write(self) -> Iterator[Any]:
        """A transaction that writes; there is one at a time among all processes, and its end makes it safe on disk."""
        with storage_errors(self.folder), self.lmdb.begin(write=True) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A transaction that reads what there was when it began."""
        with storage_errors(self.folder), self.lmdb.begin(buffers=True) as transaction:
            yield transaction


def open_environment(folder: Path) -> Environment:
    """The environment of a folder; a process opens it once, as LMDB demands, and again after a fork."""
    key = os.getpid(), str(folder.expanduser().resolve())
    with _lock:
        environment, users = _open.get(key) or (Environment(Path(key[1])), 0)
        _open[key] = environment, users + 1
    return environment


def close_environment(environment: Environment) -> None:
    """Give an environment back; the last one closes the files."""
    key = os.getpid(), str(environment.folder)
    with _lock:
        if key not in _open:
            return
        _, users = _open.pop(key)
        if users > 1:
            _open[key] = environment, users - 1
        else:
            environment.lmdb.close()


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """What LMDB and the file system say, as sentences."""
    import lmdb

    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise StorageError(
            f"the online store in '{folder}' is full; nothing of this change was kept ({error})"
        ) from error
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.PageNotFoundError) as error:
        message = f"the files of the online store in '{folder}' are damaged ({error})"
        raise StorageError(f"{message}: restore the folder from a copy, or move it away and load again") from error
    except (lmdb.ReadersFullError, lmdb.TxnFullError, lmdb.LockError) as error:
        raise TransientError(f"the online store in '{folder}' is busy: {error}") from error
    except PermissionError as error:
        raise StorageError(f"the online store in '{folder}' may not be used: permission denied") from error
    except (lmdb.Error, OSError) as error:
        if "No space left" in str(error) or getattr(error, "errno", None) == 28:
            message = f"the disk of the online store in '{folder}' is full; nothing of this change was kept"
            raise StorageError(message) from error
        if "Permission denied" in str(error) or "Read-only" in str(error):
            raise StorageError(f"the online store in '{folder}' may not be used: {error}") from error
        raise TransientError(f"the online store in '{folder}': {error}") from error
