"""The compiled step gives what plain PyTorch gives, and plain PyTorch what autograd gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Batch, as_batch
from airflow_provider_mlfeat.training.models import FactorModel, build_model
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps import CompiledStep, LookupStep, ModuleStep, Step, make_step
from tests.training.rows import IDS_ALONE, LAYOUT, examples

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "hidden_layers": (9, 7), "embedding_size": 6, "batch_size": 64, "learning_rate": 0.01,
    "embedding_deviation": 0.3,
}  # fmt: skip


def made(kind: type[Step], settings: TrainSettings, layout: Any = LAYOUT) -> Step:
    torch.manual_seed(1)
    model = build_model(settings, layout)
    assert isinstance(model, FactorModel)
    if layout.value_names:
        model.center.copy_(torch.tensor([60.0, 50.0]))
        model.scale.copy_(torch.tensor([0.02, 0.03]))
    return kind(model.train(), settings, CPU)


def batches(count: int, layout: Any = LAYOUT) -> list[Batch]:
    return [as_batch(examples(64 if number % 3 else 41, number, layout)) for number in range(count)]


def distance(left: Step, right: Step) -> float:
    pairs = zip(left.model.state_dict().values(), right.model.state_dict().values(), strict=True)
    return max(float((one.double() - other.double()).abs().max()) for one, other in pairs if one.numel())


@pytest.mark.parametrize("kind", ["deepfm", "wide_deep", "lr", "fm", "dnn"])
@pytest.mark.parametrize("layout", [LAYOUT, IDS_ALONE], ids=["values", "ids alone"])
def test_compiled_is_plain(kind: str, layout: Any) -> None:
    settings = TrainSettings(model=kind, **SMALL)
    compiled, plain = made(CompiledStep, settings, layout), made(LookupStep, settings, layout)
    for batch in batches(12, layout):
        losses = compiled.train(batch, 1.0), plain.train(batch, 1.0)
        assert float(losses[0]) == pytest.approx(float(losses[1]), abs=1e-5)
    assert distance(compiled, plain) < 2e-4
    for step in (compiled, plain):
        step.model.eval()
    batch = as_batch(examples(200, 99, layout))  # more than a batch of training
    torch.testing.assert_close(compiled.logits(batch), plain.logits(batch), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "rowwise_adagrad"},
        {"clip_norm": 0.05},
        {"embedding_l2": 0.01},
        {"weight_decay": 0.1},
        {"field_sizes": {"shop": 2, "price": 3}},
        {"embedding_learning_rate": 0.002},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_compiled_is_plain_with(changes: dict[str, Any]) -> None:
    settings = TrainSettings(**{**SMALL, **changes})
    compiled, plain, without = (
        made(CompiledStep, settings), made(LookupStep, settings), made(LookupStep, TrainSettings(**SMALL)),
    )  # fmt: skip
    for batch in batches(10):
        for step in (compiled, plain, without):
            step.train(batch, 0.5)
    assert distance(compiled, plain) < 2e-4
    assert distance(plain, without) > 1e-3, "the setting does something"


def test_threads_change_nothing() -> None:
    found = []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            step = made(CompiledStep, TrainSettings(model="fm", **SMALL))
            for batch in batches(6):
                step.train(batch, 1.0)
        finally:
            torch.set_num_threads(before)
        found.append(step.model.state_dict()["table"].numpy().copy())
    assert np.array_equal(*found)


def test_plain_is_autograd() -> None:
    """The first step's gradients, seen through an optimiser that just follows them."""
    settings = TrainSettings(**SMALL, clip_norm=1e9, optimiser="rowwise_adagrad")
    step = made(LookupStep, settings)
    assert isinstance(step, LookupStep)
    batch = batches(2)[1]
    model = step.model
    logits = model(batch.ids.long(), batch.values)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels).backward()
    by_autograd = model.table.grad
    assert by_autograd is not None
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    step._table.update = lambda rows, sums: seen.append((rows, sums))  # type: ignore[method-assign]
    step.train(batch, 1.0)
    gathered = torch.zeros(len(by_autograd) + 1, by_autograd.shape[1])
    rows, sums = seen[0]
    gathered[rows] = sums
    torch.testing.assert_close(gathered[:-1], by_autograd, atol=1e-7, rtol=1e-4)


def test_dropout_drops_while_training_alone() -> None:
    settings = TrainSettings(**SMALL, dropout=0.5)
    for kind in (CompiledStep, LookupStep):
        step = made(kind, settings)
        batch = batches(2)[1]
        step.model.eval()
        quiet = [step.logits(batch) for _ in range(2)]
        assert torch.equal(*quiet)
        losses = {round(float(made(kind, settings).train(batch, 1e-9)), 7)}
        twin = made(kind, settings)
        torch.manual_seed(2)
        losses.add(round(float(twin.train(batch, 1e-9)), 7))
        assert len(losses) == 2


