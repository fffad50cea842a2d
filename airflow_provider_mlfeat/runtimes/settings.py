"""Which runtime, and its options: plain documents that an operator takes and a trigger carries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Document, parse_document


class InProcess(Document):
    """Run the job in the process that asks: no start-up cost, gone when that process goes.

    :param kind: ``in_process``.
    """

    kind: Literal["in_process"] = "in_process"


class Process(Document):
    """Run the job in a process of its own, of this or another virtual environment.

    The process gets this package's code from here, so that both sides have the same version; the environment at
    `python` brings the packages that the job needs (pydantic, and those of the job's extra).

    :param kind: ``process``.
    :param python: the interpreter; None is the one that runs now.
    :param environment: variables to set. No secrets: those come from connections.
    """

    kind: Literal["process"] = "process"
    python: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class Mount(Document):
    """A folder of the host inside the container.

    :param source: on the host.
    :param target: in the container; None is the same path, which keeps paths in specs and results true on both sides.
    :param read_only: whether the container may not write.
    """

    source: str
    target: str | None = None
    read_only: bool = False


class Container(Document):
    """Run the job in a container.

    The image brings Python and the packages that the job needs. Job folder and package code are mounted; the user is
    the one who asks, so that what the job writes belongs to them.

    :param kind: ``container``.
    :param image: the image.
    :param docker_url: the engine.
    :param mounts: folders that the job reads and writes.
    :param network: ``none``, ``bridge``, ``host`` or a network's name.
    :param gpus: how many GPUs, -1 for all, 0 for none.
    :param memory: limit such as ``8g``.
    :param shared_memory: size of ``/dev/shm`` such as ``1g``; training with loader processes needs it.
    :param cpus: limit, as a number of cores.
    :param environment: variables to set. No secrets: those come from connections.
    :param ship_code: mount this package's code; False runs the version that the image holds (a remote engine).
    """

    kind: Literal["container"] = "container"
    image: str
    docker_url: str = "unix:///var/run/docker.sock"
    mounts: tuple[Mount, ...] = ()
    network: str = "none"
    gpus: int = Field(default=0, ge=-1)
    memory: str | None = None
    shared_memory: str | None = None
    cpus: float | None = Field(default=None, gt=0)
    environment: dict[str, str] = Field(default_factory=dict)
    ship_code: bool = True


RuntimeSettings = InProcess | Process | Container

_ADAPTER: TypeAdapter[RuntimeSettings] = TypeAdapter(Annotated[RuntimeSettings, Field(discriminator="kind")])
_KINDS = {"in_process": InProcess, "process": Process, "container": Container}


def parse_runtime(value: str | dict[str, Any] | RuntimeSettings) -> RuntimeSettings:
    """Settings from what a user wrote: a kind's name, a document, or settings."""
    if isinstance(value, InProcess | Process | Container):
        return value
    document = {"kind": value} if isinstance(value, str) else value
    kind = document.get("kind")
    if kind not in _KINDS:
        raise UserError(f"unknown runtime {kind!r}; known runtimes: {', '.join(_KINDS)}")
    settings = parse_document(_KINDS[kind], document, f"runtime '{kind}'")
    assert isinstance(settings, InProcess | Process | Container)
    return settings
