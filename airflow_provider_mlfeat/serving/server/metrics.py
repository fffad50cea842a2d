"""What a server counts, for Prometheus."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_OURS = "MLFEAT_SERVER_METRICS"
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The figures of one worker; with several workers, they add up in a folder that all share."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mlfeat_requests", "Requests by path and status", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "mlfeat_request_seconds", "Seconds per request", ("path",), buckets=_BUCKETS, registry=self.registry
        )
        self.features = Histogram(
            "mlfeat_features_seconds", "Seconds for the features", buckets=_BUCKETS, registry=self.registry
        )
        self.scores = Histogram(
            "mlfeat_probability",
            "Probabilities that were answered",
            ("release",),
            buckets=tuple(step / 20 for step in range(1, 20)),
            registry=self.registry,
        )
        self.live = Gauge(
            "mlfeat_live_release",
            "Number of the live release of a service",
            ("service",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

        # Looking a child up by its labels costs more than counting.
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._scores: dict[str, Histogram] = {}

    def count(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        found = self._children.get((path, status))
        if found is None:
            found = self._children[path, status] = self.requests.labels(path, str(status)), self.seconds.labels(path)
        found[0].inc()
        found[1].observe(seconds)

    def score(self, release: str, probability: float) -> None:
        """A probability was answered."""
        found = self._scores.get(release)
        if found is None:
            found = self._scores[release] = self.scores.labels(release)
        found.observe(probability)

    def text(self) -> bytes:
        """All figures in Prometheus' format."""
        # The variable alone does not tell: other software of this process may have set it for itself.
        if not os.environ.get(_OURS):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def prepare_directory(folder: Path) -> None:
    """An empty folder that the workers count in; has to be set before the first of them starts."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    os.environ[DIRECTORY_VARIABLE] = os.environ[_OURS] = str(folder)
