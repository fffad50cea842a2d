"""Who asks about what, and when: users, goods, pairs of both, and the requests of each pair.

Counts are exact by construction (see `figures`): histograms are dealt out, not drawn from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.times import request_times

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Goods:
    """What is sold, one entry per SKU.

    :param identifiers: the SKU's number.
    :param categories: its category.
    :param brands: its brand.
    """

    identifiers: np.ndarray
    categories: np.ndarray
    brands: np.ndarray


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Users, goods, pairs and requests as positions into one another.

    :param user_ids: the number of each user.
    :param goods: the SKUs.
    :param pair_users: position of each pair's user.
    :param pair_skus: position of each pair's SKU.
    :param request_pairs: position of each request's pair; the requests of a pair follow one another in time.
    :param request_times: moment of each request, in milliseconds UTC.
    """

    user_ids: np.ndarray
    goods: Goods
    pair_users: np.ndarray
    pair_skus: np.ndarray
    request_pairs: np.ndarray
    request_times: np.ndarray


def dealt(random: np.random.Generator, counts: Mapping[Item, int]) -> list[Item]:
    """Each item as often as it is counted, in random order."""
    items = list(counts)
    order = random.permutation(np.repeat(np.arange(len(items)), list(counts.values())))
    return [items[position] for position in order]


def make_skeleton(random: np.random.Generator) -> Skeleton:
    """Draw one population of the sample's size."""
    goods = _goods(random)
    users = np.repeat(np.arange(figures.USERS), dealt(random, figures.PAIRS_PER_USER))
    # A user's pairs lie side by side; their SKUs come in random order.
    skus = _distinct_per_user(random, users, _pair_skus(random, goods))
    requests = np.array(dealt(random, figures.REQUESTS_PER_PAIR))
    requests = _plant_loyal_pair(requests, users)
    most = max(figures.PAIRS_PER_USER)
    crowded = np.flatnonzero(_rows_per_user(users) == most)[:most]
    times = request_times(random, requests, users, skus, crowded)
    return Skeleton(
        user_ids=np.sort(random.choice(np.arange(200_008, 305_318), figures.USERS, replace=False)),
        goods=goods,
        pair_users=users,
        pair_skus=skus,
        request_pairs=np.repeat(np.arange(users.size), requests),
        request_times=times,
    )


def _rows_per_user(users: np.ndarray) -> np.ndarray:
    return np.asarray(np.bincount(users)[users])


def _plant_loyal_pair(requests: np.ndarray, users: np.ndarray) -> np.ndarray:
    """The pair with most requests goes to a user who has no other: its windows then hold that pair alone."""
    requests = requests.copy()
    most = int(requests.argmax())
    if _rows_per_user(users)[most] > 1:
        alone = int(np.flatnonzero(_rows_per_user(users) == 1)[0])
        requests[[most, alone]] = requests[[alone, most]]
    return requests


def _goods(random: np.random.Generator) -> Goods:
    categories = np.repeat(list(figures.CATEGORIES), [count for count, _, _ in figures.CATEGORIES.values()])
    brands = np.zeros(figures.SKUS, dtype=np.int64)
    pool = _brand_pool(random)
    unused = list(pool[len(figures.DESCRIBED_BRANDS) :])
    for category, (count, kinds, _) in figures.CATEGORIES.items():
        if category == figures.DESCRIBED_CATEGORY:
            chosen = np.array(dealt(random, figures.DESCRIBED_BRANDS))
        else:
            fresh, unused = unused[:kinds], unused[kinds:]
            known = np.setdiff1d(pool, fresh)
            own = np.concatenate([fresh, random.choice(known, kinds - len(fresh), replace=False)]).astype(np.int64)
            weights = np.arange(1, kinds + 1) ** -1.3
            rest = random.choice(random.permutation(own), count - kinds, p=weights / weights.sum())
            chosen = np.concatenate([own, rest])
        brands[categories == category] = random.permutation(chosen)
    identifiers = np.sort(random.choice(np.arange(40, 171_226), figures.SKUS, replace=False))
    return Goods(random.permutation(identifiers), categories, brands)


def _brand_pool(random: np.random.Generator) -> np.ndarray:
    """All brands, those of the described goods first."""
    described = np.array(list(figures.DESCRIBED_BRANDS))
    others = np.setdiff1d(np.arange(1, 1000), described)
    return np.concatenate([described, random.choice(others, figures.BRANDS - described.size, replace=False)])


def _sku_weights(random: np.random.Generator, goods: Goods) -> np.ndarray:
    """How popular each SKU is: its category's share, spread over the ranks within it."""
    weights = np.zeros(figures.SKUS)
    for category, (count, _, share) in figures.CATEGORIES.items():
        ranks = random.permutation(count) + 1
        popularity = (ranks + 3.0) ** -0.8
        weights[goods.categories == category] = share * popularity / popularity.sum()
    return np.asarray(weights / weights.sum())


def _pair_skus(random: np.random.Generator, goods: Goods) -> np.ndarray:
    """One pair per SKU, and the rest by popularity, in random order."""
    rest = random.choice(figures.SKUS, figures.PAIRS - figures.SKUS, p=_sku_weights(random, goods))
    return np.asarray(random.permutation(np.concatenate([np.arange(figures.SKUS), rest])))


def _distinct_per_user(random: np.random.Generator, users: np.ndarray, skus: np.ndarray) -> np.ndarray:
    """The same SKUs, exchanged between users until nobody has one twice; no SKU gets lost by an exchange."""
    skus = skus.copy()
    while True:
        codes = users * figures.SKUS + skus
        _, first = np.unique(codes, return_index=True)
        repeated = np.setdiff1d(np.arange(users.size), first)
        if repeated.size == 0:
            return skus
        for position in repeated:
            other = int(random.integers(users.size))
            skus[[position, other]] = skus[[other, position]]
