"""Training speed against DeepCTR-Torch and FuxiCTR on the same rows, and against this machine's matrix products.

`python -m tests.bench.train` prints one JSON line per figure; `--scale 0.01` ends within a minute. One thread, CPU time
of the whole process tree, interleaved rounds. Every trainer is asked for the same work: 39 fields, embeddings of 16, an
MLP of 400 × 3, batches of 4096, Adam, no regularisation. The rivals' AUC after one epoch is compared first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.data import CACHE
from tests.bench.make_rivals import rival_python
from tests.bench.measure import Run, Worker, describe_machine, print_figure, print_ratio, say
from tests.bench.train_data import facts_of, many_ids

RIVALS = Path(__file__).resolve().parent / "rivals"
IDS, MANY_IDS, ROWS, TEST_ROWS = 2_080_555, 10_402_775, 500_000, 100_000
SETTINGS: dict[str, Any] = {
    "embedding_size": 16,
    "hidden_layers": [400, 400, 400],
    "batch_size": 4096,
    "learning_rate": 1e-3,
}
# Multiplications and additions of a row: MLP forward, and backward for inputs and for weights.
FLOP = 6 * (39 * 16 * 400 + 400 * 400 + 400 * 400 + 400)


def main() -> None:
    arguments = _arguments()
    say(describe_machine())
    rows, test_rows = int(ROWS * arguments.scale), int(TEST_ROWS * arguments.scale)
    with ExitStack() as stack:
        data = many_ids(int(IDS * arguments.scale), rows, test_rows, arguments.cache)
        workers = {name: _worker(stack, name, data, arguments) for name in arguments.engines}
        if arguments.auc:
            _compare_auc(workers, data)
        runs = _timed(workers, arguments.rounds, arguments.steps)
        for name, worker in workers.items():
            if name != "ours" and "ours" in workers:
                print_ratio(f"train.cpu_vs_{name}", runs["ours"], runs[name], worker.name)
        if "ours" in workers:
            _own_figures(workers["ours"], arguments)
    with ExitStack() as stack:
        data = many_ids(int(MANY_IDS * arguments.scale), rows, test_rows, arguments.cache)
        names = [name for name in arguments.engines if name in {"ours", "deepctr"}]
        workers = {name: _worker(stack, name, data, arguments) for name in names}
        if len(workers) == 2:
            runs = _timed(workers, arguments.rounds, max(1, arguments.steps // 3))
            print_ratio("train.cpu_vs_deepctr_10m", runs["ours"], runs["deepctr"], workers["deepctr"].name)


def _worker(stack: ExitStack, name: str, data: Path, arguments: argparse.Namespace) -> Worker:
    settings = {**SETTINGS, **({"precision": arguments.precision} if name == "ours" else {})}
    if arguments.l2 and name != "ours":
        settings["l2"] = arguments.l2
    script: list[str | Path] = ["-m", "tests.bench.ours_train"] if name == "ours" else [RIVALS / f"{name}_train.py"]
    python = sys.executable if name == "ours" or arguments.rivals_here else rival_python(name)
    worker = Worker(python, script, data=str(data), threads=1, settings=settings)
    stack.callback(worker.stop)
    return worker


def _compare_auc(workers: dict[str, Worker], data: Path) -> None:
    """One epoch each; the largest distance between ours and a rival's."""
    found = {
        name: worker.run(work="fit", epochs=1, learning_rate=SETTINGS["learning_rate"]).notes["auc"]
        for name, worker in workers.items()
    }
    say(f"AUC after one epoch: {found}; of the truth {facts_of(data)['best_auc']:.5f}")
    gaps = {name: found["ours"] - auc for name, auc in found.items() if name != "ours"}
    if gaps:
        name = max(gaps, key=lambda rival: abs(gaps[rival]))
        print_figure("train.auc_gap_to_rivals", gaps[name], "auc", workers[name].name, found[name])


def _timed(workers: dict[str, Worker], rounds: int, steps: int) -> dict[str, list[Run]]:
    """The same steps by each in turn; the first round is not counted."""
    runs: dict[str, list[Run]] = {name: [] for name in workers}
    for number in range(rounds + 1):
        for name, worker in workers.items():
            done = worker.run(work="steps", count=steps)
            say(f"{name}: {done.cpu / steps * 1000:.0f} ms of CPU per step, {done.wall:.1f} s")
            if number:
                runs[name].append(done)
    return runs


def _own_figures(worker: Worker, arguments: argparse.Namespace) -> None:
    shares, rates = [], []
    for _ in range(arguments.rounds):
        multiplied = worker.run(work="multiply", seconds=1.0).notes["gflops"]
        done = worker.run(work="steps", count=arguments.steps)
        rates.append(done.notes["rows"] / done.cpu)
        shares.append(rates[-1] * FLOP / 1e9 / multiplied)
    print_figure("train.rows_s", statistics.median(rates), "rows/cpu_s")
    print_figure("train.sgemm_share", statistics.median(shares), "share")
    loads = [worker.run(work="load", plain_rows=50_000).notes for _ in range(arguments.rounds)]
    ours, plain = (statistics.median(load[name] for load in loads) for name in ("ours", "plain"))
    print_figure("train.loader_rows_s", ours, "rows/cpu_s", "torch DataLoader", plain, ours / plain)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of ids and rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--engines", nargs="+", default=["ours", "deepctr", "fuxictr"])
    parser.add_argument("--precision", default="auto", help="of our MLP: fp32, bf16; auto is fp32 on a CPU")
    parser.add_argument("--l2", type=float, default=0.0, help="the rivals' embedding regularisation")
    parser.add_argument("--no-auc", dest="auc", action="store_false", help="leave out the epochs that compare AUC")
    parser.add_argument("--rivals-here", action="store_true", help="run rivals in this environment")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data sets are kept")
    parser.add_argument("-v", action="store_true", help="show what the engines print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
