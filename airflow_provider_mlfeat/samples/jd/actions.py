"""What people do: a burst of rows at the moment of each request, and the rest of the visit after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.skeleton import Skeleton

# Share of the bursts that the table of kinds does not list, by what they begin with.
_REST_HEADS = (("1;6:0", 0.75), ("1", 0.18), ("", 0.07))
Burst = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Actions:
    """Rows of the action table.

    :param pairs: position of each row's pair.
    :param times: its moment, in milliseconds UTC.
    :param types: 1 browse, 2 add to cart, 3 remove, 4 order, 5 follow, 6 click.
    :param models: what was clicked; empty for most rows that are no click.
    """

    pairs: np.ndarray
    times: np.ndarray
    types: np.ndarray
    models: np.ndarray


class _Bursts:
    """Draws what a page view leaves behind."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.kinds = [_parse(kind) for kind in figures.BURSTS]
        shares = np.array([*figures.BURSTS.values(), 100 - sum(figures.BURSTS.values())])
        self.shares = shares / shares.sum()
        self.models = np.array(list(figures.MODELS))
        # Flatter than the counts, which the listed kinds of bursts make up for the most part.
        weights = np.array(list(figures.MODELS.values()), dtype=float) ** 0.6
        self.model_shares = weights / weights.sum()
        self._pool: list[str] = []

    def draw(self, count: int) -> list[Burst]:
        picks = self.random.choice(self.shares.size, count, p=self.shares)
        return [self.kinds[pick] if pick < len(self.kinds) else self._rare() for pick in picks]

    def model(self) -> str:
        """A model id by its share; drawn a thousand at a time."""
        if not self._pool:
            self._pool = list(self.random.choice(self.models, 1000, p=self.model_shares))
        return self._pool.pop()

    def _rare(self) -> Burst:
        head = _REST_HEADS[self.random.choice(len(_REST_HEADS), p=[share for _, share in _REST_HEADS])][0]
        entries = list(_parse(head)) if head else []
        if head == "1;6:0":
            if self.random.random() < 0.6:
                entries += _parse("6:216;6:217")
            more = int(self.random.integers(1, 3))
        elif head == "1":
            more = 1
        else:
            more = 2 if self.random.random() < 0.4 else 1
        return (*entries, *(("6", self.model()) for _ in range(more)))

    def page(self) -> Burst:
        """A burst of two rows or more, later in a visit."""
        if self.random.random() < 0.6:
            while True:
                burst = self.draw(1)[0]
                if len(burst) > 1:
                    return burst
        head = _parse("1" if self.random.random() < 0.6 else "6:0")
        return (*head, *(("6", self.model()) for _ in range(int(self.random.integers(1, 5)))))


def _parse(kind: str) -> Burst:
    entries = (entry.partition(":") for entry in kind.split(";"))
    return tuple((type_, model) for type_, _, model in entries)


def make_actions(random: np.random.Generator, skeleton: Skeleton) -> Actions:
    """All rows before the horizon, without duplicates, in no order."""
    bursts = _Bursts(random)
    labelled = np.flatnonzero(skeleton.request_times < figures.LABELLED_UNTIL)
    moments, pairs = skeleton.request_times[labelled], skeleton.request_pairs[labelled]
    contents = _plant_categories(bursts.draw(labelled.size), skeleton, pairs)
    rest_moments, rest_pairs, rest_contents = _visits(random, bursts, skeleton, labelled)
    planted_moments, planted_pairs, planted_contents = _plant_every_type(skeleton)
    rows = _rows(
        np.concatenate([moments, rest_moments, planted_moments]),
        np.concatenate([pairs, rest_pairs, planted_pairs]),
        [*contents, *rest_contents, *planted_contents],
    )
    order = random.permutation(rows.times.size)
    return Actions(rows.pairs[order], rows.times[order], rows.types[order], rows.models[order])


