"""The container's start and its health check, against a real Triton and against none."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import RunningTriton
from tests.serving.servers import RECOVERY_S, wait_until

from penchant.clients.home import Home
from penchant.serving import tritonserver
from penchant.serving.canary import BusyError, Canary
from penchant.serving.container import health
from penchant.serving.container.settings import ContainerSettings
from penchant.serving.package import ModelPackage
from penchant.serving.process import free_port
from penchant.serving.tritonserver import RESTRICTED_PROTOCOLS, find_tritonserver, make_backends

START = [sys.executable, "-m", "penchant.serving.container.start"]
HEALTH = [sys.executable, "-m", "penchant.serving.container.health"]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage) -> Path:
    """A folder of packages with one model."""
    folder = tmp_path_factory.mktemp("mounted")
    shutil.copytree(tiny_package.folder, folder / "tiny-7")
    return folder


def _environment(mounted: Path, home: Path, executable: Path, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if "MLFLOW" not in name},
        "PATH": f"{executable.parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PENCHANT_PACKAGES": str(mounted),
        "PENCHANT_HOME": str(home),
        "PENCHANT_TARGET": "cpu",
        **more,
    }


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _options(mounted: Path, folder: Path) -> list[str]:
    """What a tritonserver is started with that is not there."""
    printing = _script(folder / "bin" / "tritonserver", 'printf "%s\\n" "$@" "AIP=$AIP_MODE"')
    done = subprocess.run(
        [*START, "--log-verbose=1"],
        env=_environment(mounted, folder / "home", printing, AIP_MODE="PREDICTION"),
        capture_output=True,
        text=True,
        check=True,
        timeout=RECOVERY_S,
    )
    assert "penchant: serving tiny version 7 on cpu" in done.stderr
    return done.stdout.splitlines()


def test_it_becomes_a_server_that_is_closed_to_those_who_would_change_it(
    mounted: Path, tmp_path: Path
) -> None:
    first, second = (_options(mounted, tmp_path / name) for name in ("first", "second"))

    for option in (
        f"--model-repository={tmp_path / 'first' / 'home' / 'model_repository'}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--allow-http=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--grpc-address=0.0.0.0",
        "--grpc-port=8001",
        "--metrics-address=0.0.0.0",
        "--metrics-port=8002",
    ):
        assert option in first
    assert first[-2:] == ["--log-verbose=1", "AIP="]
    restricted = "--grpc-restricted-protocol="
    guarded = [next(o for o in options if o.startswith(restricted)) for options in (first, second)]
    names = {option.removeprefix(restricted).partition(":")[0] for option in guarded}
    assert names == {",".join(RESTRICTED_PROTOCOLS)}
    keys = [option.partition(":penchant=")[2] for option in guarded]
    assert keys[0] != keys[1]
    assert all(re.fullmatch(r"[0-9a-f]{32}", key) for key in keys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"PENCHANT_TARGET": "gpu"}, "PENCHANT_TARGET: expected one of"),
        ({"PENCHANT_PACKAGES": "/nowhere"}, "expected at least one folder"),
        ({"PENCHANT_TARGET": "tensorrt"}, "tensorrt: expected"),
        ({"PATH": str(Path(sys.executable).parent)}, "tritonserver: expected one on the PATH"),
    ],
)
def test_what_keeps_it_from_starting_is_one_message(
    mounted: Path, tmp_path: Path, more: Mapping[str, str], message: str
) -> None:
    never = _script(tmp_path / "bin" / "tritonserver", "exit 3")

    done = subprocess.run(
        START,
        env=_environment(mounted, tmp_path / "home", never) | dict(more),
        capture_output=True,
        text=True,
        check=False,
        timeout=RECOVERY_S,
    )

    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@dataclass(frozen=True)
class Container:
    """A start as in the container, whose Triton is the embedded one."""

    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    def health(self) -> subprocess.CompletedProcess[str]:
        """What the image's health check says."""
        return subprocess.run(
            HEALTH,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=RECOVERY_S,
        )

    def children(self) -> list[int]:
        """Triton's model processes."""
        tasks = Path("/proc", str(self.process.pid), "task")
        return [int(pid) for path in tasks.glob("*/children") for pid in path.read_text().split()]


@pytest.fixture(scope="module", params=["cpu", "rehearsal"])
def container(
    request: pytest.FixtureRequest, mounted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("container")
    server = find_tritonserver()
    backends = make_backends(server, folder / "tools")
    variables = tritonserver.environment(server)
    exports = "; ".join(
        f"export {name}='{variables[name]}'" for name in ("LD_LIBRARY_PATH", "PATH")
    )
    embedded = _script(
        folder / "bin" / "tritonserver",
        f'{exports}\ncd "{tritonserver.working_folder(server, folder)}"\n'
        f'exec "{server.executable}" "$@" --backend-directory="{backends}"',
    )
    environment = _environment(
        mounted,
        folder / "home",
        embedded,
        PENCHANT_TARGET=request.param,
        PENCHANT_GRPC_PORT=str(free_port(0, "grpc_port")),
        PENCHANT_METRICS_PORT=str(free_port(0, "metrics_port")),
    )
    shm = f"penchant_container_{os.getpid()}_"
    command = [*START, f"--backend-config=python,shm-region-prefix-name={shm}"]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield Container(process, environment)
    finally:
        # Triton 2.51 waits in vain for model processes that were stopped.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(RECOVERY_S)
        for path in Path("/dev/shm").glob(f"{shm}*"):
            path.unlink()


def test_it_is_well_once_every_model_answers_and_ill_when_one_does_not(
    container: Container,
) -> None:
    first = container.health()
    assert first.returncode == 1
    assert "no model is published" in first.stderr or "refused" in first.stderr

    wait_until(lambda: container.health().returncode == 0, "a container that is well")

    # Triton 2.51 itself would still call itself ready.
    for pid in container.children():
        os.kill(pid, signal.SIGSTOP)
    ill = container.health()
    assert ill.returncode == 1
    assert "model 'tiny'" in ill.stderr
    assert container.process.poll() is None


class _Busy(Canary):
    """Of a model whose queue is always full."""

    def ask(self, model: str, *, timeout_s: float) -> None:
        raise BusyError("Exceeds maximum queue size")


@pytest.mark.parametrize("is_working", [True, False])
def test_a_busy_model_is_well_while_it_answers_others(
    triton: RunningTriton, monkeypatch: pytest.MonkeyPatch, is_working: bool
) -> None:
    monkeypatch.setattr(health, "Canary", _Busy)
    monkeypatch.setattr(health, "PROGRESS_S", 2.0 if is_working else 0.0)
    port = int(triton.server.metrics_url.rpartition(":")[2].partition("/")[0])
    settings = ContainerSettings(home=Home(triton.home), metrics_port=port)

    found = health.problems(settings)

    # The server's own canary asks once a second.
    assert bool(found) != is_working
    assert health.num_answered("tiny", settings) > 0
