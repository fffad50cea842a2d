"""The documents of a Redis store: one hash, changed when nobody else did so meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.online.documents import Documents, Draft, Result
from airflow_provider_mlfeat.online.opening import StoreAddress
from airflow_provider_mlfeat.online.redis.client import redis_errors

REVISION = "!revision"
# How old the revision may be that nobody has heard of since.
_FRESH_SECONDS = 0.5
_TRIES = 100


class RedisDocuments(Documents):
    """Documents in a hash.

    :param client: of the Redis.
    :param address: where it is, for messages.
    :param key: the hash.
    """

    def __init__(self, client: Any, address: StoreAddress, key: bytes) -> None:
        self._client, self._address, self.key = client, address, key
        self._revision, self._heard = -1, float("-inf")

    def revision(self) -> int:
        """See ``Documents``; every answer of the store brings the newest one along."""
        if time.monotonic() - self._heard > _FRESH_SECONDS:
            with redis_errors(self._address):
                self.hear(self._client.hget(self.key, REVISION))
        return self._revision

    def hear(self, revision: bytes | None) -> None:
        """Take note of the revision that an answer brought."""
        self._revision, self._heard = int(revision or 0), time.monotonic()

    def read(self) -> Draft:
        """See ``Documents``."""
        with redis_errors(self._address):
            return self._draft(self._client.hgetall(self.key))

    def change(self, edit: Callable[[Draft], Result]) -> Result:
        """See ``Documents``."""
        from redis.exceptions import WatchError

        for _ in range(_TRIES):
            with redis_errors(self._address), self._client.pipeline(transaction=True) as pipeline:
                pipeline.watch(self.key)
                draft = self._draft(pipeline.hgetall(self.key))
                result = edit(draft)
                if not draft.written:
                    return result
                pipeline.multi()
                for name, document in draft.written.items():
                    if document is None:
                        pipeline.hdel(self.key, name)
                    else:
                        pipeline.hset(self.key, name, json.dumps(document, sort_keys=True, separators=(",", ":")))
                pipeline.hincrby(self.key, REVISION, 1)
                try:
                    self.hear(pipeline.execute()[-1])
                    return result
                except WatchError:
                    continue
        raise TransientError("the documents of the online store change too fast to change them")

    def _draft(self, found: dict[bytes, bytes]) -> Draft:
        self.hear(found.pop(REVISION.encode(), None))
        return Draft({name.decode(): json.loads(text) for name, text in found.items()})
