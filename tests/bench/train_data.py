"""Rows to train on: many ids as in advertising logs, and sets whose best possible AUC is known.

Every set is two folders, ``train`` and ``test``, of plain arrays that any trainer reads: ``ids.npy`` int32 [rows, 39],
``labels.npy`` float32; and ``facts.json`` with the sizes of the fields and the AUC of the true probabilities.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.bench.data import CACHE

FORMAT = 1  # part of the folder's name: raise it when the data changes
FIELDS = 39
EXPONENT = 1.05
CHUNK = 100_000
Floats = npt.NDArray[np.float64]
Scores = Callable[[npt.NDArray[np.int32]], Floats]


def many_ids(ids: int, rows: int, test_rows: int, cache: Path = CACHE) -> Path:
    """39 fields from three ids to a third of all, Zipf 1.05, and a teacher with weights and vectors for each id."""

    def make(random: np.random.Generator) -> tuple[list[int], Scores]:
        sizes = _growing_sizes(ids)
        return sizes, _factor_teacher(random, sizes, rank=4, weight=0.15, vector=0.2)

    return _written(f"many-{ids}-{rows}", make, 1, rows, test_rows, cache)


def factor_teacher(seed: int, rows: int, test_rows: int, cache: Path = CACHE) -> Path:
    """39 fields of at most 100 ids; the truth is a factorisation machine."""

    def make(random: np.random.Generator) -> tuple[list[int], Scores]:
        sizes = [min(100, size) for size in _growing_sizes(100_000)]
        return sizes, _factor_teacher(random, sizes, rank=4, weight=0.15, vector=0.2)

    return _written(f"factor-{seed}-{rows}", make, seed, rows, test_rows, cache)


def crooked_teacher(seed: int, rows: int, test_rows: int, cache: Path = CACHE) -> Path:
    """The same fields; the truth has products of signs of three fields, which pairs of vectors cannot express."""

    def make(random: np.random.Generator) -> tuple[list[int], Scores]:
        sizes = [min(100, size) for size in _growing_sizes(100_000)]
        smooth = _factor_teacher(random, sizes, rank=4, weight=0.1, vector=0.1)
        signs = [np.where(random.permutation(size) < size / 2, -1.0, 1.0) for size in sizes]
        triples = [random.choice(np.flatnonzero(np.array(sizes) > 10), 3, replace=False) for _ in range(4)]

        def scores(ids: npt.NDArray[np.int32]) -> Floats:
            total = smooth(ids)
            for triple in triples:
                total += np.prod([signs[field][ids[:, field]] for field in triple], axis=0)
            return total

        return sizes, scores

    return _written(f"crooked-{seed}-{rows}", make, seed, rows, test_rows, cache)


def facts_of(folder: Path) -> dict[str, Any]:
    """Sizes of the fields, rows, and the AUC of the true probabilities on the test rows."""
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return facts


def _growing_sizes(total: int) -> list[int]:
    """Sizes in geometric progression from 3, of `total` ids together."""
    low, high = 1.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 3 * sum(middle**field for field in range(FIELDS)) < total else (low, middle)
    return [int(3 * low**field) for field in range(FIELDS)]


def _factor_teacher(random: np.random.Generator, sizes: list[int], rank: int, weight: float, vector: float) -> Scores:
    weights = [random.normal(0, weight, size) for size in sizes]
    vectors = [random.normal(0, vector, (size, rank)) for size in sizes]

    def scores(ids: npt.NDArray[np.int32]) -> Floats:
        total, squares = np.zeros((len(ids), rank)), np.zeros((len(ids), rank))
        score = np.full(len(ids), -1.2)
        for field, (first, second) in enumerate(zip(weights, vectors, strict=True)):
            found = second[ids[:, field]]
            total += found
            squares += found**2
            score += first[ids[:, field]]
        return np.asarray(score + 0.5 * (total**2 - squares).sum(1))

    return scores


def _drawn(random: np.random.Generator, sizes: list[int], rows: int) -> npt.NDArray[np.int32]:
    """Ids whose k-th most frequent is k^-1.05 times as frequent as the first, scattered over the field."""
    ids = np.empty((rows, len(sizes)), np.int32)
    for field, size in enumerate(sizes):
        # The inverse of the distribution's integral; its tail ends at `size`.
        end = (size + 1.0) ** (1 - EXPONENT)
        ranks = (1 + random.random(rows) * (end - 1)) ** (1 / (1 - EXPONENT))
        step = next(prime for prime in (7919, 104_729, 1_299_709) if size % prime)
        ids[:, field] = (np.minimum(ranks.astype(np.int64) - 1, size - 1) * step) % size
    return ids


def _written(
    name: str,
    make: Callable[[np.random.Generator], tuple[list[int], Scores]],
    seed: int,
    rows: int,
    test_rows: int,
    cache: Path,
) -> Path:
    target = cache / f"train-{name}-{FORMAT}"
    if target.is_dir():
        return target
    aside = cache / f"train-{name}.{os.getpid()}"
    try:
        random = np.random.default_rng(seed)
        sizes, scores = make(random)
        truth = np.empty(0)
        for part, count in (("train", rows), ("test", test_rows)):
            (aside / part).mkdir(parents=True)
            blocks = [_drawn(random, sizes, min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
            ids = np.concatenate(blocks)
            truth = 1 / (1 + np.exp(-np.concatenate([scores(block) for block in blocks])))
            labels = (random.random(count) < truth).astype(np.float32)
            np.save(aside / part / "ids.npy", ids)
            np.save(aside / part / "labels.npy", labels)
        facts = {"sizes": sizes, "rows": rows, "test_rows": test_rows, "best_auc": _auc(truth, labels)}
        (aside / "facts.json").write_text(json.dumps(facts))
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _auc(scores: Floats, labels: npt.NDArray[np.float32]) -> float:
    """For scores that are all different, as true probabilities of so many fields nearly are."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    positives = labels.sum()
    negatives = len(labels) - positives
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
