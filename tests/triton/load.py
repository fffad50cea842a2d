"""A constant load of single-row requests that name no version, with every answer judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from airflow_provider_mlfeat.errors import MlfeatError
from airflow_provider_mlfeat.serving.triton.client import Access, TritonClient
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows

_WORKERS = 4


class Load:
    """Asks a model for golden rows at a steady rate while the block runs.

    All models of a test share the rows' ids, so an answer is right when it is one version's golden output.

    :param address: the server's gRPC.
    :param model: the model's name.
    :param known: golden rows of each version that may answer; their inputs are the same.
    :param rate: requests a second.
    """

    def __init__(self, address: str, model: str, known: Sequence[GoldenRows], rate: float = 200.0) -> None:
        self.client = TritonClient(address, Access("grpc", timeout=30))
        self.model, self.known, self.rate = model, known, rate
        self.sent, self.failures, self.wrong = 0, list[str](), list[str]()
        self.latencies: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(worker,)) for worker in range(_WORKERS)]

    def _work(self, worker: int) -> None:
        began, number = time.monotonic(), worker
        while not self._stop.is_set():
            pause = began + number / self.rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self.sent += 1
            row, start = number % len(self.known[0]), time.perf_counter()
            number += _WORKERS
            try:
                answer = float(self.client.infer(self.model, self.known[0].row(row))["OUTPUT_0"].reshape(-1)[0])
            except MlfeatError as error:
                self.failures.append(str(error))
                continue
            self.latencies.append(time.perf_counter() - start)
            if not any(abs(answer - golden.outputs[row]) <= 1e-5 for golden in self.known):
                self.wrong.append(f"row {row}: {answer}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.client.close()