def _rows(moments: np.ndarray, pairs: np.ndarray, contents: list[Burst]) -> Actions:
    lengths = np.array([len(content) for content in contents])
    times, owners = np.repeat(moments, lengths), np.repeat(pairs, lengths)
    entries = [entry for content in contents for entry in content]
    types = np.array([entry[0] for entry in entries])
    models = np.array([entry[1] for entry in entries])
    inside = times <= figures.LAST_ACTION
    seen = {
        row: position
        for position, row in enumerate(
            zip(owners.tolist(), times.tolist(), types.tolist(), models.tolist(), strict=True)
        )
    }
    first = np.zeros(times.size, dtype=bool)
    first[list(seen.values())] = True
    keep = inside & first
    return Actions(owners[keep], times[keep], types[keep], models[keep])


def _visits(
    random: np.random.Generator, bursts: _Bursts, skeleton: Skeleton, labelled: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Burst]]:
    """The moments after each request's first, up to the pair's next request, and what they hold."""
    shares = np.array([*figures.VISIT_MOMENTS, 1 - sum(figures.VISIT_MOMENTS)])
    counts = random.choice(shares.size, labelled.size, p=shares / shares.sum())
    tail = counts == len(figures.VISIT_MOMENTS)
    counts[tail] = np.minimum(9 + random.geometric(1 / 9.5, int(tail.sum())), figures.MOST_MOMENTS)
    owners = np.repeat(labelled, counts)
    gaps = np.interp(random.random(owners.size), figures.GAP_SHARES, figures.GAP_SECONDS).astype(np.int64)
    walked = np.cumsum(gaps)
    starts = np.cumsum(counts) - counts
    base = np.repeat(walked[np.minimum(starts, walked.size - 1)] - gaps[np.minimum(starts, gaps.size - 1)], counts)
    times = skeleton.request_times[owners] + (walked - base) * figures.SECOND
    inside = times < np.minimum(_next_requests(skeleton)[owners], figures.LAST_ACTION)
    times, owners = times[inside], owners[inside]
    single = random.random(times.size) < figures.SINGLE_SHARE
    types = random.choice(list(figures.SINGLE_TYPES), times.size, p=list(figures.SINGLE_TYPES.values()))
    weights = np.array(list(figures.SINGLE_MODELS.values()))
    common = random.choice(list(figures.SINGLE_MODELS), times.size, p=weights / weights.sum())
    rare = random.random(times.size) > weights.sum()
    contents: list[Burst] = []
    for position in range(times.size):
        if not single[position]:
            contents.append(bursts.page())
        elif types[position] != "6":
            contents.append(((str(types[position]), ""),))
        else:
            contents.append((("6", bursts.model() if rare[position] else str(common[position])),))
    return times, skeleton.request_pairs[owners], contents


def _next_requests(skeleton: Skeleton) -> np.ndarray:
    """The moment of the same pair's next request; far in the future for its last."""
    following = np.full(skeleton.request_times.size, np.iinfo(np.int64).max)
    same = skeleton.request_pairs[1:] == skeleton.request_pairs[:-1]
    following[:-1][same] = skeleton.request_times[1:][same]
    return following


def _plant_categories(contents: list[Burst], skeleton: Skeleton, pairs: np.ndarray) -> list[Burst]:
    """In each category, the first request leaves one row and the second leaves two or more."""
    categories = skeleton.goods.categories[skeleton.pair_skus[pairs]]
    for category in figures.CATEGORIES:
        one, more = np.flatnonzero(categories == category)[:2]
        contents[one], contents[more] = _parse("1"), _parse("1;6:0")
    return contents


def _plant_every_type(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray, list[Burst]]:
    """One pair does all there is to do in the hours before its second request."""
    same = skeleton.request_pairs[1:] == skeleton.request_pairs[:-1]
    soon = np.diff(skeleton.request_times) < 13 * figures.DAY
    early = skeleton.request_times[1:] < figures.LABELLED_UNTIL
    request = int(np.flatnonzero(same & soon & early)[0])
    moment = skeleton.request_times[request] + figures.SECOND
    return np.array([moment]), skeleton.request_pairs[[request]], [_parse("1;2;3;4;5;6:0")]
