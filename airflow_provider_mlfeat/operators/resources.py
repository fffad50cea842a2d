"""What a job may use, and how each place where it can run is told so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow.sdk.configuration import conf

from airflow_provider_mlfeat.hooks.arguments import optional_number

_NAMES = ("gpus", "cpus", "memory", "ram")
_SIZE = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3}
_KUBERNETES_UNITS = ("", "Ki", "Mi", "Gi")
# The container of a worker's pod that runs the task, and Kubernetes' name for a GPU.
_WORKER, _GPU = "base", "nvidia.com/gpu"
# What the libraries of jobs ask for how many threads they may have.
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class JobResources:
    """What a job may use; what is not said is not limited.

    :param gpus: how many GPUs.
    :param cpus: how many cores.
    :param memory: how much memory, such as ``8g``.
    """

    gpus: int | None = None
    cpus: float | None = None
    memory: str | None = None

    @classmethod
    def parse(cls, given: Any) -> JobResources:
        """What a user wrote: a map, or Airflow's own object; raises UserError for what it does not take."""
        from airflow_provider_mlfeat.errors import UserError

        named = given if isinstance(given, Mapping) else _as_map(given)
        for name in named:
            if name not in _NAMES:
                raise UserError(f"resources takes {', '.join(_NAMES[:-1])}, not '{name}'")
        memory = named.get("memory") or (f"{named['ram']}m" if named.get("ram") else None)
        found = cls(
            optional_number(int, named.get("gpus"), "gpus"),
            optional_number(float, named.get("cpus"), "cpus"),
            None if memory is None else str(memory),
        )
        if found.memory is not None and not _SIZE.fullmatch(found.memory):
            raise UserError(f"memory takes a number with a unit, such as 512m or 8g, not '{found.memory}'")
        if (found.cpus is not None and found.cpus <= 0) or (found.gpus is not None and found.gpus < 0):
            raise UserError("cpus has to be above 0, and gpus not below it")
        return found

    def over(self, other: JobResources) -> JobResources:
        """These, and of `other` what these do not say."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **mine)

    def applied_to(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A runtime's settings with these limits, as far as that runtime has such.

        A container gets limits and a device request from the engine. A process of its own cannot be held within memory,
        but its libraries start no more threads than it has cores.
        """
        if settings["kind"] == "container":
            wanted = {"gpus": self.gpus or None, "cpus": self.cpus, "memory": self.memory}
            return {**settings, **{name: value for name, value in wanted.items() if value is not None}}
        if settings["kind"] == "process" and self.cpus is not None:
            threads = dict.fromkeys(_THREADS, str(max(1, int(self.cpus))))
            return {**settings, "environment": {**threads, **settings["environment"]}}
        return dict(settings)

    def for_airflow(self) -> dict[str, Any] | None:
        """As Airflow keeps it with a task, in megabytes; None where nothing is said."""
        ram = None if self.memory is None else -(-_bytes(self.memory) // 2**20)
        said = {"gpus": self.gpus, "cpus": self.cpus, "ram": ram}
        return {name: value for name, value in said.items() if value is not None} or None

    def for_kubernetes(self) -> dict[str, Any]:
        """Limits of the pod's container in Kubernetes' units; it asks for as much as it may use."""
        limits: dict[str, str] = {}
        if self.cpus is not None:
            limits["cpu"] = f"{round(self.cpus * 1000)}m"
        if self.memory is not None:
            number, unit = _parts(self.memory)
            limits["memory"] = f"{number}{_KUBERNETES_UNITS[unit]}"
        if self.gpus:
            limits[_GPU] = str(self.gpus)
        return limits

    def executor_config(self) -> dict[str, Any]:
        """For an executor that starts a pod for a task: the worker's container with these limits.

        A pod of the Kubernetes client where that is installed, which the executor needs; else a document of one.
        """
        limits = self.for_kubernetes()
        document = {"spec": {"containers": [{"name": _WORKER, "resources": {"limits": limits, "requests": limits}}]}}
        try:
            from kubernetes.client import models  # type: ignore[import-not-found, unused-ignore]
        except ModuleNotFoundError:
            return {"pod_override": document}
        needed = models.V1ResourceRequirements(limits=limits, requests=limits)
        container = models.V1Container(name=_WORKER, resources=needed)
        return {"pod_override": models.V1Pod(spec=models.V1PodSpec(containers=[container]))}


def runs_in_a_pod(executor: str | None, runtime: Any) -> bool:
    """Whether a task's worker is a pod of its own, and its job runs in there.

    :param executor: the task's own; None is the first that is configured.
    :param runtime: the task's, as written.
    """
    chosen = executor or str(conf.get("core", "executor", fallback="")).split(",")[0]
    where = runtime or conf.get("mlfeat", "runtime", fallback="process")
    kind = where.get("kind") if isinstance(where, Mapping) else where
    return "kubernetes" in chosen.lower() and kind != "container"


def _as_map(given: Any) -> dict[str, Any]:
    """Airflow's object as a map, without what only stands there by default."""
    if given is None:
        return {}
    found = {name: getattr(given, name).qty for name in ("cpus", "ram", "gpus")}
    return {
        name: value
        for name, value in found.items()
        if value != conf.getint("operators", f"default_{name}", fallback=None)
    }


def _parts(memory: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(memory)
    assert found is not None
    return int(found[1]), _UNITS[found[2].lower()]


def _bytes(memory: str) -> int:
    number, unit = _parts(memory)
    return number << (10 * unit)
