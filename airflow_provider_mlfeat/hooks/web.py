"""One HTTP request to a service that is being tested, and what its failures mean to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import TEST_SECONDS

if TYPE_CHECKING:
    import ssl

    import httpx


def open_client(
    ca_certificate: str | None,
    headers: tuple[tuple[str, str], ...],
    auth: tuple[str, str] | None = None,
    proxies: bool = False,
) -> httpx.Client:
    """An HTTP client with the short timeout of a test.

    :param ca_certificate: PEM file with the authority to trust in place of the usual ones.
    :param headers: headers of every request.
    :param auth: login and password, for basic authentication.
    :param proxies: whether the proxy variables of the environment count.
    """
    import httpx

    return httpx.Client(
        verify=_trust(ca_certificate), headers=list(headers), auth=auth, timeout=TEST_SECONDS, trust_env=proxies
    )


def ask(client: httpx.Client, url: str, **arguments: Any) -> httpx.Response:
    """GET `url`, with failures as sentences.

    :param client: an open client.
    :param url: what to ask for; it must hold no secret.
    :param arguments: passed on to httpx.
    :raises TransientError: nothing answers.
    :raises UserError: what answers is not HTTP, not TLS or not trusted, refuses the credentials, or points elsewhere.
    """
    import httpx

    address = url.split("/")[2]
    try:
        response = client.get(url, **arguments)
    except httpx.TimeoutException:
        raise TransientError(f"{address} does not answer within {TEST_SECONDS:g} s") from None
    except httpx.ConnectError as error:
        raise _connect_error(address, error) from None
    except httpx.TransportError:
        raise UserError(
            f"{address} does not speak {url.split(':', maxsplit=1)[0]}: check the port, the protocol and TLS"
        ) from None
    if response.status_code in (401, 403):
        detail = " ".join(response.text.split())[:200]
        raise UserError(f"{address} refuses these credentials (HTTP {response.status_code}): {detail}".rstrip(": "))
    if response.is_redirect:
        raise UserError(f"{address} points to {response.headers['location']}: use that address")
    if response.status_code >= 500:
        raise TransientError(f"{address} fails with HTTP {response.status_code}")
    return response


def _trust(ca_certificate: str | None) -> ssl.SSLContext | bool:
    if ca_certificate is None:
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_certificate)
    except OSError as error:
        raise UserError(f"the CA certificate '{ca_certificate}' cannot be used: {error.strerror or error}") from None


def _connect_error(address: str, error: httpx.ConnectError) -> UserError | TransientError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return UserError(f"the certificate of {address} is not trusted: set the field 'ca_certificate' ({text})")
    if "SSL" in text or "TLS" in text:
        return UserError(f"{address} does not speak TLS: check the port and the TLS setting")
    if "Name or service not known" in text or "name resolution" in text or "nodename" in text:
        return TransientError(f"the host name of '{address}' is not known here")
    return TransientError(f"nothing listens at {address} ({text})")
