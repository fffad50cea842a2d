"""What is live: a record in the repository, for routers to read and for the next roll-out to build on."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_mlfeat.errors import UserError

FORMAT = 1
_HISTORY = 100
_BUCKETS = 1_000_000


@dataclass(frozen=True)
class Canary:
    """A version that answers for a share of the keys while it is judged.

    :param version: the version.
    :param share: the share of keys, 0 to 1.
    """

    version: int
    share: float


@dataclass(frozen=True)
class LiveState:
    """Which versions of a model serve.

    :param model: the model's name in Triton.
    :param live: the version that answers; None when none does.
    :param previous: the version to go back to.
    :param loaded: the versions that servers hold ready, the live one included.
    :param canary: a version under judgement.
    :param configuration: the complete configuration of the last load.
    :param history: what was done when, oldest first.
    """

    model: str
    live: int | None = None
    previous: int | None = None
    loaded: tuple[int, ...] = ()
    canary: Canary | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def version_for(self, key: str) -> int | None:
        """The version that answers for a key; the same key always gets the same one.

        :param key: what the request is about, such as a user's id.
        """
        if self.canary is not None and bucket_of(key, self.canary.version) < self.canary.share * _BUCKETS:
            return self.canary.version
        return self.live

    def changed(self, action: str, reason: str = "", **changes: Any) -> LiveState:
        """The state after a change, with the change in its history.

        :param action: what was done.
        :param reason: why.
        :param changes: fields that are different now.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        after = replace(self, **changes)
        entry = {"at": now, "action": action, "live": after.live, "loaded": list(after.loaded), "reason": reason}
        return replace(after, history=(*self.history, entry)[-_HISTORY:])

    def document(self) -> dict[str, Any]:
        """As it is written."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def parse(cls, document: Mapping[str, Any], place: str) -> LiveState:
        """The state of a document.

        :param document: what was written.
        :param place: where it lies, for the message.
        """
        if document.get("format") != FORMAT:
            raise UserError(f"{place} has the format {document.get('format')!r}; this release reads {FORMAT}")
        canary = document["canary"]
        return cls(
            model=document["model"],
            live=document["live"],
            previous=document["previous"],
            loaded=tuple(document["loaded"]),
            canary=None if canary is None else Canary(canary["version"], canary["share"]),
            configuration=dict(document["configuration"]),
            history=tuple(document["history"]),
        )


def bucket_of(key: str, version: int) -> int:
    """Where a key falls, 0 to 999999. Each version draws anew, so that no key is always the first to try.

    :param key: what the request is about.
    :param version: the version under judgement.
    """
    digest = hashlib.blake2b(f"{version}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % _BUCKETS
