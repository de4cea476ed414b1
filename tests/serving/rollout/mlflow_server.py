"""A real MLflow tracking server on a free loopback port."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from penchant.serving.process import free_port

START_S = 120.0
"""Far more than MLflow takes to start."""


@contextmanager
def mlflow_server(
    backend: str, artifacts: str, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run one as long as the block runs; its host:port.

    Args:
        backend: URI of the store.
        artifacts: where it keeps artifacts.
        folder: for its log.
        env: more environment variables.
    """
    port = free_port(0, "port")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", artifacts, "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "mlflow.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            stdout=file,
            stderr=file,
            env=os.environ | dict(env or {}),
            start_new_session=True,
        )
    try:
        _await(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/api/2.0/mlflow/registered-models/search")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
