"""Finding and starting a server: the safe settings, and what is written where."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import RunningTriton

from penchant.serving import tritonserver
from penchant.serving.process import (
    TritonProcess,
    free_port,
    shared_memory_prefix,
    sweep_shared_memory,
)
from penchant.serving.tritonserver import Launch, find_tritonserver, make_backends

ROOT = Path(__file__).parents[2]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(
        repository=tmp_path,
        models=("tiny", "journey"),
        backends=tmp_path,
        grpc_port=1,
        metrics_port=2,
        secret="s3cret",
        shm_prefix="penchant_1_",
    )


def test_command_line_is_safe(launch: Launch) -> None:
    command = tritonserver.command_line(find_tritonserver(), launch)

    assert command[0].endswith("tritonserver")
    for option in (
        "--allow-http=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        "--model-control-mode=explicit",
        "--load-model=tiny",
        "--load-model=journey",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--backend-config=python,shm-region-prefix-name=penchant_1_",
    ):
        assert option in command
    (restricted,) = [o for o in command if o.startswith("--grpc-restricted-protocol=")]
    protocols, _, key = restricted.partition("=")[2].partition(":")
    assert set(protocols.split(",")) == {
        "shared-memory",
        "model-repository",
        "statistics",
        "trace",
        "logging",
    }
    assert key == "penchant=s3cret"


def test_the_server_listens_on_loopback_alone(triton: RunningTriton) -> None:
    ports = {
        int(triton.address.rpartition(":")[2]),
        int(triton.server.metrics_url.split(":")[2][:-8]),
    }

    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if int(port, 16) in ports and line.split()[3] == "0A":
                listening.add((address[-8:], int(port, 16)))
    assert listening == {("0100007F", port) for port in ports}


def test_no_server_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tritonserver.FOLDER_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match="penchant install tritonserver"):
        find_tritonserver()


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = tmp_path / "opt" / "bin" / "tritonserver"
    executable.parent.mkdir(parents=True)
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(executable.parent))

    server = find_tritonserver()

    assert server.executable == executable
    assert server.backends == tmp_path / "opt" / "backends"
    assert make_backends(server, tmp_path / "tools") == server.backends
    assert not (tmp_path / "tools").exists()


def test_backends_are_made_outside_the_server_s_folder(tmp_path: Path) -> None:
    server = find_tritonserver()
    before = sorted(server.backends.rglob("*"))

    backends = make_backends(server, tmp_path)

    stub = backends / "python" / "triton_python_backend_stub"
    assert stub.stat().st_mode & stat.S_IXUSR
    assert make_backends(server, tmp_path) == backends
    assert [path.name for path in tmp_path.iterdir()] == [backends.name]
    assert sorted(server.backends.rglob("*")) == before


def test_the_model_processes_take_this_python_and_their_own_numpy() -> None:
    server = find_tritonserver()
    variables = tritonserver.environment(server)

    assert variables["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert (tritonserver.working_folder(server, Path()) / "numpy").is_dir()
    assert "AIP_MODE" not in variables


def test_an_installed_server_is_not_downloaded_again() -> None:
    assert str(tritonserver.runtime_folder()) in tritonserver.install_tritonserver()


def test_a_server_that_cannot_start_leaves_its_last_words(tmp_path: Path) -> None:
    port = free_port(0, "grpc_port")
    process = TritonProcess(
        find_tritonserver(), tmp_path, models=(), ports=(port, port), home=tmp_path
    )
    try:
        deadline = time.monotonic() + 30
        while process.exit_code() is None:
            assert time.monotonic() < deadline, "it runs"
            time.sleep(0.05)
        assert f"at the same address and port 127.0.0.1:{port}" in process.last_words()
    finally:
        process.kill()


def test_shared_memory_of_dead_supervisors_is_swept() -> None:
    gone = 4194305  # above the largest process id
    namespace = shared_memory_prefix(gone).split("_")[1]
    stale = Path(f"/dev/shm/penchant_{namespace}_{gone}_test")
    kept = [
        Path(f"/dev/shm/penchant_{namespace}_{os.getpid()}_test"),
        # In a container that shares /dev/shm this process id may be alive.
        Path(f"/dev/shm/penchant_1{namespace}_{gone}_test"),
    ]
    try:
        for path in (stale, *kept):
            path.touch()
        sweep_shared_memory()
        assert not stale.exists()
        assert all(path.exists() for path in kept)
    finally:
        for path in (stale, *kept):
            path.unlink(missing_ok=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of another user")
def test_shared_memory_of_another_user_stays() -> None:
    other = Path(f"/dev/shm/{shared_memory_prefix(4194305)}other")
    try:
        other.touch()
        os.chown(other, 65534, -1)
        sweep_shared_memory()
        assert other.exists()
    finally:
        other.unlink(missing_ok=True)


def test_statistics_can_be_left_open(launch: Launch) -> None:
    command = tritonserver.command_line(find_tritonserver(), replace(launch, open_statistics=True))

    (restricted,) = [o for o in command if o.startswith("--grpc-restricted-protocol=")]
    assert "statistics" not in restricted
    assert "model-repository" in restricted


def test_a_relative_runtime_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tritonserver.FOLDER_VARIABLE, "somewhere")

    assert tritonserver.runtime_folder() == Path.cwd() / "somewhere"


def test_makefile_takes_the_pythons_that_the_server_works_with() -> None:
    text = (ROOT / "Makefile").read_text()
    (condition,) = re.findall(r"^USABLE := import sys; (.*)$", text, re.MULTILINE)
    minors = range(8, 20)

    usable = {f"3.{minor}" for minor in minors if _exit_code(condition, (3, minor)) == 0}

    assert usable == set(tritonserver.STUB_NUMPY_SHA256)
    asked = re.findall(r"python(3\.\d+)", text.partition("PYTHON ?=")[2].partition("\n\n")[0])
    assert set(asked) == usable


def _exit_code(condition: str, version: tuple[int, int]) -> int:
    """What the Makefile's line says of a Python."""
    code = f"import sys; sys.version_info = {(*version, 0)}; {condition}"
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
