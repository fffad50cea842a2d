"""From an operator's ``runtime=`` to a runtime with its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mlfeat.runtimes.runtime import Runtime


def runtime_for(settings: dict[str, Any], docker_conn_id: str | None) -> Runtime:
    """The runtime of `settings`; the container runtime logs in through the Docker provider's connection.

    :param settings: as a document.
    :param docker_conn_id: a connection of type ``docker``; None connects without logging in.
    """
    from airflow_provider_mlfeat.errors import MissingExtraError
    from airflow_provider_mlfeat.runtimes.runtime import runtime_of
    from airflow_provider_mlfeat.runtimes.settings import Container, parse_runtime

    parsed = parse_runtime(settings)
    if not isinstance(parsed, Container):
        return runtime_of(parsed)
    try:
        from airflow.providers.docker.hooks.docker import DockerHook
    except ModuleNotFoundError as error:
        raise MissingExtraError("docker", "runtime 'container'", error.name) from None
    hook = DockerHook(docker_conn_id=docker_conn_id, base_url=parsed.docker_url, version="auto")
    return runtime_of(parsed, _connect(hook, parsed.docker_url))


def _connect(hook: Any, url: str) -> Any:
    from docker.errors import DockerException

    from airflow_provider_mlfeat.errors import TransientError

    try:
        return hook.api_client
    except DockerException as error:
        raise TransientError(f"runtime 'container': no Docker engine at {url} ({error})") from None
