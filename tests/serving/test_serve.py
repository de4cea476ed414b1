"""The verb: one line when it is up, signals, and what it says when something is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import RunningTriton

from penchant.clients.home import Home
from penchant.serving.check import find_missing
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository

COMMAND = [
    sys.executable,
    "-c",
    "from penchant.clients.command import main; raise SystemExit(main())",
]


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
    line = process.stdout.readline()
    try:
        assert line.startswith("serving tiny version 3 at 127.0.0.1:"), process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def _server_pids(home: Path) -> list[int]:
    """Processes of the tritonserver that serves this home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if b"--model-repository=" + os.fsencode(home) in command:
            found.append(int(path.parent.name))
    return found


def _wait_for_no_server(home: Path) -> None:
    deadline = time.monotonic() + 30
    while _server_pids(home):
        assert time.monotonic() < deadline, "the server outlives its supervisor"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    home: Path, serving: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert Home(home).endpoint.exists()

    serving.send_signal(number)

    assert serving.wait(60) == 0
    assert not Home(home).endpoint.exists()
    assert not _server_pids(home)
    assert not list(Path("/dev/shm").glob(f"penchant_{serving.pid}_*"))


def test_the_server_dies_with_a_killed_supervisor(
    home: Path, serving: subprocess.Popen[str]
) -> None:
    assert _server_pids(home)

    serving.kill()
    serving.wait()

    _wait_for_no_server(home)


def test_nothing_published_is_a_clear_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--home", str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "penchant train" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_finds_everything_where_all_is_there(triton: RunningTriton) -> None:
    findings = find_missing(triton.repository, grpc_port=0)

    assert [finding.name for finding in findings if finding.remedy] == []
    assert "tiny" in {finding.found for finding in findings}


def test_check_names_all_that_is_missing(
    triton: RunningTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_TRITONSERVER_FOLDER", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    port = int(triton.address.rpartition(":")[2])

    findings = find_missing(Repository(tmp_path), grpc_port=port)

    remedies = {finding.name: finding.remedy for finding in findings if finding.remedy}
    assert set(remedies) == {"tritonserver", "a free port for gRPC", "a published model"}
    assert "penchant install tritonserver" in str(remedies["tritonserver"])


def test_check_verb_says_so_with_its_exit_code(home: Path, tmp_path: Path) -> None:
    arguments = ["serve", "--check", "true", "--grpc_port", "0", "--home"]
    complete = subprocess.run([*COMMAND, *arguments, str(home)], capture_output=True, check=False)
    lacking = subprocess.run(
        [*COMMAND, *arguments, str(tmp_path / "none")], capture_output=True, check=False
    )

    assert (complete.returncode, lacking.returncode) == (0, 1)
    assert b"a published model" in lacking.stdout
