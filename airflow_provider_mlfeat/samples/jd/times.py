"""When requests happen: the first of each pair by the days' and hours' habits, the next ones a day or more later."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures

# How many chains are drawn for a pair before the one that ends first is pressed into the time that there is.
_DRAWS = 400
# Chains that would pass the end are drawn again, which thins the last days out.
_LAST_DAYS = 1.6
_COPIES = figures.REQUESTS - figures.DISTINCT_TIMES


def request_times(
    random: np.random.Generator, requests: np.ndarray, users: np.ndarray, skus: np.ndarray, crowded: np.ndarray
) -> np.ndarray:
    """Moments of all requests, pair by pair, ascending within a pair.

    `requests` counts per pair; the pairs `crowded` are asked for first within a few days of each other.
    """
    times = _chains(random, requests)
    starts = np.cumsum(requests) - requests
    for number, pair in enumerate(crowded):
        # Four pairs of one user inside two weeks, early enough for the rest of each chain to fit as it is.
        chain = slice(starts[pair], starts[pair] + requests[pair])
        begin = figures.FIRST_DAY + (20 + 2 * number) * figures.DAY + 9 * figures.HOUR
        times[chain] += begin - times[chain][0]
        if times[chain][-1] >= figures.END:
            times[chain] = begin + np.arange(requests[pair]) * (figures.DAY + figures.HOUR)
    pairs = np.repeat(np.arange(requests.size), requests)
    return _share_moments(random, _make_unique(times), users[pairs], skus[pairs], pairs)


def _chains(random: np.random.Generator, requests: np.ndarray) -> np.ndarray:
    """A chain of moments per pair, all before the end."""
    pending = np.arange(requests.size)
    moments: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * requests.size
    for count in np.unique(requests):
        waiting = pending[requests == count]
        earliest = np.full((requests.size, count), np.iinfo(np.int64).max)
        for _ in range(_DRAWS):
            drawn = _draw(random, waiting.size, int(count))
            better = drawn[:, -1] < earliest[waiting, -1]
            earliest[waiting[better]] = drawn[better]
            fits = drawn[:, -1] < figures.END
            for pair, chain in zip(waiting[fits], drawn[fits], strict=True):
                moments[pair] = chain
            waiting = waiting[~fits]
            if waiting.size == 0:
                break
        for pair in waiting:
            moments[pair] = _press(earliest[pair])
    return np.concatenate(moments)


def _draw(random: np.random.Generator, pairs: int, count: int) -> np.ndarray:
    weights = np.array(figures.FIRST_REQUESTS, dtype=float)
    weights[-5:] *= _LAST_DAYS
    day = random.choice(weights.size, pairs, p=weights / weights.sum())
    hours = np.array(figures.HOURS, dtype=float)
    hour = random.choice(24, pairs, p=hours / hours.sum())
    second = random.integers(0, 3600, pairs)
    first = figures.FIRST_DAY + day * figures.DAY + hour * figures.HOUR + second * figures.SECOND
    gaps = random.lognormal(4.5, 1.25, (pairs, count - 1)) * (0.35 if count > 6 else 1.0)
    seconds = 24 * 3600 + 60 + np.floor(gaps * 3600).astype(np.int64)
    later = np.cumsum(seconds, axis=1) * figures.SECOND
    return np.concatenate([first[:, None], first[:, None] + later], axis=1)


def _press(chain: np.ndarray) -> np.ndarray:
    """The chain with its first request on an early day and its gaps shortened to a day and a share of the rest."""
    least = figures.DAY + figures.SECOND * 60
    start = figures.FIRST_DAY + figures.DAY + (chain[0] - figures.FIRST_DAY) % figures.DAY
    spare = np.diff(chain) - least
    room = figures.END - figures.HOUR - start - least * spare.size
    share = min(1.0, room / max(int(spare.sum()), 1))
    gaps = least + (spare * share).astype(np.int64) // figures.SECOND * figures.SECOND
    return np.concatenate([[start], start + np.cumsum(gaps)])


def _make_unique(times: np.ndarray) -> np.ndarray:
    """No moment twice: later ones of equal moments move on by a second until they are alone."""
    order = np.argsort(times, kind="stable")
    seconds = times[order] // figures.SECOND
    # The least sequence that grows by at least one per step and never lies below the given one.
    steps = np.arange(seconds.size)
    moved = np.maximum.accumulate(seconds - steps) + steps
    unique = np.empty_like(times)
    unique[order] = moved * figures.SECOND
    return unique


def _share_moments(
    random: np.random.Generator, times: np.ndarray, users: np.ndarray, skus: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    """A few requests take the moment of the next one, which belongs to another user, SKU and pair."""
    times = times.copy()
    order = np.argsort(times, kind="stable")
    taken: set[int] = set()
    copies = 0
    for place in random.permutation(order.size - 1):
        this, following = int(order[place]), int(order[place + 1])
        chain_ends = this + 1 >= times.size or pairs[this + 1] != pairs[this]
        alone = users[this] != users[following] and skus[this] != skus[following]
        # Only the last request of a chain moves, so that the day between requests of a pair stays.
        if alone and chain_ends and times[following] < figures.END and not {this, following} & taken:
            times[this] = times[following]
            taken |= {this, following}
            copies += 1
            if copies == _COPIES:
                break
    return times
