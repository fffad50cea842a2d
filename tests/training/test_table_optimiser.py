"""The plain optimisers: torch's SparseAdam is the judge of ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from airflow_provider_mlfeat.training.table_optimiser import LazyAdam, RowwiseAdagrad, sum_by_row

ROWS, WIDTH = 40, 5


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(3)
    return [(torch.randint(0, ROWS, (25,)), torch.randn(25, WIDTH)) for _ in range(count)]


def test_sums_are_those_of_each_row_and_the_rest_is_spare() -> None:
    rows, gradients = batches(1)[0]
    touched, sums = sum_by_row(rows, gradients, ROWS)
    unique = rows.unique()
    assert touched[: len(unique)].tolist() == unique.tolist()
    assert set(touched[len(unique) :].tolist()) <= {ROWS}
    assert sums[len(unique) :].abs().max() == 0
    expected = torch.zeros(ROWS, WIDTH).index_add_(0, rows, gradients)
    torch.testing.assert_close(sums[: len(unique)], expected[unique])


def test_lazy_adam_is_sparse_adam() -> None:
    start = torch.randn(ROWS, WIDTH)
    theirs = torch.nn.Parameter(start.clone())
    judge = torch.optim.SparseAdam([theirs], lr=0.01)
    storage = torch.cat([start, torch.zeros(1, WIDTH)])
    ours = LazyAdam(storage)
    ours.learning_rate.fill_(0.01)
    for rows, gradients in batches(60):
        theirs.grad = torch.sparse_coo_tensor(rows[None], gradients, theirs.shape, check_invariants=True)
        judge.step()
        ours.update(*sum_by_row(rows, gradients, ROWS))
    assert np.abs(storage[:-1].numpy() - theirs.detach().numpy()).max() <= 1e-6
    assert storage[-1].abs().max() == 0


def test_rowwise_adagrad_by_hand() -> None:
    storage = torch.zeros(3, 2)
    optimiser = RowwiseAdagrad(storage)
    optimiser.learning_rate.fill_(0.1)
    optimiser.update(torch.tensor([1, 2]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    root = 12.5**0.5
    assert storage[1].tolist() == pytest.approx([-0.3 / root, -0.4 / root])
    optimiser.update(torch.tensor([1, 2]), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert optimiser.squares.tolist() == pytest.approx([0, 13.5, 0])


def test_l2_pulls_only_rows_of_the_batch() -> None:
    storage = torch.ones(4, 2)
    optimiser = RowwiseAdagrad(storage, l2=0.5)
    optimiser.learning_rate.fill_(0.1)
    optimiser.update(torch.tensor([0, 3]), torch.zeros(2, 2))
    assert storage[0, 0] < 1
    assert storage[1:3].eq(1).all()
