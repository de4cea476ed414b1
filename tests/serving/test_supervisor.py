"""A real server that is killed, hung, published to and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.packages import raw_rows
from tests.serving.servers import (
    RECOVERY_S,
    answers_at_all,
    ask,
    is_running,
    model_processes,
    server_pids,
    wait_until,
)
from tests.serving.test_wire import to_request
from tritonclient.grpc import service_pb2_grpc

from penchant.clients.home import Home
from penchant.serving.health import Watch
from penchant.serving.package import ModelPackage
from penchant.serving.process import free_port
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor, running_server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("supervised") / "model_repository")
    repository.publish(tiny_package, version=1)
    return repository


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Supervisor]:
    """A server of this module's own, because these tests kill it."""
    watch = Watch(canary_every_s=0.3, first_pause_s=0.1)
    with running_server(repository.folder, watch=watch) as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Supervisor) -> Iterator[Any]:
    options = [("grpc.max_reconnect_backoff_ms", 200)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_endpoint_file_tells_clients_where_to_call(server: Supervisor) -> None:
    endpoint = json.loads(server.home.endpoint.read_text())

    assert endpoint["grpc"] == server.address
    assert endpoint["pid"] == os.getpid()
    assert endpoint["models"] == ["tiny"]


@pytest.mark.parametrize(
    ("victim", "number"),
    [("server", signal.SIGKILL), ("model", signal.SIGKILL), ("model", signal.SIGSTOP)],
)
def test_what_dies_or_hangs_is_started_anew(
    server: Supervisor, stub: Any, victim: str, number: signal.Signals
) -> None:
    restarts, headers = server.num_restarts, server.headers
    pid = server.pid if victim == "server" else model_processes(server)[0]

    os.kill(pid, number)

    wait_until(lambda: server.num_restarts > restarts, "a restart")
    wait_until(partial(answers_at_all, stub), "an answer")
    assert server.headers != headers
    assert not is_running(pid)


def _serves(stub: Any, version: int) -> bool:
    return ask(stub) == version


def test_a_published_version_goes_live_without_a_failed_request(
    server: Supervisor, stub: Any, repository: Repository, tiny_package: ModelPackage
) -> None:
    done = threading.Event()
    before = ask(stub)
    seen: list[list[int]] = [[], [], []]

    def call(versions: list[int]) -> None:
        while not done.is_set():
            versions.append(ask(stub))
        versions.append(ask(stub))

    callers = [threading.Thread(target=call, args=(versions,)) for versions in seen]
    for caller in callers:
        caller.start()
    try:
        for version in (12, 11):
            repository.publish(tiny_package, version=version)
            wait_until(partial(_serves, stub, version), f"version {version}")
    finally:
        done.set()
        for caller in callers:
            caller.join(RECOVERY_S)
    assert not any(caller.is_alive() for caller in callers)

    for versions in seen:
        changes = [b for a, b in zip([None, *versions], versions, strict=False) if a != b]
        # Never back to a version that was left, whichever of them the caller happened to meet.
        assert changes in ([before, 12, 11], [before, 11]), changes
    assert "tiny version 11" in server.describe()


def test_stopping_finishes_what_was_taken_and_leaves_nothing_behind(
    tmp_path: Path, tiny_package: ModelPackage
) -> None:
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1)
    with running_server(repository.folder) as server:
        pid, prefix = server.pid, server.shm_prefix
        assert list(Path("/dev/shm").glob(f"{prefix}*"))
        with grpc.insecure_channel(server.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            calls = [stub.ModelInfer.future(to_request(raw_rows(64)), timeout=30) for _ in range(8)]
            wait_until(lambda: any(call.done() for call in calls), "the first answer")
            server.request_stop()
            codes = {call.code() for call in calls}

    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert not is_running(pid)
    assert not server.home.endpoint.exists()
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))


def test_a_model_that_does_not_load_is_explained(
    tmp_path: Path, tiny_package: ModelPackage
) -> None:
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1)
    (repository.served("tiny").folder / "model.onnx").write_bytes(b"no graph")

    with pytest.raises(ValueError, match=r"(?s)tiny.*InvalidProtobuf|INVALID_PROTOBUF"):
        running_server(repository.folder).__enter__()


def test_a_port_in_use_is_named_before_anything_starts(
    server: Supervisor, repository: Repository, tmp_path: Path
) -> None:
    port = int(server.address.rpartition(":")[2])

    with pytest.raises(ValueError, match=f"grpc_port: expected a free port.*{port}"):
        Supervisor(repository, Home(tmp_path), grpc_port=port)


def test_any_free_port_is_found() -> None:
    assert free_port(0, "grpc_port") > 0


def test_an_empty_repository_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="penchant train"):
        Supervisor(Repository(tmp_path), Home(tmp_path))


INTERRUPTED = """
import sys
from pathlib import Path
from penchant.serving.supervisor import running_server

with running_server(Path(sys.argv[1])):
    print("up", flush=True)
"""


def test_ctrl_c_while_the_server_starts_leaves_nothing_behind(
    tmp_path: Path, tiny_package: ModelPackage
) -> None:
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1)
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(repository.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: bool(server_pids(tmp_path)), "the server's start")
        child.send_signal(signal.SIGINT)
        said, complaint = child.communicate(timeout=RECOVERY_S)
    finally:
        child.kill()
        child.wait(RECOVERY_S)

    assert "up" not in said
    assert "KeyboardInterrupt" in complaint
    assert not server_pids(tmp_path)


class _Failing(Repository):
    """A repository that breaks in a way that nobody has thought of."""

    broken = False

    def models(self) -> list[str]:
        if self.broken:
            raise RuntimeError("on purpose")
        return super().models()


def test_what_ends_the_watching_is_kept(tmp_path: Path, tiny_package: ModelPackage) -> None:
    repository = _Failing(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1)
    lines: list[str] = []
    server = Supervisor(repository, Home(tmp_path), report=lines.append)
    server.start()
    try:
        repository.broken = True
        wait_until(lambda: not server.is_watching(), "the end")
    finally:
        server.stop()

    assert "on purpose" in repr(server.error)
    assert any("on purpose" in line for line in lines)
    assert not is_running(server.pid)
    assert not server.home.endpoint.exists()


def test_stopping_what_never_started_is_no_error(repository: Repository, tmp_path: Path) -> None:
    server = Supervisor(repository, Home(tmp_path))

    server.stop()
    server.kill()

    assert not server.is_watching()
