"""Clicks on advertisements in the shape of the TalkingData sample: few good ones, busy addresses, and attacks.

Addresses are independent of each other, so a large set is many blocks of them, made one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLOCK = 100_000
_ADDRESSES = BLOCK // 5
_FIRST = 1_509_984_000_000  # 2017-11-06T16:00Z: three whole days of the advertisers' calendar follow
_DAYS = 3
_DAY_SECONDS = 86_400
_ATTACK_SHARE = 0.04
_FAVOURITES = 3
_FOLLOW_SHARE, _FOLLOW_SECONDS = 0.35, 240.0

_APPS = {
    3: 0.180, 12: 0.133, 2: 0.122, 9: 0.091, 15: 0.086, 18: 0.080, 14: 0.055, 19: 0.020, 35: 0.012, 29: 0.012,
    10: 0.012, 72: 0.010,
}  # fmt: skip
_DEVICES = {1: 0.9375, 2: 0.047, 0: 0.0105, 3032: 0.005}
_SYSTEMS = {19: 0.243, 13: 0.211, 17: 0.053}
# Clicks per hour of UTC.
_HOURS = (
    546, 524, 503, 527, 582, 574, 524, 474, 483, 523, 510, 538, 528, 528, 570, 542, 357, 215, 118, 86, 68, 76, 198, 406,
)  # fmt: skip
# What makes a click good: an app that is looked for, no device, a busy hour; and what does not: a busy address.
_GOOD_APPS = (19, 35, 29, 10, 72)
_INTERCEPT = -6.1
_CHANNELS = 135


@dataclass(frozen=True, slots=True)
class _Clicks:
    """Columns of clicks, by address and then time.

    :param ip: the address.
    :param app: what was advertised.
    :param device: from which device.
    :param os: from which operating system.
    :param channel: by which publisher.
    :param seconds: when, since 1970.
    :param attack: whether a machine clicked.
    """

    ip: np.ndarray
    app: np.ndarray
    device: np.ndarray
    os: np.ndarray
    channel: np.ndarray
    seconds: np.ndarray
    attack: np.ndarray


def block(seed: int, number: int, rows: int = BLOCK) -> pa.Table:
    """The block `number` of clicks, in random order; `rows` takes fewer of them."""
    random = np.random.default_rng([seed, number, 1])
    clicks = _clicks(random, number)
    labels = random.random(clicks.ip.size) < 1 / (1 + np.exp(-scores(clicks)))
    order = random.permutation(clicks.ip.size)[:rows]
    moments = pc.strftime(pa.array(clicks.seconds[order], pa.timestamp("s")), format="%Y-%m-%d %H:%M:%S")
    columns = {name: pa.array(getattr(clicks, name)[order], pa.int32()) for name in ("ip", "app", "device", "os")}
    return pa.table(
        {
            **columns,
            "channel": pa.array(clicks.channel[order], pa.int32()),
            "click_time": moments,
            "is_attributed": pa.array(labels[order].astype(np.int32)),
        }
    )


def _clicks(random: np.random.Generator, number: int) -> _Clicks:
    popularity = random.lognormal(0, 1.6, _ADDRESSES)
    people = round(BLOCK * (1 - _ATTACK_SHARE))
    address = np.sort(random.choice(_ADDRESSES, people, p=popularity / popularity.sum()))
    seconds = _moments(random, people)
    follows = (random.random(people) < _FOLLOW_SHARE) & np.concatenate([[False], address[1:] == address[:-1]])
    seconds = _follow(seconds, follows, np.ceil(random.exponential(_FOLLOW_SECONDS, people)).astype(np.int64))
    apps, shares = _long_tail(_APPS, 71)
    favourites = random.choice(apps, (_ADDRESSES, _FAVOURITES), p=shares)
    app = np.where(
        random.random(people) < 0.6,
        favourites[address, random.integers(0, _FAVOURITES, people)],
        random.choice(apps, people, p=shares),
    )
    attack_address, attack_seconds, attack_app = _attacks(random, BLOCK - people, apps)
    address = np.concatenate([address, attack_address])
    seconds = np.concatenate([seconds, attack_seconds])
    app = np.concatenate([app, attack_app])
    attack = np.arange(BLOCK) >= people
    order = np.lexsort((seconds, address))
    address, seconds, app, attack = address[order], seconds[order], app[order], attack[order]
    keep = _alone(address, seconds)
    address, seconds, app, attack = address[keep], seconds[keep], app[keep], attack[keep]
    devices, device_shares = _long_tail(_DEVICES, len(_DEVICES))
    systems, system_shares = _long_tail(_SYSTEMS, 82)
    return _Clicks(
        ip=address + 1 + number * _ADDRESSES,
        app=app,
        device=np.where(attack, 1, random.choice(devices, app.size, p=device_shares)),
        os=np.where(attack, 13, random.choice(systems, app.size, p=system_shares)),
        channel=(app * 37 + np.minimum(random.poisson(3, app.size), 9) * 11) % _CHANNELS + 100,
        seconds=seconds,
        attack=attack,
    )


def _long_tail(shares: dict[int, float], kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """The given values with their shares, and more values that share the rest."""
    others = np.setdiff1d(np.arange(1, 3 * kinds), list(shares))[: max(kinds - len(shares), 0)]
    tail = 1.0 / np.arange(1, others.size + 1)
    rest = 1 - sum(shares.values())
    values = np.concatenate([list(shares), others]).astype(np.int64)
    weights = np.concatenate([list(shares.values()), tail / tail.sum() * rest]) if others.size else [*shares.values()]
    weights = np.asarray(weights, dtype=float)
    return values, weights / weights.sum()


def _moments(random: np.random.Generator, count: int) -> np.ndarray:
    hours = np.array(_HOURS, dtype=float)
    hour = random.choice(24, count, p=hours / hours.sum())
    second = random.integers(0, _DAYS, count) * _DAY_SECONDS + hour * 3600 + random.integers(0, 3600, count)
    # The hours are UTC's, the first day begins at 16:00.
    start = _FIRST // 1000
    return np.asarray(start + (second - 16 * 3600) % (_DAYS * _DAY_SECONDS))


def _follow(seconds: np.ndarray, follows: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """A click that follows comes shortly after the one before it, which may itself follow."""
    position = np.arange(seconds.size)
    leader = np.maximum.accumulate(np.where(follows, 0, position))
    walked = np.cumsum(np.where(follows, gaps, 0))
    moved = seconds[leader] + walked - walked[leader]
    end = _FIRST // 1000 + _DAYS * _DAY_SECONDS
    return np.where(moved < end, moved, seconds)


def _attacks(random: np.random.Generator, count: int, apps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Machines that click on one app, second after second, for some minutes."""
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(min(int(random.integers(100, 600)), count - sum(sizes)))
    address = np.repeat(random.choice(_ADDRESSES, len(sizes), replace=False), sizes)
    begin = np.repeat(_moments(random, len(sizes)), sizes)
    steps = np.concatenate([np.cumsum(random.integers(1, 4, size)) for size in sizes])
    end = _FIRST // 1000 + _DAYS * _DAY_SECONDS
    return address, np.minimum(begin + steps, end - 1), np.repeat(random.choice(apps, len(sizes)), sizes)


