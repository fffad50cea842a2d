"""Strings of stored rows as codes that never change, with labels that keep their order."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.encoding import Bits

_SPREAD = 1 << 62  # labels lie between minus and plus this
_STEP = 1 << 32  # how far apart labels are that are made at either end


class StringPool:
    """A growing set of strings, each with a code; code 0 is the empty string.

    Codes are handed out in order of arrival and mean nothing. Where order matters a string is given a *label*: labels
    order as the strings do by their UTF-8 bytes, and leave room for strings that come later between them.
    """

    def __init__(self) -> None:
        self.strings: list[str] = [""]
        self.labels: Bits = np.full(1024, -_SPREAD, np.int64)
        self._codes: dict[str, int] = {"": 0}
        self._ordered: list[str] = []
        self._is_labelled: NDArray[np.uint8] = np.zeros(1024, np.uint8)
        self.order(0)

    def __len__(self) -> int:
        return len(self.strings)

    def find(self, string: str) -> int:
        """The code of a string, or -1 when it was never added."""
        return self._codes.get(string, -1)

    def add(self, string: str) -> int:
        """The code of a string, a new one when it was never added."""
        code = self._codes.get(string)
        if code is None:
            code = len(self.strings)
            self.strings.append(string)
            self._codes[string] = code
            self._reserve(code + 1)
            self._is_labelled[code] = 0
        return code

    def order(self, code: int) -> None:
        """See to it that a string has a label."""
        if self._is_labelled[code]:
            return
        string = self.strings[code]
        place = bisect_left(self._ordered, string)
        self._ordered.insert(place, string)
        self._is_labelled[code] = 1
        label = self._label_at(place, place + 1)
        if label is None:
            self._relabel()
        else:
            self.labels[code] = label

    def order_all(self, codes: Bits) -> None:
        """See to it that all of these strings have labels; sorts once."""
        fresh = [code for code in np.unique(codes).tolist() if not self._is_labelled[code]]
        if len(fresh) < 16:
            for code in fresh:
                self.order(code)
            return
        for code in fresh:
            self._is_labelled[code] = 1
        self._ordered.extend(self.strings[code] for code in fresh)
        self._ordered.sort()
        self._relabel()

    def lend(self, string: str, code: int) -> None:
        """Label a string that is not added, under a code at or behind the end, until that code is used again."""
        self._reserve(code + 1)
        place = bisect_left(self._ordered, string)
        label = self._label_at(place, place)
        if label is None:
            self._relabel()
            label = self._label_at(place, place)
            assert label is not None
        self.labels[code] = label

    def _label_at(self, place: int, following: int) -> int | None:
        """A label for a string between the ordered ones before `place` and at `following`, if there is room."""
        below = self._label_of(place - 1) if place > 0 else None
        above = self._label_of(following) if following < len(self._ordered) else None
        if below is None:
            return 0 if above is None else (above - _STEP if above - _STEP > -_SPREAD else None)
        if above is None:
            return below + _STEP if below + _STEP < _SPREAD else None
        middle = (below + above) // 2
        return middle if middle > below else None

    def _label_of(self, place: int) -> int:
        return int(self.labels[self._codes[self._ordered[place]]])

    def _relabel(self) -> None:
        """Spread the labels evenly."""
        gap = min(_STEP, 2 * _SPREAD // (len(self._ordered) + 2))
        start = -(len(self._ordered) // 2) * gap
        codes = [self._codes[string] for string in self._ordered]
        self.labels[codes] = start + gap * np.arange(len(codes))

    def _reserve(self, size: int) -> None:
        if size > len(self.labels):
            grown = np.full(2 * size, -_SPREAD, np.int64)
            grown[: len(self.labels)] = self.labels
            self.labels = grown
            self._is_labelled = np.concatenate(
                [self._is_labelled, np.zeros(2 * size - len(self._is_labelled), np.uint8)]
            )
