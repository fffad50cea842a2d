"""Where MLflow is, a client for it, and what its failures mean."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_mlfeat.errors import MissingExtraError, MlfeatError, TransientError, UserError
from airflow_provider_mlfeat.files import state_directory

DEFAULT_EXPERIMENT = "mlfeat"
_URI = "MLFLOW_TRACKING_URI"
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
# MLflow itself would repeat a failed call for minutes; jobs and the spool have their own ways to try again. Its bars
# would fill a log.
_MANNERS = {
    _RETRIES: "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_NAMES = {"MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT", *_MANNERS}
_OVERLAP_SECONDS = 120
# Which mistakes of MLflow's answer a later try may not repeat.
_TRANSIENT_CODES = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "IO_ERROR",
}


@dataclass(frozen=True)
class Tracking:
    """One MLflow: a tracking server with its registry, or a database that is written to directly.

    :param environment: the variables from which the MLflow library takes address and credentials.
    :param experiment: the experiment that runs are filed under.
    :param artifact_location: folder or bucket for artefacts of an experiment that is made here.
    :param pages: address of MLflow's pages for people; empty where there are none.
    """

    environment: Mapping[str, str] = field(repr=False)
    experiment: str = DEFAULT_EXPERIMENT
    artifact_location: str | None = None
    pages: str = ""

    @classmethod
    def embedded(cls) -> Tracking:
        """The SQLite file and the artefact folder below the state directory."""
        home = state_directory() / "mlflow"
        return cls({_URI: f"sqlite:///{home / 'mlflow.db'}"}, artifact_location=(home / "artifacts").as_uri())

    @classmethod
    def of_surroundings(cls, address: str = "") -> Tracking:
        """The MLflow that the process's variables name; without any, the embedded one.

        :param address: of another MLflow, to which the variables' credentials belong.
        """
        given = {name: value for name, value in os.environ.items() if _is_ours(name)}
        if address:
            given[_URI] = address
        if _URI not in given:
            return cls.embedded()
        address = given[_URI]
        return cls(given, pages=address if is_server(address) else "")

    @property
    def address(self) -> str:
        """What MLflow is told; a database's address may hold a password, so this is not for eyes."""
        return self.environment[_URI]

    @contextmanager
    def client(self) -> Iterator[Any]:
        """An MLflow client, for the time of a ``with`` block.

        MLflow takes credentials from the environment at every call, so the block sets them and puts back what was
        there.
        """
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtraError("mlflow", "MLflow", error.name) from None
        prefix = "sqlite:///"
        if self.address.startswith(prefix):
            Path(self.address.removeprefix(prefix)).parent.mkdir(parents=True, exist_ok=True)
        with set_environment({**_MANNERS, **self.environment}):
            yield MlflowClient(self.address, self.environment.get("MLFLOW_REGISTRY_URI"))

    def experiment_id(self, client: Any) -> str:
        """The experiment's id; it is made when there is none."""
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(client.create_experiment(self.experiment, artifact_location=self.artifact_location))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # Another process has made it between the two calls.
            found = client.get_experiment_by_name(self.experiment)
        if found.lifecycle_stage != "active":
            raise UserError(f"the MLflow experiment '{self.experiment}' is deleted: restore it or name another one")
        return str(found.experiment_id)

    def run_page(self, experiment_id: str, run_id: str) -> str:
        """Address of a run's page; empty where MLflow has no pages."""
        return f"{self.pages.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}" if self.pages else ""

    def model_page(self, name: str, version: int | None = None) -> str:
        """Address of a registered model's page, or of one of its versions; empty where MLflow has no pages."""
        if not self.pages:
            return ""
        page = f"{self.pages.rstrip('/')}/#/models/{quote(name, safe='')}"
        return page if version is None else f"{page}/versions/{version}"


def is_server(address: str) -> bool:
    """Whether an address is a server's, not a database's."""
    return address.startswith(("http://", "https://"))


@contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """Turn what MLflow raises into one sentence: the user's to mend, or worth another try.

    :param doing: what was tried, as the beginning of a sentence.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlfeatError:
        raise
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise TransientError(f"{doing}: MLflow does not answer ({_one_line(error)})") from error
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        kind = TransientError if status >= 500 or status == 0 else UserError
        raise kind(f"{doing}: MLflow's artefact store answers {_one_line(error)}") from error
    except MlflowException as error:
        raise _as_ours(error, doing) from error
    except PermissionError as error:
        raise UserError(f"{doing}: no right to write to {error.filename or 'the artefact store'}") from error
    except OSError as error:
        if error.errno in _UNWRITABLE:
            raise UserError(f"{doing}: {error.filename or 'the artefact store'}: {error.strerror}") from error
        raise


# Trying again does not help before somebody acts.
_UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EDQUOT)


def _as_ours(error: Any, doing: str) -> MlfeatError:
    text = _one_line(error)
    no_answer = "failed with exception" in text or "Max retries exceeded" in text
    if no_answer:
        return TransientError(f"{doing}: MLflow does not answer ({text})")
    if "IntegrityError" in text:
        return TransientError(f"{doing}: another process wrote the same at this moment")
    if "Permission denied" in text or "Read-only file system" in text:
        return UserError(f"{doing}: the artefact store cannot be written to ({text})")
    if "too many 5" in text or "database is locked" in text or error.error_code in _TRANSIENT_CODES:
        return TransientError(f"{doing}: MLflow fails ({text})")
    return UserError(f"{doing}: {text}")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:397]}…"


def is_missing(error: Any) -> bool:
    """Whether an MlflowException says that what was asked for does not exist."""
    # An alias that does not exist is an invalid parameter to MLflow.
    return error.error_code == "RESOURCE_DOES_NOT_EXIST" or (
        error.error_code == "INVALID_PARAMETER_VALUE" and "not found" in str(error)
    )


@dataclass
class _Environment:
    """Whose variables are set now: all threads of one process share them."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    variables: dict[str, str] = field(default_factory=dict)
    users: int = 0
    before: dict[str, str] = field(default_factory=dict)


_environment = _Environment()


@contextmanager
def set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables, and no others by which MLflow finds and enters a server, until the block ends.

    Blocks with the same variables may overlap; one with others waits until they have ended.
    """
    state = _environment
    with state.changed:
        if not state.changed.wait_for(lambda: not state.users or state.variables == variables, _OVERLAP_SECONDS):
            raise TransientError("another thread of this process talks to another MLflow and does not end")
        if not state.users:
            state.before = {name: value for name, value in os.environ.items() if _is_ours(name)}
            state.variables = dict(variables)
            _replace_ours(variables)
        state.users += 1
    try:
        yield
    finally:
        with state.changed:
            state.users -= 1
            if not state.users:
                _replace_ours(state.before)
                state.changed.notify_all()


def _is_ours(name: str) -> bool:
    return name.startswith("MLFLOW_TRACKING_") or name in _NAMES


def _replace_ours(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if _is_ours(name) and name not in variables]:
        del os.environ[name]
    os.environ.update(variables)
