"""The compiled optimiser against torch's SparseAdam, gradient by gradient."""

from __future__ import annotations

import numpy as np
import torch

from airflow_provider_mlfeat.training import kernels

ROWS, WIDTH, RATE = 50, 17, 0.01


def test_compiled_lazy_adam_is_sparse_adam() -> None:
    torch.manual_seed(1)
    theirs = torch.nn.Parameter(0.1 * torch.randn(ROWS, WIDTH))
    table = theirs.detach().numpy().copy()
    first, second = np.zeros_like(table), np.zeros_like(table)
    slots = np.full(ROWS, -1, np.int32)
    judge = torch.optim.SparseAdam([theirs], lr=RATE)
    for step in range(1, 101):
        rows = torch.randperm(ROWS)[:20]
        gradients = torch.randn(20, WIDTH) * 10 ** float(torch.randint(-4, 2, ()))
        theirs.grad = torch.sparse_coo_tensor(rows[None], gradients, theirs.shape, check_invariants=True)
        judge.step()  # type: ignore[no-untyped-call]
        slots[rows.numpy()] = np.arange(20)
        corrected = RATE * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        kernels.lazy_adam(
            table, first, second, slots, rows.numpy(), gradients.numpy().copy(), 0, 20, corrected, 0.1, 0.001, 1e-8,
            0.0, 1.0,
        )  # fmt: skip
    assert np.abs(table - theirs.detach().numpy()).max() <= 1e-6
    assert (slots == -1).all(), "the slots are free for the next batch"
