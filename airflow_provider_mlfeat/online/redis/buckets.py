"""Partial aggregates of buckets of time, beside the sorted set that holds the rows of a key.

A second sorted set has a member per *settled* bucket: its number, then the patterns of the parts, then a byte per part
that says whether there is a value. A hash has the other buckets that have rows, each with a token that changes with
every write. Whoever adds a row unsettles its bucket in the same step. Settling reads the rows and writes what they come
to, unless the token has changed meanwhile; a writer that dies before that leaves a bucket whose rows are read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.partials import Partials, Summary
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.online.redis.packing import Packing
from airflow_provider_mlfeat.online.series import Buckets
from airflow_provider_mlfeat.sql.plan import FrameCall, Schema, expression_of_text

# Scores are doubles: above this two order values may have the same.
EXACT = 1 << 53
_NUMBER_BYTES = 8
_SETTLED_AT_ONCE = 100

# Rows whose scores are not exact are in no bucket: who asks for such times reads all rows.
# Add rows: the span of a bucket, a token, then score and member of each row.
_PUT = """
local span, seen = tonumber(ARGV[1]), {}
for place = 3, #ARGV, 2 do
  local score = tonumber(ARGV[place])
  redis.call('ZADD', KEYS[1], ARGV[place], ARGV[place + 1])
  if score < 2^53 then seen[(score - math.fmod(score, span)) / span] = true end
end
for bucket in pairs(seen) do
  redis.call('ZREMRANGEBYSCORE', KEYS[2], bucket, bucket)
  redis.call('HSET', KEYS[3], bucket, ARGV[2])
end
"""
# Take away rows again that there are: the span of a bucket, a token, then score and member of each.
_TAKE = """
local span = tonumber(ARGV[1])
for place = 3, #ARGV, 2 do
  local score = tonumber(ARGV[place])
  if redis.call('ZREM', KEYS[1], ARGV[place + 1]) == 1 and score < 2^53 then
    local bucket = (score - math.fmod(score, span)) / span
    redis.call('ZREMRANGEBYSCORE', KEYS[2], bucket, bucket)
    redis.call('HSET', KEYS[3], bucket, ARGV[2])
  end
end
"""
# Take away the rows before a score, the buckets before the one that it lies in, and what that one came to.
_TRIM = """
local bound, span = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1]) == 0 then return end
local cut = (bound - math.fmod(bound, span)) / span
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', cut)
if bound < 2^53 then redis.call('HSET', KEYS[3], cut, ARGV[3]) end
for _, bucket in ipairs(redis.call('HKEYS', KEYS[3])) do
  if tonumber(bucket) < cut then redis.call('HDEL', KEYS[3], bucket) end
