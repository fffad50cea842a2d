"""What a server counts, for Prometheus."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
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

    def text(self) -> bytes:
        """All figures in Prometheus' format."""
        if not os.environ.get(DIRECTORY_VARIABLE):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def prepare_directory(folder: Path) -> None:
    """An empty folder that the workers count in; has to be set before the first of them starts."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(folder)
