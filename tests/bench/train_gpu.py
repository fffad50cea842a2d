"""Rows per second of the whole training step on one GPU, beside what the same GPU multiplies and copies.

`python -m tests.bench.train_gpu` prints one JSON line per figure: batches of 65,536 of 39 fields, 34.3 M rows in the
table, Zipf 1.05, the data on the GPU and shuffled there, at least 200 steps between two events, median of three rounds.
A plain loop over ``nn.Embedding`` with dense Adam is the rival; the ceiling is what a device of the measured rates
would do if products and traffic did not overlap. `--batch 16384` takes other batches. `--device cpu --scale 0.0005
--steps 2` shows that it runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from airflow_provider_mlfeat.training.examples import Examples
from airflow_provider_mlfeat.training.fields import FieldLayout
from airflow_provider_mlfeat.training.group import Group
from airflow_provider_mlfeat.training.loader import Batch, Loader
from airflow_provider_mlfeat.training.models import build_model
from airflow_provider_mlfeat.training.order import RowOrder
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.steps import make_step
from tests.bench.data import CACHE
from tests.bench.measure import print_figure, say
from tests.bench.train_data import facts_of, many_ids

IDS, BATCH = 34_290_906, 65_536
MODELS = {"400x3": (400,) * 3, "1000x5": (1000,) * 5}
WARM_UP = 10


def main() -> None:
    arguments = _arguments()
    device = torch.device(arguments.device)
    if device.type == "cuda":
        say(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    batch = max(64, int(arguments.batch * min(1.0, arguments.scale * 10)))
    data = many_ids(int(IDS * arguments.scale), batch * 40, batch, arguments.cache)
    ids, labels = (np.load(data / "train" / f"{name}.npy") for name in ("ids", "labels"))
    sizes = facts_of(data)["sizes"]
    layout = FieldLayout(tuple(f"f{field}" for field in range(len(sizes))), tuple(sizes))
    rows = Examples(ids, np.empty((len(ids), 0), np.float32), labels)
    rates = _print_rates(device)
    different = float(np.mean([len(np.unique(ids[:batch, field])) for field in range(len(sizes))])) / batch
    say(f"{different:.3f} of a batch's look-ups are of different rows")
    for name, hidden_layers in MODELS.items():
        batches = _forever(rows, batch, device)
        # One after the other: the first has given its memory back before the second is made.
        ours = _rate(_our_step(layout, hidden_layers, batch, batches, device), batch, device, arguments)
        plain = _rate(_plain_step(layout, hidden_layers, batches, device), batch, device, arguments)
        print_figure(f"gpu.samples_s_{name}", ours, "rows/s", "plain nn.Embedding loop", plain, ours / plain)
        ceiling = _ceiling(hidden_layers, len(sizes), different, rates)
        print_figure(f"gpu.ceiling_{name}", ours, "rows/s", "computed ceiling", ceiling, ours / ceiling)


def _rate(step: Callable[[], torch.Tensor], rows: int, device: torch.device, arguments: argparse.Namespace) -> float:
    """Rows per second, the median of three rounds."""
    losses = [float(step())]
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(3):
        loss = torch.zeros(())
        with _Clock(device) as clock:
            for _ in range(arguments.steps):
                loss = step()
        seconds.append(clock.seconds)
        losses.append(float(loss))
    say(f"losses after each round: {', '.join(f'{loss:.4f}' for loss in losses)}")
    return rows * arguments.steps / statistics.median(seconds)


class _Clock:
    """Seconds between two events on the device; on a CPU, of the clock."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self.seconds = 0.0

    def __enter__(self) -> _Clock:
        if self._gpu:
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
            self._events[0].record()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        if self._gpu:
            self._events[1].record()
            torch.cuda.synchronize()
            self.seconds = self._events[0].elapsed_time(self._events[1]) / 1000


def _our_step(
    layout: FieldLayout, hidden_layers: tuple[int, ...], size: int, batches: Iterator[Batch], device: torch.device
) -> Callable[[], torch.Tensor]:
    settings = TrainSettings(batch_size=size, hidden_layers=hidden_layers, device=device.type)
    torch.manual_seed(1)
    step = make_step(build_model(settings, layout).train(), settings, device, Group())
    return lambda: step.train(next(batches), 1.0)


def _plain_step(
    layout: FieldLayout, hidden_layers: tuple[int, ...], batches: Iterator[Batch], device: torch.device
) -> Callable[[], torch.Tensor]:
    """What one writes without thinking of speed: a look-up per part, dense Adam over everything."""
    torch.manual_seed(1)
    vectors = torch.nn.Embedding(layout.rows, 16, device=device)
    weights = torch.nn.Embedding(layout.rows, 1, device=device)
    offsets = torch.tensor(layout.offsets, device=device)
    sizes = [layout.width * 16, *hidden_layers, 1]
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    dense = torch.nn.Sequential(*layers[:-1]).to(device)
    torch.nn.init.normal_(vectors.weight, std=0.01)
    torch.nn.init.zeros_(weights.weight)
    optimiser = torch.optim.Adam([*vectors.parameters(), *weights.parameters(), *dense.parameters()])

    def step() -> torch.Tensor:
        batch = next(batches)
        rows = batch.ids.long() + offsets
        found = vectors(rows)
        pairs = 0.5 * (found.sum(1).square() - found.square().sum(1)).sum(1)
        logits = pairs + weights(rows).sum((1, 2)) + dense(found.flatten(1)).squeeze(-1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def _forever(rows: Examples, batch: int, device: torch.device) -> Iterator[Batch]:
    loader = Loader(rows, RowOrder.within(len(rows), batch, 1, len(rows)), device)
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


def _ceiling(hidden_layers: tuple[int, ...], fields: int, different: float, rates: dict[str, float]) -> float:
    """Rows per second that products and traffic leave, one after the other.

    A product is done three times, forward and for both gradients. The traffic is an estimate and no measurement: seven
    bf16 copies of each activation and three of the inputs come to the 21 and 74 kB a row that count every read and
    write of a step without fusion; 3.7 copies of each look-up's 17 numbers, and a table's row with both moments to and
    fro where it is the first of its batch, were fitted to such a count at three batch sizes.
    """
    inputs = fields * 16
    operations = 6 * sum(left * right for left, right in pairwise([inputs, *hidden_layers, 1]))
    traffic = 2 * (3 * inputs + 7 * sum(hidden_layers)) + fields * 17 * 4 * (3.7 + 6 * different)
    return 1 / (operations / (rates["gpu.bf16_tflops"] * 1e12) + traffic / (rates["gpu.copy_tb_s"] * 1e12))


def _print_rates(device: torch.device) -> dict[str, float]:
    """What the device multiplies and copies at best, by figure."""
    size = 8192 if device.type == "cuda" else 256
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty((1 << 28) if device.type == "cuda" else (1 << 20), device=device)
    target = torch.empty_like(source)
    works: dict[str, tuple[Callable[[], Any], float]] = {
        "gpu.bf16_tflops": (lambda: torch.mm(left, right), 2 * size**3 / 1e12),
        "gpu.copy_tb_s": (lambda: target.copy_(source), 2 * source.numel() * 4 / 1e12),
    }
    rates = {}
    for figure, (work, amount) in works.items():
        for _ in range(5):
            work()
        with _Clock(device) as clock:
            for _ in range(20):
                work()
        rates[figure] = 20 * amount / clock.seconds
        print_figure(figure, rates[figure], "TFLOP/s" if "flops" in figure else "TB/s")
    return rates


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of ids")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data sets are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
