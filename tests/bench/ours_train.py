"""Our trainer as a worker of the bench: `python -m tests.bench.ours_train`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.rivals.worker import serve
from tests.bench.train_data import facts_of


def start(data: str, threads: int, settings: dict[str, Any]) -> tuple[Callable[..., dict[str, Any]], str]:
    """The trainer over a data set; each run does one of the things below."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from airflow_provider_mlfeat.training.examples import Examples, TrainingData
    from airflow_provider_mlfeat.training.fields import FieldLayout
    from airflow_provider_mlfeat.training.group import Group
    from airflow_provider_mlfeat.training.loader import Batch, Loader
    from airflow_provider_mlfeat.training.models import build_model
    from airflow_provider_mlfeat.training.order import RowOrder
    from airflow_provider_mlfeat.training.settings import TrainSettings
    from airflow_provider_mlfeat.training.steps import make_step
    from airflow_provider_mlfeat.training.trainer import train

    torch.set_num_threads(threads)
    device = torch.device("cpu")
    folder = Path(data)
    sizes = facts_of(folder)["sizes"]
    layout = FieldLayout(tuple(f"f{field}" for field in range(len(sizes))), tuple(sizes))

    def examples(part: str) -> Examples:
        ids, labels = (np.load(folder / part / f"{name}.npy", mmap_mode="r") for name in ("ids", "labels"))
        return Examples(ids, np.empty((len(ids), 0), np.float32), labels)

    def settings_of(changes: dict[str, Any]) -> TrainSettings:
        chosen = {
            **settings,
            **changes,
            "hidden_layers": tuple(changes.get("hidden_layers", settings["hidden_layers"])),
        }
        return TrainSettings(**{**chosen, "device": "cpu", "threads": threads, "patience": 0})

    rows = examples("train")
    running: dict[str, Any] = {}

    def steps(count: int) -> dict[str, Any]:
        """Go on training: so many steps, loading included."""
        if not running:
            chosen = settings_of({})
            torch.manual_seed(1)
            running["step"] = make_step(build_model(chosen, layout).train(), chosen, device, Group())
            order = RowOrder.within(len(rows), chosen.batch_size, 1, len(rows))
            running["batches"] = _forever(Loader(rows, order))
        losses = [float(running["step"].train(next(running["batches"]), 1.0)) for _ in range(count)]
        return {"rows": count * settings["batch_size"], "loss": float(np.mean(losses))}

    def _forever(loader: Loader) -> Iterator[Batch]:
        epoch = 0
        while True:
            for batch in loader.epoch(epoch):
                if len(batch) == settings["batch_size"]:
                    yield batch
            epoch += 1

    def fit(**changes: Any) -> dict[str, Any]:
        """A new model from the first to the last epoch, judged on the test rows after the last."""
        test = examples("test")
        trained = train(TrainingData(layout, rows, test), settings_of(changes))
        last = trained.epochs[-1]
        return {"auc": last.valid_auc, "logloss": last.valid_logloss}

    def multiply(seconds: float) -> dict[str, Any]:
        """Matrix products of the MLP's shape and square ones; the better rate in GFLOP per second of CPU."""
        best = 0.0
        for rows_, inner, columns in ((settings["batch_size"], 400, 400), (2048, 2048, 2048)):
            left, right = torch.randn(rows_, inner), torch.randn(inner, columns)
            out = torch.empty(rows_, columns)
            torch.mm(left, right, out=out)
            begin, count = time.process_time(), 0
            while time.process_time() - begin < seconds / 2:
                torch.mm(left, right, out=out)
                count += 1
            best = max(best, count * 2 * rows_ * inner * columns / (time.process_time() - begin) / 1e9)
        return {"gflops": best}

    def load(plain_rows: int) -> dict[str, Any]:
        """Rows per second of CPU from mapped files to shuffled batches, and by PyTorch's own loader in memory."""
        order = RowOrder.within(len(rows), settings["batch_size"], 1, len(rows))
        begin = time.process_time()
        loaded = sum(len(batch) for batch in Loader(rows, order).epoch(0))
        ours = loaded / (time.process_time() - begin)
        some = TensorDataset(*(torch.from_numpy(np.array(part[:plain_rows])) for part in (rows.ids, rows.labels)))
        begin = time.process_time()
        loaded = sum(len(labels) for _, labels in DataLoader(some, batch_size=settings["batch_size"], shuffle=True))
        return {"ours": ours, "plain": loaded / (time.process_time() - begin)}

    known: dict[str, Callable[..., dict[str, Any]]] = {"steps": steps, "fit": fit, "multiply": multiply, "load": load}

    def run(work: str, **arguments: Any) -> dict[str, Any]:
        return known[work](**arguments)

    return run, "DeepFM"


if __name__ == "__main__":
    serve(start)
