"""The lock of a model in an object store, with a store that may be slow: a folder, through the same file systems."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.serving.triton import places
from airflow_provider_mlfeat.serving.triton.places import ObjectPlace


class SlowPlace(ObjectPlace):
    """A place whose first write takes long to arrive."""

    delay = 0.0

    def write(self, name: str, text: str) -> None:
        time.sleep(self.delay)
        self.delay = 0.0
        super().write(name, text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(places, "_SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(places, "_RENEW_SECONDS", 0.5)
    (tmp_path / "0").mkdir()
    return str(tmp_path)


def locked(place: ObjectPlace) -> contextlib.AbstractContextManager[None]:
    return place.locked(20, lambda: None, lambda _: None)


def test_a_write_that_arrives_late_takes_no_lock_away(folder: str) -> None:
    slow, quick = SlowPlace(folder, {}), ObjectPlace(folder, {})
    slow.delay = 0.4
    inside: list[str] = []
    overlaps: list[str] = []

    def work(name: str, place: ObjectPlace, seconds: float) -> None:
        with locked(place):
            overlaps.extend(inside)
            inside.append(name)
            time.sleep(seconds)
            inside.remove(name)

    threads = [threading.Thread(target=work, args=one) for one in (("slow", slow, 0.1), ("quick", quick, 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert quick.read("0/lock") is None


def test_who_could_not_renew_its_lock_writes_no_state(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_RENEW_SECONDS", 60.0)
    monkeypatch.setattr(places, "_STALE_SECONDS", 1.0)
    place, other = ObjectPlace(folder, {}), ObjectPlace(folder, {})
    with locked(place):
        place.write("0/state.json", "mine")
        with locked(other):
            other.write("0/state.json", "theirs")
            with pytest.raises(
                TransientError, match=r"0/state.json' is not written: the roll-out's lock was not renewed"
            ):
                place.write("0/state.json", "mine again")
            with pytest.raises(TransientError, match="/7' is not removed: the roll-out's lock was not renewed"):
                place.drop(7)
    assert place.read("0/state.json") == "theirs"
    place.write("0/state.json", "later")
