"""The way to a server: encryption with certificates of both sides, and proxies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.lab import CONTRACT, Lab

from penchant.clients import PropensityClient, ServerUnavailable, Tls
from penchant.clients.transport import channel_options, is_loopback


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a key and certificate of a server and of a client that it signed."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=lab"
    )
    (folder / "names").write_text("subjectAltName=DNS:scores.lab\n")
    for name in ("server", "client"):
        _openssl(
            folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}",
        )  # fmt: skip
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "names", "-out", f"{name}.pem", "-days", "2",
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def secure_lab(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Lab]:
    server = Lab(
        tmp_path_factory.mktemp("secure"),
        extra_arguments=[
            "--grpc-use-ssl=1",
            "--grpc-use-ssl-mutual=1",
            f"--grpc-server-cert={certificates / 'server.pem'}",
            f"--grpc-server-key={certificates / 'server.key'}",
            f"--grpc-root-cert={certificates / 'ca.pem'}",
        ],
    )
    server.publish(CONTRACT)
    server.start()
    yield server
    server.kill()


def test_both_sides_prove_who_they_are(secure_lab: Lab, certificates: Path) -> None:
    tls = Tls(
        root_certificates=certificates / "ca.pem",
        client_key=certificates / "client.key",
        client_certificate=certificates / "client.pem",
        server_name="scores.lab",
    )
    with PropensityClient(
        secure_lab.url, model="lab", deadline_s=5, tls=tls, token="secret"
    ) as client:
        assert len(client.score([{}])) == 1
        assert "secret" not in repr(client)


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_without_a_client_certificate_there_is_no_answer(
    secure_lab: Lab, certificates: Path, is_encrypted: bool
) -> None:
    half = Tls(root_certificates=certificates / "ca.pem", server_name="scores.lab")
    tls = half if is_encrypted else None
    with (
        PropensityClient(secure_lab.url, model="lab", deadline_s=0.5, tls=tls) as client,
        pytest.raises(ServerUnavailable),
    ):
        client.score([{}])


def test_tls_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="client_key and client_certificate together"):
        Tls(client_key=tmp_path)
    with pytest.raises(ValueError, match=r"tls\.root_certificates: expected a PEM file"):
        Tls(root_certificates=tmp_path / "none.pem")


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_stands_before_this_machine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with PropensityClient(lab.url, model="lab", deadline_s=10) as client:
        assert len(client.score([{}])) == 1
    assert ("grpc.enable_http_proxy", 0) not in channel_options("scores.example.org:8001")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *((f"{host}:8001", True) for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]")),
        *((f"{host}:8001", False) for host in ("127.0.0.1.evil.org", "localhost.evil.org")),
        *((f"{host}:8001", False) for host in ("127.evil.org", "10.0.0.1", "[fe80::1]", "example")),
    ],
)
def test_loopback_is_told_from_what_only_looks_like_it(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
    if not expected:
        with pytest.raises(ValueError, match="in the clear"):
            PropensityClient(url, deadline_s=1, token="secret")
