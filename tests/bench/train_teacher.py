"""How near training comes to the best possible AUC, where that is known, and that each part of the model is alive.

`python -m tests.bench.train_teacher` prints one JSON line per figure. Labels are drawn from a teacher's probabilities,
whose AUC no student can beat. Two seeds of a factorisation machine as teacher, which DeepFM has to come near and no
worse than both rivals, while the MLP alone and weights alone stay clearly below; and a teacher with products of three
fields, where the factorisation machine without the MLP stays clearly below.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.data import CACHE
from tests.bench.make_rivals import rival_python
from tests.bench.measure import Worker, describe_machine, print_figure, say
from tests.bench.train_data import crooked_teacher, factor_teacher, facts_of

RIVALS = Path(__file__).resolve().parent / "rivals"
SETTINGS: dict[str, Any] = {
    "embedding_size": 16, "hidden_layers": [128, 128], "batch_size": 4096, "learning_rate": 3e-3,
}  # fmt: skip
# One learning rate per trainer for all teachers; the rivals have one for all parameters.
OURS = {"learning_rate": 1e-3, "embedding_learning_rate": 5e-3, "schedule": "cosine"}
THEIRS = {"learning_rate": 3e-3}


def main() -> None:
    arguments = _arguments()
    say(describe_machine())
    for seed in arguments.seeds:
        data = factor_teacher(seed, arguments.rows, arguments.test_rows, arguments.cache)
        best = facts_of(data)["best_auc"]
        found = _students(data, ["deepfm", *arguments.parts], arguments.rivals, arguments)
        say(f"factor teacher {seed}: best possible {best:.5f}, {_listed(found)}")
        print_figure("train.teacher_gap", best - found["deepfm"], "auc")
        for name in arguments.rivals:
            print_figure("train.teacher_vs_rival", found["deepfm"], "auc", name, found[name])
        for part, figure in (("dnn", "train.teacher_without_pairs"), ("lr", "train.teacher_weights_alone")):
            if part in found:
                print_figure(figure, found["deepfm"] - found[part], "auc")
        if seed == arguments.seeds[0] and arguments.parts:
            crooked = crooked_teacher(seed, arguments.rows, arguments.test_rows, arguments.cache)
            found = _students(crooked, ["deepfm", "fm"], [], arguments)
            say(f"crooked teacher {seed}: best possible {facts_of(crooked)['best_auc']:.5f}, {_listed(found)}")
            print_figure("train.teacher_without_mlp", found["deepfm"] - found["fm"], "auc")


def _students(data: Path, models: list[str], rivals: list[str], arguments: argparse.Namespace) -> dict[str, float]:
    """The AUC of each student on the test rows."""
    found: dict[str, float] = {}
    with ExitStack() as stack:
        options: dict[str, Any] = {"data": str(data), "threads": 1}
        settings = {**SETTINGS, "precision": arguments.precision}
        ours = Worker(sys.executable, ["-m", "tests.bench.ours_train"], settings=settings, **options)
        stack.callback(ours.stop)
        for model in models:
            done = ours.run(work="fit", epochs=arguments.epochs, model=model, **OURS)
            say(f"{model}: {done.notes['auc']:.5f} in {done.cpu:.0f} s of CPU")
            found[model] = done.notes["auc"]
    for name in rivals:
        with ExitStack() as stack:
            worker = Worker(rival_python(name), [RIVALS / f"{name}_train.py"], settings=SETTINGS, **options)
            stack.callback(worker.stop)
            done = worker.run(work="fit", epochs=arguments.epochs, **THEIRS)
            say(f"{name}: {done.notes['auc']:.5f} in {done.cpu:.0f} s of CPU")
            found[name] = done.notes["auc"]
    return found


def _listed(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {auc:.5f}" for name, auc in found.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=700_000)
    parser.add_argument("--test-rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rivals", nargs="*", default=["deepctr", "fuxictr"])
    parser.add_argument("--parts", nargs="*", default=["dnn", "lr"], help="students with parts of the model alone")
    parser.add_argument("--precision", default="auto", help="of our MLP: fp32, bf16, auto")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data sets are kept")
    parser.add_argument("-v", action="store_true", help="show what the engines print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