end
"""
# Write what a bucket came to, if it still is what it was: its number, the token, and the member.
_SETTLE = """
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], ARGV[1], ARGV[3]) end
"""
# What there is from a first to a last score: settled buckets that lie in between, and the rows beside them in order.
_READ = """
local first, last, span = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local low = first + math.fmod(span - math.fmod(first, span), span)
local high = last + 1 - math.fmod(last + 1, span)
local rows = {}
local function add(from, to)
  if from <= to then rows[#rows + 1] = redis.call('ZRANGEBYSCORE', KEYS[1], from, to) end
end
if high <= low then
  add(first, last)
  return {{}, rows}
end
add(first, low - 1)
local unsettled = {}
for _, name in ipairs(redis.call('HKEYS', KEYS[3])) do
  local bucket = tonumber(name)
  if bucket * span >= low and bucket * span < high then unsettled[#unsettled + 1] = bucket end
end
table.sort(unsettled)
for _, bucket in ipairs(unsettled) do add(bucket * span, bucket * span + span - 1) end
add(high, last)
return {redis.call('ZRANGEBYSCORE', KEYS[2], low / span, high / span - 1), rows}
"""


def parts_of(buckets: Buckets) -> tuple[FrameCall, ...]:
    """The parts of buckets, in the order of their places."""
    return tuple(part for part in map(expression_of_text, buckets.parts) if isinstance(part, FrameCall))


def _keys(key: bytes) -> tuple[bytes, bytes, bytes]:
    """The rows, the settled buckets and the others of a key; what is in braces puts them in one place of a cluster."""
    return key, key + b"b", key + b"d"


def is_record_key(key: bytes) -> bool:
    """Whether a key is that of rows."""
    return key.endswith(b"}")


def put_rows(pipeline: Any, key: bytes, scores: Mapping[bytes, int], buckets: Buckets) -> None:
    """Have rows added, by member.

    :param pipeline: where the command goes.
    :param key: of the rows.
    :param scores: the score of each member.
    :param buckets: what the series keeps.
    """
    _change_rows(pipeline, _PUT, key, scores, buckets)


def take_rows(pipeline: Any, key: bytes, scores: Mapping[bytes, int], buckets: Buckets) -> None:
    """Have rows taken away again; see ``put_rows``."""
    _change_rows(pipeline, _TAKE, key, scores, buckets)


def _change_rows(pipeline: Any, script: str, key: bytes, scores: Mapping[bytes, int], buckets: Buckets) -> None:
    rows = [text for member, score in scores.items() for text in (score, member)]
    pipeline.execute_command("EVAL", script, 3, *_keys(key), buckets.span, secrets.token_bytes(8), *rows)


def trim_rows(pipeline: Any, key: bytes, bound: int, buckets: Buckets) -> None:
    """Have the rows before an order value taken away."""
    pipeline.execute_command("EVAL", _TRIM, 3, *_keys(key), bound, buckets.span, secrets.token_bytes(8))


def settle(client: Any, keys: Iterable[bytes], buckets: Buckets, schema: Schema, packing: Packing) -> None:
    """Write what the buckets of keys come to, but for the newest one and the one that rows were taken from.

    :param client: of the Redis.
    :param keys: of rows.
    :param buckets: what the series keeps.
    :param schema: the table's columns.
    :param packing: of the rows.
    """
    keys, span, summary = list(keys), buckets.span, Summary(parts_of(buckets), schema)
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(_keys(key)[2])
        pipeline.zrange(key, 0, 0, withscores=True)
        pipeline.zrevrange(key, 0, 0, withscores=True)
    found = iter(pipeline.execute())
    unsettled = []
    for key, tokens, oldest, newest in zip(keys, found, found, found, strict=True):
        if not newest:
            continue
        first, last = int(oldest[0][1]) // span, int(newest[0][1]) // span
        for name, token in tokens.items():
            if first < int(name) < last and (int(name) + 1) * span < EXACT:
                unsettled.append((key, int(name), token))
    for start in range(0, len(unsettled), _SETTLED_AT_ONCE):
        some = unsettled[start : start + _SETTLED_AT_ONCE]
        pipeline = client.pipeline(transaction=False)
        for key, bucket, _ in some:
            pipeline.zrangebyscore(key, bucket * span, bucket * span + span - 1)
        rows = pipeline.execute()
        pipeline = client.pipeline(transaction=False)
        for (key, bucket, token), members in zip(some, rows, strict=True):
            member = _member(bucket, members, summary, packing)
            pipeline.execute_command("EVAL", _SETTLE, 3, *_keys(key), bucket, token, member)
        pipeline.execute()


def _member(bucket: int, members: Sequence[bytes], summary: Summary, packing: Packing) -> bytes:
    """What the rows of a bucket come to; nothing where there are none."""
    if not members:
        return b""
    pool = StringPool()
    block = packing.block(members, pool, {b"": 0})
    found = summary.of(block.bits, block.kept, block.count, pool)
    return bucket.to_bytes(_NUMBER_BYTES, "big") + found.bits.astype("<i8").tobytes() + found.valid.tobytes()


def read_span(client: Any, key: bytes, first: int, last: int, span: int) -> tuple[list[bytes], list[bytes]]:
    """Settled buckets and rows whose order values are from `first` to `last`, of one moment → members of both.

    :param client: of the Redis.
    :param key: of the rows.
    :param first, last: below ``EXACT``.
    :param span: of a bucket.
    """
    settled, pieces = client.eval(_READ, 3, *_keys(key), first, last, span)
    return settled, [member for piece in pieces for member in piece]


def partials_of(members: Sequence[bytes], places: Sequence[int], parts: int) -> Partials:
    """The partial aggregates of settled buckets.

    :param members: the buckets.
    :param places: of the parts that are wanted.
    :param parts: how many there are.
    """
    layout = np.dtype([("bucket", ">u8"), ("bits", "<i8", (parts,)), ("valid", "u1", (parts,))])
    found = np.frombuffer(b"".join(members), layout)
    return Partials(found["bits"].T[list(places)].astype(np.int64), found["valid"].T[list(places)])
