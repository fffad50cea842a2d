"""A Redis that speaks TLS: certificates are checked, and what is wrong with them is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from tests.hooks.conftest import SECRET, free_port, process
from tests.online import shop


@dataclass(frozen=True)
class Secured:
    """A Redis behind TLS.

    :param address: with the authority that signed its certificate.
    :param other_authority: the certificate of an authority that did not.
    """

    address: StoreAddress
    other_authority: Path


def _openssl(*arguments: object, cwd: Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True, timeout=60)


def _authority(folder: Path, name: str) -> Path:
    """An authority's key and certificate."""
    subject, files = f"/CN={name}", ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", subject, *files, cwd=folder)
    return folder / f"{name}.crt"


def _certificate(folder: Path, authority: str, names: str) -> None:
    """A server's key and certificate for some names."""
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=redis", "-keyout", "redis.key", "-out", "redis.csr",
             cwd=folder)  # fmt: skip
    (folder / "names.cnf").write_text(f"subjectAltName={names}\n")
    signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "names.cnf")
    _openssl("x509", "-req", "-in", "redis.csr", "-days", 2, "-out", "redis.crt", *signed, cwd=folder)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    for program in ("redis-server", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine: scripts/install_test_services installs it")
    folder = tmp_path_factory.mktemp("tls")
    authority, other = _authority(folder, "authority"), _authority(folder, "other")
    _certificate(folder, "authority", "IP:127.0.0.1,DNS:redis.example")
    port = free_port()
    command = ["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key", "--tls-ca-cert-file", "authority.crt"]
    command += ["--tls-auth-clients", "no", "--requirepass", SECRET, "--dir", str(folder)]
    for place, text in enumerate(command):
        if text.endswith((".crt", ".key")):
            command[place] = str(folder / text)
    with process(command, port, folder / "server.log", 15):
        address = StoreAddress(
            host="127.0.0.1", port=port, tls=True, ca_certificate=str(authority), password=SECRET, timeout=2.0
        )
        yield Secured(address, other)


def test_rows_go_there_and_back(secured: Secured) -> None:
    address = replace(secured.address, key_prefix=uuid4().hex)
    assert str(address).startswith("rediss://127.0.0.1:")
    with open_store(address) as store:
        shop.create(store)
        shop.deployed(store, "sums", shop.SUMS)
        shop.put(store, "purchase", ("ann", 19_000, 2.5, "hat"))
        assert FeatureService(store).features("sums", ("ann", 20_000, 1)) == ("ann", 2.5, 1, "hat,NULL", None)


def test_a_certificate_that_nobody_vouches_for(secured: Secured) -> None:
    message = "the certificate of Redis at 127.0.0.1:.* is not to be trusted: .*ca_certificate"
    with open_store(replace(secured.address, ca_certificate="")) as store, pytest.raises(UserError, match=message):
        store.tables()
    other = replace(secured.address, ca_certificate=str(secured.other_authority))
    with open_store(other) as store, pytest.raises(UserError, match=message):
        store.tables()


def test_a_certificate_for_another_host(secured: Secured) -> None:
    with open_store(replace(secured.address, host="localhost")) as store:
        with pytest.raises(UserError, match="certificate of Redis at localhost:.* is not to be trusted: .*localhost"):
            store.tables()


def test_no_tls_where_redis_wants_it(secured: Secured) -> None:
    with open_store(replace(secured.address, tls=False, ca_certificate="")) as store:
        with pytest.raises(TransientError, match="is away"):
            store.tables()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_that_is_no_certificate(secured: Secured, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "authority.crt"
    if text is not None:
        path.write_text(text)
    message = f"'{path}' holds no certificate of an authority"
    with pytest.raises(UserError, match=message), open_store(replace(secured.address, ca_certificate=str(path))):
        pass
