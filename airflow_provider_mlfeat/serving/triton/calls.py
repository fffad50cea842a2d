"""What can be asked of a Triton server, whichever protocol and whichever kind of client asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.tensors import Array

Answer = TypeVar("Answer")
READY, UNAVAILABLE = "READY", "UNAVAILABLE"


@dataclass(frozen=True)
class VersionState:
    """One version of one model, as a server's index says.

    :param model: the model.
    :param version: its version; None where none was ever loaded.
    :param state: ``READY``, ``LOADING``, ``UNLOADING``, ``UNAVAILABLE``, or empty where none was ever loaded.
    :param reason: why it is not available.
    """

    model: str
    version: int | None
    state: str
    reason: str


@dataclass(frozen=True)
class VersionStatistics:
    """What one version has done since it was loaded.

    :param model: the model.
    :param version: its version.
    :param successes: requests that were answered, those that a python model answered with an error included.
    :param failures: requests that failed.
    :param rows: rows of the answered requests.
    :param executions: batches that were run for them.
    :param seconds: time from receiving to answering, over all requests.
    """

    model: str
    version: int
    successes: int
    failures: int
    rows: int
    executions: int
    seconds: float


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request, ready to be sent, and how its answer is read.

    :param target: a path with its method, or the name of a procedure.
    :param content: what is sent.
    :param read: reads the answer.
    :param headers: of this request alone.
    """

    target: str
    content: Any
    read: Callable[[Any], Answer]
    headers: tuple[tuple[str, str], ...] = ()


class Calls(Protocol):
    """The calls of one protocol."""

    def live(self) -> Call[bool]:
        """Whether the server answers."""

    def ready(self, model: str, version: int | None) -> Call[bool]:
        """Whether a model, or one version of it, can be asked."""

    def index(self) -> Call[list[VersionState]]:
        """Every version of every model that the server knows of."""

    def load(self, model: str, configuration: Mapping[str, Any]) -> Call[None]:
        """Load a model by a complete configuration."""

    def unload(self, model: str, *, dependents: bool) -> Call[None]:
        """Unload all versions of a model."""

    def configuration(self, model: str, version: int | None) -> Call[dict[str, Any]]:
        """The configuration that a loaded model has."""

    def statistics(self, model: str, version: int | None) -> Call[list[VersionStatistics]]:
        """What versions have done."""

    def infer(
        self, model: str, version: int | None, inputs: Mapping[str, Array], outputs: Sequence[str]
    ) -> Call[dict[str, Array]]:
        """Ask a model."""


def statistics_of(document: Mapping[str, Any]) -> VersionStatistics:
    """Statistics from the fields that both protocols share.

    :param document: statistics of one version, with snake-case names.
    """
    inference = document.get("inference_stats", {})

    def number(kind: str, field: str) -> int:
        return int(inference.get(kind, {}).get(field, 0))

    return VersionStatistics(
        model=str(document["name"]),
        version=int(document["version"]),
        successes=number("success", "count"),
        failures=number("fail", "count"),
        rows=int(document.get("inference_count", 0)),
        executions=int(document.get("execution_count", 0)),
        seconds=number("success", "ns") / 1e9,
    )


def state_of(document: Mapping[str, Any]) -> VersionState:
    """A version's state from the fields that both protocols share.

    :param document: one entry of the index.
    """
    version = str(document.get("version") or "")
    return VersionState(
        model=str(document["name"]),
        version=int(version) if version.isdigit() else None,
        state=str(document.get("state") or ""),
        reason=str(document.get("reason") or ""),
    )
