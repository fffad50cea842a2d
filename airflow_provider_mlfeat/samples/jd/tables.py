"""A population as the six tables of the purchase-intention pipeline."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.actions import Actions, make_actions
from airflow_provider_mlfeat.samples.jd.comments import Comments, make_comments
from airflow_provider_mlfeat.samples.jd.labels import label_scores, make_labels
from airflow_provider_mlfeat.samples.jd.people import People, make_people
from airflow_provider_mlfeat.samples.jd.skeleton import Skeleton, make_skeleton

# Populations differ in their numbers, so that many of them are one large data set.
_USER_STEP, _SKU_STEP, _MAIN_STEP = 110_000, 171_300, 5_440_000
_MOMENT = pa.timestamp("us")


def population(seed: int, number: int, share: float = 1.0) -> dict[str, pa.Table]:
    """The tables of the population `number`, or of a share of its users with all that belongs to them."""
    random = np.random.default_rng([seed, number])
    skeleton = make_skeleton(random)
    actions = make_actions(random, skeleton)
    comments = make_comments(random, skeleton)
    people = make_people(random)
    labels = make_labels(random, label_scores(skeleton, actions, comments))
    users = np.zeros(figures.USERS, dtype=bool)
    users[random.permutation(figures.USERS)[: max(round(share * figures.USERS), 1)]] = True
    return _Writer(random, skeleton, number, users).tables(actions, comments, people, labels)


class _Writer:
    """Positions become the texts and moments of the tables."""

    def __init__(self, random: np.random.Generator, skeleton: Skeleton, number: int, users: np.ndarray) -> None:
        self.random = random
        self.skeleton = skeleton
        self.number = number
        self.users = users
        self.pairs = users[skeleton.pair_users]
        self.skus = np.zeros(figures.SKUS, dtype=bool)
        self.skus[skeleton.pair_skus[self.pairs]] = True
        self.user_texts = _text(skeleton.user_ids + number * _USER_STEP)
        self.sku_texts = _text(skeleton.goods.identifiers + number * _SKU_STEP)
        self.pair_texts = pc.binary_join_element_wise(
            self.user_texts.take(pa.array(skeleton.pair_users)), self.sku_texts.take(pa.array(skeleton.pair_skus)), "_"
        )

    def tables(self, actions: Actions, comments: Comments, people: People, labels: np.ndarray) -> dict[str, pa.Table]:
        requests = self._requests()
        rows = self._request_rows
        return {
            "flattenRequest_clean": requests,
            "action": pa.table(
                {
                    "reqId": requests["reqId"],
                    "eventTime": requests["eventTime"],
                    "ingestionTime": requests["eventTime"],
                    "actionValue": pa.array(labels[rows], pa.int32()),
                }
            ),
            "bo_user": self._people(people),
            "bo_action": self._actions(actions),
            "bo_product": self._products(),
            "bo_comment": self._comments(comments),
        }

    def _shuffled(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.random.permutation(rows))

    def _requests(self) -> pa.Table:
        main_ids = self.random.choice(np.arange(156, 5_439_144), figures.REQUESTS, replace=False)
        rows = self._shuffled(np.flatnonzero(self.pairs[self.skeleton.request_pairs]))
        self._request_rows = rows
        pairs, times = self.skeleton.request_pairs[rows], self.skeleton.request_times[rows]
        pair_texts = self.pair_texts.take(pa.array(pairs))
        local = pc.strftime(pa.array(times + figures.LOCAL_OFFSET, pa.timestamp("ms")).cast(pa.timestamp("s")))
        local = pc.replace_substring(local, "T", " ")
        return pa.table(
            {
                "reqId": pc.binary_join_element_wise(pair_texts, local, "_"),
                "eventTime": _moments(times),
                "main_id": _text(main_ids[rows] + self.number * _MAIN_STEP),
                "pair_id": pair_texts,
                "user_id": self.user_texts.take(pa.array(self.skeleton.pair_users[pairs])),
                "sku_id": self.sku_texts.take(pa.array(self.skeleton.pair_skus[pairs])),
                "time": pa.array(times, pa.int64()),
                "split_id": pa.array(np.where(times < figures.LABELLED_UNTIL, 1, 2), pa.int32()),
                "time1": local,
            }
        )

    def _people(self, people: People) -> pa.Table:
        rows = self._shuffled(np.flatnonzero(self.users))
        at = pa.array(rows)
        return pa.table(
            {
                "ingestionTime": _moments(people.registrations[rows]),
                "user_id": self.user_texts.take(at),
                "age": pa.array(people.ages).take(at),
                "sex": pa.array(people.sexes).take(at),
                "user_lv_cd": pa.array(people.levels).take(at),
                "user_reg_tm": pa.array(people.registrations[rows], pa.int64()),
            }
        )

    def _actions(self, actions: Actions) -> pa.Table:
        rows = np.flatnonzero(self.pairs[actions.pairs])
        skus = self.skeleton.pair_skus[actions.pairs[rows]]
        return pa.table(
            {
                "ingestionTime": _moments(actions.times[rows]),
                "pair_id": self.pair_texts.take(pa.array(actions.pairs[rows])),
                "time": pa.array(actions.times[rows], pa.int64()),
                "model_id": pa.array(actions.models[rows]),
                "type": pa.array(actions.types[rows]),
                "cate": _text(self.skeleton.goods.categories[skus]),
                "br": _text(self.skeleton.goods.brands[skus]),
            }
        )

    def _products(self) -> pa.Table:
        described = self.skeleton.goods.categories == figures.DESCRIBED_CATEGORY
        rows = self._shuffled(np.flatnonzero(described & self.skus))
        kinds = list(figures.ATTRIBUTES)
        dealt = self.random.permutation(np.repeat(np.arange(len(kinds)), list(figures.ATTRIBUTES.values())))
        attributes = [kinds[kind] for kind in dealt[: rows.size]]
        return pa.table(
            {
                "ingestionTime": _moments(np.full(rows.size, figures.PRODUCTS_INGESTED)),
                "sku_id": self.sku_texts.take(pa.array(rows)),
                "a1": pa.array([first for first, _, _ in attributes], pa.string()),
                "a2": pa.array([second for _, second, _ in attributes], pa.string()),
                "a3": pa.array([third for _, _, third in attributes], pa.string()),
                "cate": _text(self.skeleton.goods.categories[rows]),
                "br": _text(self.skeleton.goods.brands[rows]),
            }
        )

    def _comments(self, comments: Comments) -> pa.Table:
        kept = np.flatnonzero(self.skus[comments.skus])
        cells = self._shuffled(np.arange(kept.size * figures.WEEKS))
        rows, weeks = kept[cells // figures.WEEKS], cells % figures.WEEKS
        times = figures.FIRST_COMMENTS + weeks * 7 * figures.DAY
        rates = comments.rates[rows, weeks]
        return pa.table(
            {
                "ingestionTime": _moments(times),
                "dt": pa.array(times, pa.int64()),
                "sku_id": self.sku_texts.take(pa.array(comments.skus[rows])),
                "comment_num": pa.array(comments.levels[rows, weeks], pa.int32()),
                "has_bad_comment": pa.array(np.where(rates > 0, "1", "0")),
                "bad_comment_rate": pa.array(rates, pa.float32()),
            }
        )


def _text(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers, pa.int64()).cast(pa.string())


def _moments(milliseconds: np.ndarray) -> pa.Array:
    return pa.array(milliseconds.astype(np.int64), pa.timestamp("ms")).cast(_MOMENT)
