"""What jobs on Triton share: which servers and which repository, and what they tell afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import StorageSpec
from airflow_provider_mlfeat.serving.triton.client import Access
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.raw_front import RawFront
from airflow_provider_mlfeat.serving.triton.repository import ModelDirectory, ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Patience, Rollout

# A JSON object with the headers of every request; they may hold a token, so they are no part of a spec.
HEADERS_SECRET = "triton.headers"  # noqa: S105 - the name of a secret


class TritonSpec(JobSpec):
    """The fields of every job on Triton servers.

    :param servers: where they listen, ``host:port`` each.
    :param protocol: ``http`` or ``grpc``.
    :param tls: whether the connection is encrypted.
    :param ca_certificate: PEM file of the authority that signed the servers' certificates.
    :param timeout: seconds for one call.
    """

    servers: tuple[str, ...] = Field(min_length=1)
    protocol: Literal["http", "grpc"] = "http"
    tls: bool = False
    ca_certificate: str | None = None
    timeout: float = Field(default=30.0, gt=0)

    def access(self, secrets: Mapping[str, str]) -> Access:
        """How the servers are reached."""
        headers = json.loads(secrets.get(HEADERS_SECRET, "[]"))
        pairs = tuple((str(name), str(value)) for name, value in headers)
        return Access(self.protocol, self.tls, self.ca_certificate, self.timeout, pairs)

    def fleet(self, secrets: Mapping[str, str]) -> Fleet:
        """The servers."""
        return Fleet(self.servers, self.access(secrets))


class RolloutSpec(TritonSpec, StorageSpec):
    """The fields of jobs that change what is live.

    :param repository: the model repository: a folder, or a prefix of ``s3://`` or ``gs://``.
    :param triton_model: the model's name in Triton.
    :param load_seconds: how long one load may take, warm-up included.
    :param lock_seconds: how long to wait for another roll-out of the same model.
    :param drain_seconds: how long what is no longer live stays loaded, for routers that name versions.
    """

    repository: str
    triton_model: str = Field(min_length=1)
    load_seconds: float = Field(default=120.0, gt=0)
    lock_seconds: float = Field(default=600.0, ge=0)
    drain_seconds: float = Field(default=0.0, ge=0)

    def directory(self, secrets: Mapping[str, str]) -> ModelDirectory:
        """The model in the repository."""
        return ModelRepository(self.repository, self.all_storage_options(secrets)).model(self.triton_model)

    def rollout(self, fleet: Fleet, context: JobContext, *, raw_features: bool = False) -> Rollout:
        """The model's roll-out; a front for raw features that is live goes with it.

        :param fleet: the servers.
        :param context: of the job.
        :param raw_features: whether to bring such a front live.
        """
        patience = Patience(self.load_seconds, self.lock_seconds, self.drain_seconds)
        directory = self.directory(context.secrets)
        made = Rollout(directory, fleet, context.progress, context.cancellation.check, patience)
        made.companion = RawFront(made, context.scratch, raw_features)
        return made


class RolloutResult(JobResult):
    """What jobs that change what is live tell.

    :param triton_model: the model's name in Triton.
    :param triton_version: the live version; 0 when none is.
    :param previous_version: the version to go back to; 0 when there is none.
    :param loaded: the versions that the servers hold ready.
    :param servers: the servers.
    :param repository: the model repository.
    :param endpoint: what a prediction server needs to ask the live version.
    """

    triton_model: str
    triton_version: int
    previous_version: int
    loaded: tuple[int, ...]
    servers: tuple[str, ...]
    repository: str
    endpoint: dict[str, str | int]


def told(spec: RolloutSpec, state: LiveState) -> dict[str, Any]:
    """The fields of `RolloutResult`.

    :param spec: of the job.
    :param state: what is live now.
    """
    endpoint = {"address": spec.servers[0], "protocol": spec.protocol, "model": spec.triton_model}
    return {
        "triton_model": spec.triton_model,
        "triton_version": state.live or 0,
        "previous_version": state.previous or 0,
        "loaded": state.loaded,
        "servers": spec.servers,
        "repository": ModelRepository(spec.repository).location,
        "endpoint": {**endpoint, "version": state.live} if state.live else {},
    }


def whole_version(value: str, what: str) -> int:
    """A version that has to be a number.

    :param value: its text.
    :param what: what it is, for the message.
    """
    if not value.isdigit():
        raise UserError(f"{what} is a whole number, not '{value}'")
    return int(value)