def _alone(address: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Of the clicks of one address in one second, the first."""
    first = np.ones(address.size, dtype=bool)
    first[1:] = (address[1:] != address[:-1]) | (seconds[1:] != seconds[:-1])
    return first


def scores(clicks: _Clicks) -> np.ndarray:
    """The logit of each click; clicks are ordered by address and time."""
    hour = np.searchsorted(_codes(clicks.ip, clicks.seconds), _codes(clicks.ip, clicks.seconds - 3600), side="left")
    in_hour = np.arange(clicks.ip.size) - hour + 1
    pair = clicks.ip.astype(np.int64) * 100_000 + clicks.app
    by_pair = np.argsort(pair, kind="stable")
    begins = np.concatenate([[True], pair[by_pair][1:] != pair[by_pair][:-1]])
    position = np.arange(pair.size)
    rank = np.empty(pair.size, dtype=np.int64)
    rank[by_pair] = position - np.maximum.accumulate(np.where(begins, position, 0)) + 1
    return np.asarray(
        _INTERCEPT
        + 2.4 * np.isin(clicks.app, _GOOD_APPS)
        + 1.6 * (clicks.device == 0)
        + 0.9 * np.minimum(np.log2(in_hour), 4)
        - 1.3 * np.minimum(np.log2(rank), 4)
        - 20.0 * clicks.attack
    )


def _codes(address: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    return np.asarray(address.astype(np.int64) * (1 << 34) + seconds)
