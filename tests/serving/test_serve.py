"""The verb: one line when it is up, signals, and what it says when something is missing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from rich.console import Console
from tests.conftest import RunningTriton
from tests.serving.servers import RECOVERY_S, answers_at_all, server_pids, wait_until
from tritonclient.grpc import service_pb2_grpc

from penchant.clients.home import Home
from penchant.serving.check import check_serving, find_missing, min_shm_bytes
from penchant.serving.package import ModelPackage
from penchant.serving.process import shared_memory_prefix
from penchant.serving.repository import Repository
from penchant.serving.serve import serve
from penchant.serving.tritonserver import SHM_DEFAULT_BYTES

COMMAND = [
    sys.executable,
    "-c",
    "from penchant.clients.command import main; raise SystemExit(main())",
]


ANY_PORTS = {"grpc_port": 0, "metrics_port": 0}


@pytest.fixture
def home(tmp_path: Path, tiny_package: ModelPackage) -> Path:
    Repository(Home(tmp_path).model_repository).publish(tiny_package, version=3)
    return tmp_path


@pytest.fixture
def serving(home: Path) -> Iterator[subprocess.Popen[str]]:
    """``penchant serve`` that has said where it listens."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--home", str(home), "--grpc_port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    # Its end closes the pipe, so that a server that never comes up blocks nobody.
    watchdog = threading.Timer(RECOVERY_S, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    try:
        assert line.startswith("serving tiny version 3 at 127.0.0.1:"), line
        yield process
    finally:
        process.kill()
        process.wait(RECOVERY_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(
    home: Path, serving: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert Home(home).serving_pid() == serving.pid
    with pytest.raises(ValueError, match=rf"home: .* process {serving.pid} serves at 127"):
        serve(home=home, grpc_port=0)

    serving.send_signal(number)

    assert serving.wait(RECOVERY_S) == 0
    assert not Home(home).endpoint.exists()
    assert not server_pids(home)
    assert not list(Path("/dev/shm").glob(f"{shared_memory_prefix(serving.pid)}*"))


def test_the_server_dies_with_a_killed_supervisor(
    home: Path, serving: subprocess.Popen[str]
) -> None:
    assert server_pids(home)

    serving.kill()
    serving.wait(RECOVERY_S)

    wait_until(lambda: not server_pids(home), "the server's end")


def test_a_terminal_that_is_gone_ends_no_server(home: Path, serving: subprocess.Popen[str]) -> None:
    (before,) = server_pids(home)
    for stream in (serving.stdout, serving.stderr):
        assert stream is not None
        stream.close()

    os.kill(before, signal.SIGKILL)

    wait_until(lambda: server_pids(home) not in ([], [before]), "the next server")
    endpoint = json.loads(Home(home).endpoint.read_text())
    with grpc.insecure_channel(endpoint["grpc"]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        wait_until(partial(answers_at_all, stub), "an answer")
    serving.terminate()
    serving.wait(RECOVERY_S)
    assert not server_pids(home)
    assert not Home(home).endpoint.exists()


def test_nothing_published_is_a_clear_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=RECOVERY_S,
    )

    assert done.returncode != 0
    assert "penchant train" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_finds_everything_where_all_is_there(triton: RunningTriton) -> None:
    findings = find_missing(triton.repository, ports=ANY_PORTS)

    assert [finding.name for finding in findings if finding.remedy] == []
    assert "tiny" in {finding.found for finding in findings}


def test_check_names_all_that_is_missing(
    triton: RunningTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_TRITONSERVER_FOLDER", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    grpc_port = int(triton.address.rpartition(":")[2])
    metrics_port = int(triton.server.metrics_url.split(":")[2].partition("/")[0])

    ports = {"grpc_port": grpc_port, "metrics_port": metrics_port}
    findings = find_missing(Repository(tmp_path), ports=ports)

    remedies = {finding.name: finding.remedy for finding in findings if finding.remedy}
    assert set(remedies) == {
        "tritonserver",
        "a free port for gRPC",
        "a free port for metrics",
        "a published model",
    }
    assert "penchant install tritonserver" in str(remedies["tritonserver"])


def test_check_verb_says_so_with_its_exit_code(home: Path, tmp_path: Path) -> None:
    arguments = ["serve", "--check", "true", "--grpc_port", "0", "--home"]
    complete, lacking = (
        subprocess.run(
            [*COMMAND, *arguments, str(folder)],
            capture_output=True,
            check=False,
            timeout=RECOVERY_S,
        )
        for folder in (home, tmp_path / "none")
    )

    assert (complete.returncode, lacking.returncode) == (0, 1)
    assert b"a published model" in lacking.stdout
    assert b"hidepid=2" in complete.stdout


def test_check_prints_a_remedy_with_brackets_whole(
    triton: RunningTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    console = Console(record=True, width=300, file=io.StringIO())

    assert check_serving(triton.repository, ports=ANY_PORTS, console=console) == 1

    assert "pip install 'penchant[serving]'" in console.export_text()


def test_check_asks_for_shared_memory_for_all_default_processes(triton: RunningTriton) -> None:
    processes = triton.repository.num_processes("tiny")

    # One process keeps at least this much, before and after a reload.
    assert min_shm_bytes() >= 2 * processes * SHM_DEFAULT_BYTES
