"""Prediction servers as jobs see them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.spec import Document, JobContext

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.releases import Release

# The secret of a job that is the servers' bearer token.
TOKEN_SECRET = "server.token"  # noqa: S105 - a name


class ServerPlace(Document):
    """The part of a spec that says where prediction servers are; the bearer token comes as a secret.

    :param urls: their addresses, such as ``http://127.0.0.1:8000``.
    :param timeout: seconds for one call.
    :param wait: seconds until a release has to answer.
    """

    urls: tuple[str, ...] = ()
    timeout: float = Field(default=5.0, gt=0)
    wait: float = Field(default=60.0, gt=0)

    def ask(self, url: str, method: str, path: str, secrets: Mapping[str, str], document: Any = None) -> Any:
        """One call; the answer's document. A bad status raises what the server says."""
        import httpx

        token = secrets.get(TOKEN_SECRET)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = httpx.request(
                method, url.rstrip("/") + path, json=document, headers=headers, timeout=self.timeout, trust_env=False
            )
        except httpx.HTTPError as error:
            raise TransientError(f"the prediction server {url} cannot be reached: {error}") from None
        except httpx.InvalidURL as error:
            raise UserError(f"'{url}' is no address of a prediction server: {error}") from None
        try:
            said = answer.json()
        except ValueError:
            raise UserError(f"{url} is no prediction server: it answers {answer.status_code} without JSON") from None
        if answer.status_code < 400:
            return said
        message = (
            f"{url}{path} answers {answer.status_code}: {said.get('msg', said) if isinstance(said, dict) else said}"
        )
        raise TransientError(message) if answer.status_code >= 500 else UserError(message)

    def wait_for(self, release: Release, context: JobContext) -> None:
        """Wait until every server answers with a release."""
        if not self.urls:
            return
        context.progress.stage("wait", total=len(self.urls), unit="servers")
        deadline = time.monotonic() + self.wait
        for url in self.urls:
            while True:
                reason = self._is_live(url, release, context.secrets)
                if not reason:
                    break
                if time.monotonic() > deadline:
                    raise TransientError(f"{url} does not answer with {release.name} after {self.wait:g} s: {reason}")
                context.cancellation.wait(0.2)
                context.cancellation.check()
            context.progress.advance()

    def _is_live(self, url: str, release: Release, secrets: Mapping[str, str]) -> str:
        """Why a server does not answer with the release; empty when it does."""
        try:
            said = self.ask(url, "GET", "/services", secrets)
        except TransientError as error:
            return str(error)
        from airflow_provider_mlfeat.serving.server.workers import missing

        if not isinstance(said, dict) or "workers" not in said:
            raise UserError(f"{url} does not tell what its workers answer with: is it a server of this version?")
        # One worker answers, and tells of all of them.
        reasons = missing(said["workers"], release.service, release.number)
        return reasons[0] if reasons else ""


def triton_headers(secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of requests to a Triton server, among a job's secrets."""
    from airflow_provider_mlfeat.jobs.triton.place import HEADERS_SECRET

    return tuple((str(name), str(value)) for name, value in json.loads(secrets.get(HEADERS_SECRET, "[]")))
