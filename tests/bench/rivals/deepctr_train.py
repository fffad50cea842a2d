"""DeepCTR-Torch's DeepFM with its own ``fit``."""

import json
import os
from pathlib import Path

# Its import asks a package index for a newer version: there is no network while timing.
os.environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"))

import numpy as np
import torch
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import DeepFM
from worker import serve


def start(data, threads, settings):
    """The model over a data set; steps go on with one model, a fit makes a new one."""
    torch.set_num_threads(threads)
    folder = Path(data)
    sizes = json.loads((folder / "facts.json").read_text())["sizes"]
    names = [f"f{field}" for field in range(len(sizes))]

    def inputs(part):
        ids = np.load(folder / part / "ids.npy")
        return {name: ids[:, field] for field, name in enumerate(names)}, np.load(folder / part / "labels.npy")

    def model(rate, hidden_layers):
        columns = [
            SparseFeat(name, size, embedding_dim=settings["embedding_size"])
            for name, size in zip(names, sizes, strict=True)
        ]
        made = DeepFM(
            columns,
            columns,
            dnn_hidden_units=tuple(hidden_layers),
            l2_reg_linear=settings.get("l2", 0.0),
            l2_reg_embedding=settings.get("l2", 0.0),
            device="cpu",
        )
        made.compile(torch.optim.Adam(made.parameters(), lr=rate), "binary_crossentropy")
        return made

    train, labels = inputs("train")
    running = {}

    def learn(made, start, stop):
        part = {name: values[start:stop] for name, values in train.items()}
        made.fit(part, labels[start:stop], batch_size=settings["batch_size"], epochs=1, verbose=0, shuffle=True)

    def steps(count):
        if not running:
            running.update(model=model(settings["learning_rate"], settings["hidden_layers"]), at=0)
        rows = count * settings["batch_size"]
        if running["at"] + rows > len(labels):
            running["at"] = 0
        learn(running["model"], running["at"], running["at"] + rows)
        running["at"] += rows
        return {"rows": rows}

    def fit(epochs, learning_rate, hidden_layers=None, **_):
        torch.manual_seed(1)
        made = model(learning_rate, hidden_layers or settings["hidden_layers"])
        for _epoch in range(epochs):
            learn(made, 0, len(labels))
        test, truth = inputs("test")
        return {"auc": auc(made.predict(test, 8192).ravel(), truth)}

    def run(work, **arguments):
        return {"steps": steps, "fit": fit}[work](**arguments)

    return run, f"deepctr-torch-0.3.0{' l2 1e-5' if settings.get('l2') else ''}"


def auc(scores, truth):
    """Area under the ROC curve, by the ranks of the positives."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


if __name__ == "__main__":
    serve(start)
