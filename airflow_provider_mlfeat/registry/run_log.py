"""The log of one run: the training loop writes it to disk, a thread takes it to MLflow."""

from __future__ import annotations

import logging
import math
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import CancelledError, TransientError
from airflow_provider_mlfeat.registry.shipping import RunGoneError, ship
from airflow_provider_mlfeat.registry.spool import Spool, SpoolWriter, now
from airflow_provider_mlfeat.registry.system_metrics import SystemMetrics
from airflow_provider_mlfeat.registry.tracking import Tracking

log = logging.getLogger("mlfeat.job")
_LONGEST_PAUSE = 30.0


class RunLog:
    """What a training tells about itself. Every method returns at once, whether MLflow answers or not.

    :param tracking: the MLflow.
    :param key: the run's identity: the same key goes on in the same run, as a resumed training must.
    :param name: of the run, for people.
    :param tags: of the run.
    :param send_seconds: the pause between two batches to MLflow.
    :param patience: how long the end of the run waits for an MLflow that is away; what it has not taken then waits
        on disk for `replay`.
    :param system_seconds: the pause between two looks at processor and memory; 0 is never.
    """

    def __init__(
        self,
        tracking: Tracking,
        key: str,
        name: str,
        tags: Mapping[str, str] | None = None,
        *,
        send_seconds: float = 5.0,
        patience: float = 30.0,
        system_seconds: float = 10.0,
    ) -> None:
        self.tracking = tracking
        self._send_seconds = send_seconds
        self._patience = patience
        self._spool = Spool.create(tracking, key, name, tags or {})
        self._locks = ExitStack()
        if not self._locks.enter_context(self._spool.locked("writer")):
            raise TransientError(f"another process writes to the MLflow run of '{name}' ({self._spool.path})")
        self._writer = SpoolWriter(self._spool)
        self._writer.write("begin")
        self._wake = threading.Event()
        self._ending = False
        self._complete = False
        self._system = SystemMetrics(system_seconds, self.metrics)
        self._thread = threading.Thread(target=self._send, name="mlflow", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str:
        """The run's id; empty until MLflow has given one."""
        return str(self._spool.sent["run_id"])

    @property
    def page(self) -> str:
        """Address of the run's page; empty until there is one."""
        sent = self._spool.sent
        return self.tracking.run_page(sent["experiment_id"], sent["run_id"]) if sent["run_id"] else ""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Values of this moment. What is no number is left out."""
        numbers = {name: float(value) for name, value in values.items() if _is_number(value)}
        if numbers:
            self._writer.write("metrics", values=numbers, step=int(step), time=now())

    def parameters(self, values: Mapping[str, Any]) -> None:
        """What the run was told."""
        self._writer.write("parameters", values={name: str(value) for name, value in values.items()})

    def tags(self, values: Mapping[str, Any]) -> None:
        """What the run is."""
        self._writer.write("tags", values={name: str(value) for name, value in values.items()})

    def inputs(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        """What the run read: documents with name and digest, and source_type, source, profile and context if known."""
        self._writer.write("inputs", inputs=[dict(one) for one in inputs])

    def artifact(self, path: Path, target: str = "") -> None:
        """A file or folder, as it is now, for the run's artefacts below `target`."""
        self._writer.write("file", file=self._writer.keep_file(path), target=target)

    def text(self, name: str, text: str) -> None:
        """A file with a text among the run's artefacts."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / name
            path.write_text(text, encoding="utf-8")
            self.artifact(path)

    def close(self, status: str = "FINISHED") -> bool:
        """End the run, and wait a while for MLflow; tells whether MLflow knows it all.

        :param status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if self._ending:
            return self._complete
        self._system.stop()
        self._writer.write("end", status=status, time=now())
        self._writer.close()
        self._ending = True
        self._wake.set()
        self._thread.join(self._patience)
        if self._complete:
            self._spool.remove()
        else:
            log.warning(
                "MLflow has not taken all of the run: %d bytes wait in %s; 'mlfeat models replay' sends them",
                self._spool.unsent(),
                self._spool.path,
            )
        self._locks.close()
        return self._complete

    def _send(self) -> None:
        """The thread: send, pause, send; ever longer pauses while MLflow is away."""
        pause = 0.0
        while True:
            self._wake.wait(pause)
            last = self._ending
            self._system.sample_if_due()
            try:
                with self._spool.locked("sender") as free, self.tracking.client() as client:
                    self._complete = free and ship(self._spool, self.tracking, client)
                pause = self._send_seconds
            except TransientError as error:
                log.warning("MLflow is away, the run is kept on disk meanwhile: %s", error)
                pause = min(_LONGEST_PAUSE, max(1.0, pause * 2))
            except RunGoneError as error:
                log.warning("%s; nothing more is logged", error)
                self._complete = True
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, the training goes on
                log.warning("the run is not logged to MLflow but kept on disk: %s", error)
                return
            if self._complete:
                return
            if last:
                # The end is near: try often, and let `close` decide when it is enough.
                time.sleep(min(pause, 1.0))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@contextmanager
def open_run(tracking: Tracking, key: str, name: str, tags: Mapping[str, str] | None = None) -> Iterator[RunLog]:
    """A run for the time of a ``with`` block: finished when it ends well, failed or killed when it does not.

    :param tracking: the MLflow.
    :param key: the run's identity; the same key goes on in the same run.
    :param name: of the run, for people.
    :param tags: of the run.
    """
    run = RunLog(tracking, key, name, tags)
    try:
        yield run
    except CancelledError:
        run.close("KILLED")
        raise
    except BaseException:
        run.close("FAILED")
        raise
    run.close()
