"""What an MLflow connection says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from airflow_provider_mlfeat.files import state_directory
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.registry.tracking import Tracking, is_server


@dataclass(frozen=True, slots=True)
class MLflowSettings:
    """A tracking server, a tracking database, or the SQLite file below the state directory.

    :param tracking_uri: what MLflow is told; a database's may hold a password.
    :param location: the same without login and password, to show.
    :param registry_uri: where models are registered, when that is elsewhere.
    :param experiment: the experiment that runs are filed under.
    :param artifact_location: folder or bucket for artefacts of a new experiment.
    :param pages: address of MLflow's pages for people; empty where there are none.
    :param ca_certificate: PEM file of the authority that signed the server's certificate.
    :param timeout: seconds for one call.
    :param login: user name, when the server wants one.
    :param password: that user's password.
    :param token: bearer token, in place of login and password.
    """

    tracking_uri: str = field(repr=False)
    location: str
    registry_uri: str | None = field(repr=False)
    experiment: str
    artifact_location: str | None
    pages: str
    ca_certificate: str | None
    timeout: float
    login: str | None
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        in_uris = (_split_credentials(uri)[2] for uri in (self.tracking_uri, self.registry_uri) if uri)
        return tuple(secret for secret in (self.password, self.token, *in_uris) if secret)

    @property
    def is_server(self) -> bool:
        """Whether runs go to a server, not straight to a database."""
        return is_server(self.tracking_uri)

    def tracking(self) -> Tracking:
        """What the core takes."""
        return Tracking(self.environment(), self.experiment, self.artifact_location, self.pages)

    @property
    def sqlite_file(self) -> Path | None:
        """The SQLite file that holds the runs, where there is one."""
        prefix = "sqlite:///"
        return Path(self.tracking_uri.removeprefix(prefix)) if self.tracking_uri.startswith(prefix) else None

    def environment(self) -> dict[str, str]:
        """The variables from which the MLflow library takes these settings, in this process or another."""
        variables = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_REGISTRY_URI": self.registry_uri,
            "MLFLOW_TRACKING_USERNAME": self.login,
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "MLFLOW_TRACKING_TOKEN": self.token,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": self.ca_certificate,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(self.timeout))),
        }
        return {name: value for name, value in variables.items() if value is not None}

    @classmethod
    def parse(cls, fields: ConnectionFields) -> MLflowSettings:
        """The settings in a connection's fields."""
        given, login, password = fields.text("tracking_uri") or _server_address(fields), fields.login, fields.password
        artifacts = fields.text("artifact_location")
        if given is None:
            if login or password or fields.port:
                raise fields.error("the host is empty, but port, login or password is set")
            home = state_directory() / "mlflow"
            given = f"sqlite:///{home / 'mlflow.db'}"
            artifacts = artifacts or (home / "artifacts").as_uri()
        if "://" not in given:
            raise fields.error("the tracking URI has no scheme such as https:// or sqlite:///")
        location, uri_login, uri_password = _split_credentials(given)
        if is_server(location):
            given, login, password = location, login or uri_login, password or uri_password
        if login and not password:
            raise fields.error(f"the password of '{login}' is empty")
        return cls(
            tracking_uri=given,
            location=location,
            registry_uri=fields.text("registry_uri"),
            experiment=fields.text("experiment") or "",
            artifact_location=artifacts,
            pages=fields.text("pages") or (location if is_server(location) else ""),
            ca_certificate=fields.text("ca_certificate"),
            timeout=fields.seconds("timeout"),
            login=login,
            password=password if login else None,
            token=None if login else password,
        )


def _server_address(fields: ConnectionFields) -> str | None:
    """The address that scheme, host and port make, or None without a host."""
    host, scheme = fields.host, (fields.schema or "http").lower()
    if not host:
        return None
    if "://" in host:
        scheme, _, host = host.partition("://")
    if scheme not in ("http", "https"):
        raise fields.error(f"the scheme must be http or https, not '{scheme}'")
    return f"{scheme}://{host.rstrip('/')}" + (f":{fields.port}" if fields.port else "")


def _split_credentials(uri: str) -> tuple[str, str | None, str | None]:
    """A URI without its login and password, and these two."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri, None, None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, unquote(parts.username or "") or None, unquote(parts.password or "") or None
