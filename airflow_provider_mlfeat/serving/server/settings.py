"""How a server is set up; it travels to the worker processes as one environment variable, secrets in their own."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_mlfeat.errors import UserError

SETTINGS_VARIABLE = "MLFEAT_SERVER"
TOKEN_VARIABLE = "MLFEAT_SERVER_TOKEN"  # noqa: S105 - a name
TOKEN_FILE_VARIABLE = "MLFEAT_SERVER_TOKEN_FILE"  # noqa: S105 - a name


class ServerSettings(BaseModel):
    """Settings of `mlfeat serve`.

    :param store: where the online store is.
    :param service: which service the short paths (`/predict`, `/schema`) mean.
    :param host: address to listen at.
    :param port: port to listen at.
    :param workers: how many processes answer.
    :param in_flight: how many requests one worker answers at a time; more are told to come back.
    :param deadline: seconds that a request may take.
    :param largest_body: bytes of a request's body.
    :param log_share: which share of the predictions is written to the request log.
    :param log_folder: where the request log goes; empty keeps none.
    :param models: folder where models of the registry are kept that `/update` fetches.
    :param tracking_uri: MLflow server or store that `/update` takes models from.
    :param refresh_seconds: how often a worker looks whether another release is live.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(min_length=1)
    service: str = "default"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    in_flight: int = Field(default=256, ge=1)
    deadline: float = Field(default=2.0, gt=0)
    largest_body: int = Field(default=1 << 20, ge=1)
    log_share: float = Field(default=1.0, ge=0, le=1)
    log_folder: str = ""
    models: str = ""
    tracking_uri: str = ""
    refresh_seconds: float = Field(default=0.25, gt=0)

    @classmethod
    def from_environment(cls) -> ServerSettings:
        """The settings that the starting process left."""
        return cls.model_validate_json(os.environ[SETTINGS_VARIABLE])


def token_from_environment() -> str | None:
    """The bearer token that callers need, if any: from a variable, or from the file that one names."""
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip() or None
        except OSError as error:
            raise UserError(f"{TOKEN_FILE_VARIABLE} names {file}, which cannot be read: {error.strerror}") from None
    return os.environ.get(TOKEN_VARIABLE) or None
