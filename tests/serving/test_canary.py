"""The canary's own connection."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import RunningTriton

from penchant.serving.canary import Canary, CanaryError
from penchant.serving.process import free_port
from penchant.serving.repository import Repository


def test_a_proxy_of_the_environment_is_not_asked(
    triton: RunningTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    canary = Canary(triton.address, triton.server.headers, triton.repository)
    try:
        canary.ask("tiny", timeout_s=10)
    finally:
        canary.close()


def test_a_server_that_is_gone_is_a_canary_error(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port(0, 'grpc_port')}"
    canary = Canary(address, {}, Repository(tmp_path))
    try:
        with pytest.raises(CanaryError, match="version"):
            canary.server_version(timeout_s=2)
        with pytest.raises(CanaryError):
            canary.unload("tiny", timeout_s=2)
    finally:
        canary.close()
