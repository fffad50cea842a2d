"""Every epoch visits every row once, in an order that only seed and epoch decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Batch, Loader
from airflow_provider_mlfeat.training.memory import free_memory, rows_held
from airflow_provider_mlfeat.training.order import RowOrder

ROWS, BATCH = 1003, 64


@pytest.fixture
def rows(tmp_path: Path) -> Examples:
    """Rows that say their number, in mapped files."""
    number = np.arange(ROWS, dtype=np.int32)
    for name, array in {"ids": np.stack([number, -number], 1), "values": number[:, None], "labels": number}.items():
        np.save(tmp_path / f"{name}.npy", array if name == "ids" else array.astype(np.float32))
    return Examples(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("ids", "values", "labels")))


def visited(loader: Loader, epoch: int, first: int = 0) -> list[list[int]]:
    batches = []
    for batch in loader.epoch(epoch, first):
        numbers = batch.ids[:, 0].tolist()
        assert batch.ids[:, 1].tolist() == [-number for number in numbers]
        assert batch.values[:, 0].tolist() == batch.labels.tolist() == numbers
        batches.append(numbers)
    return batches


@pytest.mark.parametrize("held", [ROWS, 300, 10])
def test_each_row_once_per_epoch_in_an_order_of_its_own(rows: Examples, held: int) -> None:
    order = RowOrder.within(ROWS, BATCH, 5, held)
    epochs = [visited(Loader(rows, order), epoch) for epoch in (0, 1)]
    for batches in epochs:
        assert sorted(number for batch in batches for number in batch) == list(range(ROWS))
        assert len(batches) == order.steps
    assert epochs[0] != epochs[1]
    assert visited(Loader(rows, order), 1) == epochs[1]
    assert visited(Loader(rows, RowOrder.within(ROWS, BATCH, 6, held)), 1) != epochs[1]


@pytest.mark.parametrize("held", [ROWS, 300])
@pytest.mark.parametrize("first", [0, 1, 5, 15])
def test_an_epoch_goes_on_where_it_stopped(rows: Examples, held: int, first: int) -> None:
    loader = Loader(rows, RowOrder.within(ROWS, BATCH, 5, held))
    whole = visited(loader, 2)
    assert visited(loader, 2, first) == whole[first:]
    assert loader.batch(2, first).ids[:, 0].tolist() == whole[first]


def test_a_group_shares_each_batch(rows: Examples) -> None:
    order = RowOrder.within(ROWS, BATCH, 5, ROWS)
    alone = visited(Loader(rows, order), 0)
    members = [visited(Loader(rows, order, group=Group(rank, 3)), 0) for rank in range(3)]
    for whole, *parts in zip(alone, *members, strict=True):
        shared = [number for part in parts for number in part]
        assert len({len(part) for part in parts}) == 1
        assert shared == whole[: len(whole) // 3 * 3]


def test_a_rest_that_is_smaller_than_the_group_is_empty_for_all(rows: Examples) -> None:
    some = Examples(rows.ids[:65], rows.values[:65], rows.labels[:65])
    for rank in range(2):
        loader = Loader(some, RowOrder.within(65, BATCH, 5, 65), group=Group(rank, 2))
        assert [len(batch) for batch in loader.epoch(0)] == [32, 0]


def test_windows_are_whole_batches() -> None:
    assert RowOrder.within(ROWS, BATCH, 1, 300).window == 256
    assert RowOrder.within(ROWS, BATCH, 1, 10).window == BATCH
    assert RowOrder.within(ROWS, BATCH, 1, ROWS).window == ROWS


def test_memory_is_measured(rows: Examples) -> None:
    assert 1 << 20 < free_memory() < 1 << 50
    assert rows_held(rows) == pytest.approx(2 * rows_held(rows, 2), rel=0.5)


def test_a_batch_moves_as_a_whole() -> None:
    batch = Batch(torch.zeros(3, 2, dtype=torch.int32), torch.zeros(3, 0), torch.ones(3))
    assert [part.device.type for part in batch.to(torch.device("cpu")).parts()] == ["cpu"] * 3


def mixed(number: int) -> int:
    """splitmix64, as it is written down."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def test_the_order_that_a_gpu_makes_is_the_same_on_every_device() -> None:
    """Of whole numbers alone: what a CPU makes of them, every GPU does."""
    order, there = RowOrder.within(ROWS, BATCH, 5, ROWS), torch.device("cpu")
    found = order.shuffled_there(there, 3, 0, ROWS)
    assert sorted(found.tolist()) == list(range(ROWS))
    seed = int(np.random.SeedSequence([5, 3, 0]).generate_state(1, np.uint64)[0])
    signed = [(one - 2**64 if one >> 63 else one) for one in
              (mixed((row * 0x9E3779B97F4A7C15 + seed) % 2**64) for row in range(1, ROWS + 1))]  # fmt: skip
    assert found.tolist() == sorted(range(ROWS), key=signed.__getitem__)
    others = [order.shuffled_there(there, epoch, start, ROWS).tolist() for epoch, start in ((4, 0), (3, ROWS))]
    assert found.tolist() not in others
    assert others[0] != others[1]
    # About a half of neighbours stay in order, as in any order that is random.
    ascending = (found[1:] > found[:-1]).float().mean().item()
    assert 0.45 < ascending < 0.55
