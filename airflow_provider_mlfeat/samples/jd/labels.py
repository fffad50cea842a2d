"""What came of each request: a planted signal, from what was known at its moment, so that learning can be judged."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.actions import Actions
from airflow_provider_mlfeat.samples.jd.comments import Comments
from airflow_provider_mlfeat.samples.jd.skeleton import Skeleton

_INTENT = ("2", "5")  # put into the cart, followed
# Chosen so that one to two requests of a hundred end well.
_INTERCEPT = -6.6


def label_scores(skeleton: Skeleton, actions: Actions, comments: Comments) -> np.ndarray:
    """The logit of each request; its probability is what a perfect model would say."""
    pairs, times = skeleton.request_pairs, skeleton.request_times
    first_intent = np.full(figures.PAIRS, np.iinfo(np.int64).max)
    intent = np.isin(actions.types, _INTENT)
    np.minimum.at(first_intent, actions.pairs[intent], actions.times[intent])
    position = np.arange(pairs.size)
    begins = np.concatenate([[True], pairs[1:] != pairs[:-1]])
    earlier = position - np.maximum.accumulate(np.where(begins, position, 0))
    skus = skeleton.pair_skus[pairs]
    return np.asarray(
        _INTERCEPT
        + 2.2 * (first_intent[pairs] <= times)
        + 0.8 * np.minimum(earlier, 4)
        + 0.55 * (comments.level_at(skus, times) - 3.0)
        + 1.1 * (skeleton.goods.categories[skus] == figures.DESCRIBED_CATEGORY)
    )


def make_labels(random: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """0 or 1 per request."""
    return np.asarray(random.random(scores.size) < 1 / (1 + np.exp(-scores)), dtype=np.int32)
