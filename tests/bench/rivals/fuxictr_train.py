"""A DeepFM of FuxiCTR's own layers with its own training loop; batches lie ready in memory, which is its best case."""

import json
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from worker import serve


class DeepFM(BaseModel):
    """Weights, pairs of vectors, and an MLP over the vectors, of the layers that the library has for them."""

    def __init__(self, feature_map, embedding_size, hidden_layers, regularizer):
        super().__init__(
            feature_map,
            model_root=tempfile.mkdtemp(),
            metrics=["AUC"],
            verbose=0,
            embedding_regularizer=regularizer,
        )
        self.embeddings = FeatureEmbedding(feature_map, embedding_size)
        self.pairs = FactorizationMachine(feature_map)
        self.dense = MLP_Block(
            input_dim=feature_map.num_fields * embedding_size, hidden_units=list(hidden_layers), output_dim=1
        )

    def forward(self, inputs):
        """Probabilities of a batch."""
        found = self.get_inputs(inputs)
        vectors = self.embeddings(found)
        logits = self.pairs(found, vectors) + self.dense(vectors.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logits)}

    def eval_step(self):
        """Nothing is judged while timing."""


def start(data, threads, settings):
    """The model over a data set; steps go on with one model, a fit makes a new one."""
    torch.set_num_threads(threads)
    folder = Path(data)
    sizes = json.loads((folder / "facts.json").read_text())["sizes"]
    names = [f"f{field}" for field in range(len(sizes))]
    features = FeatureMap("bench", str(folder))
    features.features = OrderedDict(
        (name, {"type": "categorical", "source": "", "vocab_size": size, "padding_idx": None})
        for name, size in zip(names, sizes, strict=True)
    )
    features.labels = ["label"]
    features.num_fields, features.total_features = len(names), sum(sizes)

    def batches(part, order):
        ids = np.load(folder / part / "ids.npy")[order]
        labels = np.load(folder / part / "labels.npy")[order]
        size = settings["batch_size"]
        return [
            {
                **{name: torch.from_numpy(ids[at : at + size, field].copy()) for field, name in enumerate(names)},
                "label": torch.from_numpy(labels[at : at + size]),
            }
            for at in range(0, len(ids), size)
        ]

    def model(rate, hidden_layers):
        regularizer = settings.get("l2") or None
        made = DeepFM(features, settings["embedding_size"], hidden_layers, regularizer)
        made.compile("adam", "binary_crossentropy", rate)
        made.reset_parameters()
        made._max_gradient_norm = float("inf")
        made._eval_steps, made._total_steps, made._stop_training, made._epoch_index = 10**9, 0, False, 0
        return made

    rows = json.loads((folder / "facts.json").read_text())["rows"]
    running = {}

    def steps(count):
        if not running:
            running["model"] = model(settings["learning_rate"], settings["hidden_layers"])
            running["batches"] = batches("train", np.random.default_rng(1).permutation(rows))[:-1]
            running["at"] = 0
        if running["at"] + count > len(running["batches"]):
            running["at"] = 0
        running["model"].train_epoch(running["batches"][running["at"] : running["at"] + count])
        running["at"] += count
        return {"rows": count * settings["batch_size"]}

    def fit(epochs, learning_rate, hidden_layers=None, **_):
        torch.manual_seed(1)
        made = model(learning_rate, hidden_layers or settings["hidden_layers"])
        for epoch in range(epochs):
            made.train_epoch(batches("train", np.random.default_rng(epoch).permutation(rows)))
        truth = np.load(folder / "test" / "labels.npy")
        from sklearn.metrics import roc_auc_score

        return {"auc": float(roc_auc_score(truth, made.predict(batches("test", slice(None)))))}

    def run(work, **arguments):
        return {"steps": steps, "fit": fit}[work](**arguments)

    return run, "fuxictr-2.3.10"


if __name__ == "__main__":
    serve(start)
