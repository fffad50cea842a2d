"""Strings of the store as codes: written once, the same for every process, read when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.kernels.compilation import kernel
from airflow_provider_mlfeat.engine.strings import StringPool

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.embedded.environment import Environment

COUNT = b"strings"
_CODE = Struct("=Q")
# LMDB takes keys up to 511 bytes; a longer string is found by its digest.
_LONGEST_KEY = 500
# How many strings a process remembers; more are read from the files again.
_REMEMBERED = 200_000


def _key(string: str) -> bytes:
    text = string.encode()
    if len(text) <= _LONGEST_KEY:
        return b"s" + text
    return b"h" + hashlib.sha256(text).digest()


def count_strings(transaction: Any, environment: Environment) -> int:
    """How many codes there are; code 0 is the empty string."""
    found = transaction.get(COUNT, db=environment.counters)
    return _CODE.unpack(found)[0] if found else 1


def read_string(transaction: Any, environment: Environment, code: int) -> str:
    """The string of a code."""
    return str(transaction.get(_CODE.pack(code), db=environment.strings), "utf-8")


class StringWriter:
    """Gives codes to strings within one transaction.

    :param transaction: a transaction that writes.
    :param environment: of the store.
    """

    def __init__(self, transaction: Any, environment: Environment) -> None:
        self._transaction, self._environment = transaction, environment
        self._count = self._first = count_strings(transaction, environment)
        self._fresh: dict[str, int] = {}

    def codes(self, strings: Sequence[str]) -> Bits:
        """The codes of strings that differ from one another."""
        get, db, fresh = self._transaction.get, self._environment.codes, self._fresh
        codes = np.empty(len(strings), np.int64)
        for place, string in enumerate(strings):
            if not string:
                codes[place] = 0
                continue
            found = get(_key(string), db=db)
            if found is not None:
                codes[place] = _CODE.unpack(found)[0]
                continue
            code = fresh.get(string)
            if code is None:
                code = fresh[string] = self._count
                self._count += 1
            codes[place] = code
        return codes

    def save(self) -> None:
        """Write the strings that are new."""
        if not self._fresh:
            return
        environment, transaction = self._environment, self._transaction
        by_key = sorted((_key(string), _CODE.pack(code)) for string, code in self._fresh.items())
        with transaction.cursor(db=environment.codes) as cursor:
            cursor.putmulti(by_key)
        by_code = [(_CODE.pack(code), string.encode()) for string, code in self._fresh.items()]
        with transaction.cursor(db=environment.strings) as cursor:
            cursor.putmulti(by_code, append=True)
        transaction.put(COUNT, _CODE.pack(self._count), db=environment.counters)
        self._fresh = {}


class _Strings:
    """What codes mean, as a sequence that reads what it does not remember.

    :param environment: of the store.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._known: dict[int, str] = {0: ""}
        self.count = 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, code: int) -> str:
        string = self._known.get(code)
        if string is None:
            environment = self._environment
            with environment.lmdb.begin(buffers=True) as transaction:
                string = read_string(transaction, environment, code)
            if len(self._known) >= _REMEMBERED:
                self._known = {0: ""}
            self._known[code] = string
        return string


class StoredStrings(StringPool):
    """The store's strings as a reader sees them.

    Codes behind those of the reader's last look at the store do not exist for it: blocks that it has cannot hold them.

    :param environment: of the store.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._environment = environment
        self._lazy = _Strings(environment)
        self.strings: Any = self._lazy
        # What was found, and what was not found when there were so many strings.
        self._found: dict[str, int] = {"": 0}
        self._missing: dict[str, int] = {}

    @property
    def labelled(self) -> int:
        """How many strings have a place in the order of strings."""
        return len(self._ordered)

    def refresh(self, transaction: Any) -> None:
        """Look at the store again."""
        count = count_strings(transaction, self._environment)
        if count != self._lazy.count:
            self._lazy.count = count
            self._reserve(count)

    def find(self, string: str) -> int:
        code = self._found.get(string)
        if code is None:
            if self._missing.get(string) == self._lazy.count:
                return -1
            with self._environment.lmdb.begin(buffers=True) as transaction:
                code = self.find_in(transaction, string)
        return code

    def find_in(self, transaction: Any, string: str) -> int:
        """The code of a string, or -1, within a transaction that is open."""
        code = self._found.get(string)
        if code is not None:
            return code
        found = transaction.get(_key(string), db=self._environment.codes)
        code = -1 if found is None else int(_CODE.unpack(found)[0])
        if not 0 <= code < self._lazy.count:
            if len(self._missing) >= _REMEMBERED:
                self._missing = {}
            self._missing[string] = self._lazy.count
            return -1
        if len(self._found) >= _REMEMBERED:
            self._found = {"": 0}
        self._found[string] = code
        return code

    def add(self, string: str) -> int:
        """The code of a string that is stored; readers add none."""
        code = self.find(string)
        assert code >= 0, "a reader cannot add strings"
        return code

    def order(self, code: int) -> None:
        if not self._is_labelled[code]:
            self._codes[self.strings[code]] = code
            super().order(code)

    def order_columns(self, bits: Bits, columns: Bits) -> None:
        """See to it that the strings of some columns of a block have labels, which most of them do.

        :param bits: a line per column.
        :param columns: numbers of columns of strings.
        """
        if not are_labelled(bits, columns, self._is_labelled):
            self.order_all(bits[columns].ravel())

    def order_all(self, codes: Bits) -> None:
        labelled = self._is_labelled.view(np.bool_).take(codes)
        if not labelled.all():
            fresh = codes[~labelled]
            for code in np.unique(fresh).tolist():
                self._codes[self.strings[code]] = code
            super().order_all(fresh)


@kernel("boolean(int64[:, ::1], int64[::1], uint8[::1])")
def are_labelled(bits, columns, is_labelled):  # type: ignore[no-untyped-def]
    """Whether all codes in some columns have labels."""
    for place in range(len(columns)):
        column = columns[place]
        for row in range(bits.shape[1]):
            if not is_labelled[bits[column, row]]:
                return False
    return True