def test_dropout_keeps_the_mean() -> None:
    """Gradients through the compiled chain with dropout are those of autograd with the same mask."""
    settings = TrainSettings(**{**SMALL, "hidden_layers": (400, 300)}, dropout=0.4)
    step = made(CompiledStep, settings)
    assert isinstance(step, CompiledStep)
    chain = step._chain
    assert chain is not None
    inputs = torch.randn(64, LAYOUT.width * 6)
    kept = torch.stack([chain.forward(inputs) for _ in range(400)]).mean(0)
    step.model.eval()
    whole = step.model.dense(inputs).squeeze(-1).detach()
    assert float((kept - whole).abs().mean()) < 0.2 * float(whole.abs().mean()) + 0.05
    out = chain.forward(inputs)
    slopes = torch.randn(64)
    below = chain.backward(slopes)
    leaf = inputs.clone().requires_grad_()
    current = leaf
    linear = [layer for layer in step.model.dense.children() if isinstance(layer, torch.nn.Linear)]
    for index, layer in enumerate(linear[:-1]):
        current = torch.relu(layer(current)) * chain._masks[index][:64]
    again = linear[-1](current).squeeze(-1)
    torch.testing.assert_close(out, again, atol=1e-5, rtol=1e-4)
    grads = [layer.weight.grad.clone() for layer in linear if layer.weight.grad is not None]
    again.backward(slopes)
    assert leaf.grad is not None
    torch.testing.assert_close(below, leaf.grad, atol=1e-5, rtol=1e-3)
    for layer, grad in zip(linear, grads, strict=True):
        assert layer.weight.grad is not None
        # backward added to what the chain had put there
        torch.testing.assert_close(layer.weight.grad, 2 * grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", [CompiledStep, LookupStep])
def test_bf16_is_near(kind: type[Step]) -> None:
    exact, rough = made(kind, TrainSettings(**SMALL)), made(kind, TrainSettings(**SMALL, precision="bf16"))
    for batch in batches(10):
        losses = float(exact.train(batch, 1.0)), float(rough.train(batch, 1.0))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert distance(exact, rough) > 0


@pytest.mark.parametrize("kind", [CompiledStep, LookupStep])
def test_a_restored_step_goes_on_as_if_nothing_had_been(kind: type[Step]) -> None:
    settings = TrainSettings(**SMALL)
    unbroken, first, second = (made(kind, settings) for _ in range(3))
    for batch in batches(8):
        unbroken.train(batch, 1.0)
    for batch in batches(8)[:5]:
        first.train(batch, 1.0)
    second.model.load_state_dict(first.model.state_dict())
    second.restore(first.state())
    for batch in batches(8)[5:]:
        second.train(batch, 1.0)
    assert distance(unbroken, second) == 0


class Module(torch.nn.Module):
    """A user's model with a sparse embedding."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(100, 4, sparse=sparse)
        self.dense = torch.nn.Linear(18, 1)

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        found = self.embedding(ids).flatten(1)
        logits: torch.Tensor = self.dense(torch.cat([found, values / 100], 1)).squeeze(-1)
        return logits


@pytest.mark.parametrize("sparse", [True, False])
def test_a_module_of_the_user_learns_and_resumes(sparse: bool) -> None:
    settings = TrainSettings(**SMALL, clip_norm=1.0)

    def step() -> ModuleStep:
        torch.manual_seed(1)
        return ModuleStep(Module(sparse=sparse), settings, CPU)

    unbroken, first, second = step(), step(), step()
    losses = [float(unbroken.train(batch, 1.0)) for batch in batches(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.01
    for batch in batches(30)[:9]:
        first.train(batch, 1.0)
    second.model.load_state_dict(first.model.state_dict())
    second.restore(first.state())
    for batch in batches(30)[9:]:
        second.train(batch, 1.0)
    assert distance(unbroken, second) == 0


def test_the_step_suits_model_and_device() -> None:
    model = build_model(TrainSettings(), LAYOUT)
    assert isinstance(make_step(model, TrainSettings(), CPU, Group()), CompiledStep)
    assert isinstance(make_step(model, TrainSettings(compile=True), CPU, Group()), LookupStep)
    assert isinstance(make_step(model, TrainSettings(), CPU, Group(0, 2)), LookupStep)
    assert isinstance(make_step(Module(sparse=False), TrainSettings(), CPU, Group()), ModuleStep)


@pytest.mark.parametrize("kind", [CompiledStep, LookupStep])
def test_the_table_moves_as_with_sparse_adam(kind: type[Step]) -> None:
    """Against autograd through a sparse embedding and torch's own optimiser."""
    settings = TrainSettings(**{**SMALL, "model": "fm"})
    ours = made(kind, settings, IDS_ALONE)
    model = ours.model
    assert isinstance(model, FactorModel)
    table = torch.nn.Embedding(IDS_ALONE.rows, 7, sparse=True)
    table.weight.data.copy_(model.table.detach())
    bias = torch.nn.Parameter(torch.zeros(1))
    rows, rest = torch.optim.SparseAdam([table.weight], lr=0.01), torch.optim.Adam([bias], lr=0.01)
    for batch in batches(40, IDS_ALONE):
        ours.train(batch, 1.0)
        found = table(model.rows(batch.ids))
        vectors = found[..., :6]
        logits = bias + found[..., 6].sum(1) + 0.5 * (vectors.sum(1) ** 2 - (vectors**2).sum(1)).sum(1)
        for optimiser in (rows, rest):
            optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels).backward()
        rows.step()  # type: ignore[no-untyped-call]
        rest.step()
    assert float((model.table - table.weight).detach().abs().max()) < 1e-5
