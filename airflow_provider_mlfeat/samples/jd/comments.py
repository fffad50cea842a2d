"""What is said about goods: weekly states of how many reviews a SKU has and which share of them is bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.skeleton import Skeleton

# The most reviews of each level, and where a level begins.
_MOST = np.array([0, 1, 10, 50, 1 << 40])
_ENTER_LOW = np.array([0, 1, 2, 11, 51])
_ENTER_HIGH = np.array([0, 1, 4, 16, 70])
_START_HIGH = np.array([0, 1, 10, 50, 51])


@dataclass(frozen=True, slots=True)
class Comments:
    """States of the commented SKUs, one column per week.

    :param skus: position of each commented SKU.
    :param levels: 0 to 4: no, one, 2–10, 11–50, more reviews.
    :param rates: share of bad reviews, four decimals.
    """

    skus: np.ndarray
    levels: np.ndarray
    rates: np.ndarray

    def level_at(self, skus: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The level of each SKU as it was known at each moment; 0 where nothing was known."""
        rows = np.full(figures.SKUS, -1)
        rows[self.skus] = np.arange(self.skus.size)
        weeks = (times - figures.FIRST_COMMENTS) // (7 * figures.DAY)
        known = (rows[skus] >= 0) & (weeks >= 0)
        found = self.levels[rows[skus], np.clip(weeks, 0, figures.WEEKS - 1)]
        return np.where(known, found, 0)


def make_comments(random: np.random.Generator, skeleton: Skeleton) -> Comments:
    """Ten weekly states of each commented SKU."""
    skus = _commented(random, skeleton)
    levels = _levels(random, skus.size)
    _plant_levels(levels, skus, skeleton)
    reviews = np.zeros((skus.size, figures.WEEKS), dtype=np.int64)
    bad = np.zeros_like(reviews)
    shares = np.minimum(random.lognormal(-3.45, 0.45, skus.size), 1.0)
    reviews[:, 0] = np.where(
        levels[:, 0] == 4,
        51 + random.lognormal(5.2, 1.1, skus.size).astype(np.int64),
        random.integers(_ENTER_LOW[levels[:, 0]], _START_HIGH[levels[:, 0]] + 1),
    )
    bad[:, 0] = random.binomial(reviews[:, 0], shares)
    for week in range(1, figures.WEEKS):
        before, level = reviews[:, week - 1], levels[:, week]
        growth = random.poisson(np.where(level == 4, 0.02, 0.04) * before)
        grown = np.minimum(before + np.where(level >= 2, growth, 0), _MOST[level])
        entered = random.integers(_ENTER_LOW[level], _ENTER_HIGH[level] + 1)
        reviews[:, week] = np.where(level > levels[:, week - 1], np.maximum(entered, before), grown)
        bad[:, week] = bad[:, week - 1] + random.binomial(reviews[:, week] - before, shares)
    rates = np.round(bad / np.maximum(reviews, 1), 4).astype(np.float32)
    return Comments(skus, levels, rates)


def _commented(random: np.random.Generator, skeleton: Skeleton) -> np.ndarray:
    described = np.flatnonzero(skeleton.goods.categories == figures.DESCRIBED_CATEGORY)
    others = np.flatnonzero(skeleton.goods.categories != figures.DESCRIBED_CATEGORY)
    return np.concatenate(
        [
            random.choice(described, figures.COMMENTED_DESCRIBED, replace=False),
            random.choice(others, figures.COMMENTED_OTHER, replace=False),
        ]
    )


def _levels(random: np.random.Generator, count: int) -> np.ndarray:
    levels = np.zeros((count, figures.WEEKS), dtype=np.int64)
    levels[:, 0] = random.choice(5, count, p=figures.FIRST_LEVELS)
    steps = np.cumsum(figures.LEVEL_STEPS, axis=1)
    for week in range(1, figures.WEEKS):
        drawn = random.random(count)[:, None]
        levels[:, week] = np.minimum((drawn > steps[levels[:, week - 1]]).sum(axis=1), 4)
    return levels


def _plant_levels(levels: np.ndarray, skus: np.ndarray, skeleton: Skeleton) -> None:
    """Two SKUs that somebody asks for in weeks five to nine rise through four and three levels before that."""
    weeks = (skeleton.request_times - figures.FIRST_COMMENTS) // (7 * figures.DAY)
    asked = np.unique(skeleton.pair_skus[skeleton.request_pairs[(weeks >= 5) & (weeks < 9)]])
    rising, slower = np.flatnonzero(np.isin(skus, asked))[:2]
    levels[rising] = np.minimum(np.arange(figures.WEEKS) + 1, 4)
    levels[slower] = np.minimum(np.arange(figures.WEEKS) + 2, 4)
