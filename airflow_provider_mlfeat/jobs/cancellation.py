"""Asking running work to stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from airflow_provider_mlfeat.errors import CancelledError


class Cancellation:
    """A request to stop that reaches the work: by the checks in its loops, and by callbacks for what cannot check.

    A Spark query or a child process does not look at a flag; whoever starts one registers how to stop it.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask the work to stop. May be called from a signal handler's thread, and more than once."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Stop here if somebody asked."""
        if self._event.is_set():
            raise CancelledError("the job was cancelled")

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until somebody asks; tells whether somebody did."""
        return self._event.wait(seconds)

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` when the request comes while the block runs, at once if it came before."""
        with self._lock:
            self._callbacks.append(callback)
            late = self._event.is_set()
        try:
            if late:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)
