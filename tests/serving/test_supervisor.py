"""A real server that is killed, hung, published to and stopped."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.packages import raw_rows, score
from tests.serving.test_repository import start_publisher
from tests.serving.test_wire import answers, to_request
from tritonclient.grpc import service_pb2_grpc

from penchant.clients.home import Home
from penchant.serving.package import ModelPackage
from penchant.serving.process import free_port
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor, Watch, running_server

RECOVERY_S = 60.0
"""Far more than a restart takes, for machines that are busy otherwise."""


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


def ask(stub: Any) -> int:
    """A right answer's version."""
    rows = raw_rows(4)
    got = answers(stub.ModelInfer(to_request(rows), timeout=30))
    np.testing.assert_allclose(got["propensity"], score(rows)["propensity"], atol=1e-5)
    return int(got["version"][0, 0])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + RECOVERY_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} takes too long"
        time.sleep(0.05)


def model_processes(server: Supervisor) -> list[int]:
    """Process ids of the server's Python processes."""
    tasks = Path("/proc", str(server.pid), "task")
    children = [pid for path in tasks.glob("*/children") for pid in path.read_text().split()]
    return [
        int(pid) for pid in children if "triton_python" in Path("/proc", pid, "comm").read_text()
    ]


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an entry that nobody has reaped."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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
    restarts, secret = server.num_restarts, server.secret
    pid = server.pid if victim == "server" else model_processes(server)[0]

    os.kill(pid, number)

    wait_until(lambda: server.num_restarts > restarts, "a restart")
    wait_until(lambda: _answers(stub), "an answer")
    assert server.secret != secret
    assert not is_running(pid)


def _serves(stub: Any, version: int) -> bool:
    return ask(stub) == version


def _answers(stub: Any) -> bool:
    try:
        return ask(stub) > 0
    except grpc.RpcError:
        return False


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
            caller.join()

    for versions in seen:
        changes = [b for a, b in zip([None, *versions], versions, strict=False) if a != b]
        # Never back to a version that was left, whichever of them the caller happened to meet.
        assert changes in ([before, 12, 11], [before, 11]), changes
    assert "tiny version 11" in server.describe()


def test_a_killed_publisher_does_not_touch_what_is_served(
    server: Supervisor, stub: Any, repository: Repository, tiny_package: ModelPackage
) -> None:
    before = ask(stub)
    start_publisher(tiny_package, repository, version=20, die_at="commit").communicate()

    time.sleep(1.0)

    assert ask(stub) == before


def test_a_version_that_does_not_load_leaves_the_old_one_serving(
    server: Supervisor, stub: Any, repository: Repository, tiny_package: ModelPackage
) -> None:
    before, restarts = ask(stub), server.num_restarts
    good = repository.served("tiny").number
    config = repository.folder / "tiny" / "config.pbtxt"
    text = config.read_text()
    bad = good + 50
    broken = repository.folder / "tiny" / str(bad)
    broken.mkdir()
    (broken / "model.py").write_text("raise RuntimeError('broken on purpose')")

    config.write_text(text.replace(f"versions: {good}\n", f"versions: {bad}\n"))
    time.sleep(3.0)

    assert ask(stub) == before
    assert server.num_restarts == restarts
    repository.publish(tiny_package, version=before + 1)
    wait_until(lambda: ask(stub) == before + 1, "the next version")


def test_stopping_finishes_what_was_taken_and_leaves_nothing_behind(
    tmp_path: Path, tiny_package: ModelPackage
) -> None:
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1)
    with running_server(repository.folder) as server:
        pid = server.pid
        with grpc.insecure_channel(server.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            calls = [stub.ModelInfer.future(to_request(raw_rows(64)), timeout=30) for _ in range(8)]
            wait_until(lambda: any(call.done() for call in calls), "the first answer")
            server.request_stop()
            codes = {call.code() for call in calls}

    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert not is_running(pid)
    assert not server.home.endpoint.exists()
    assert not list(Path("/dev/shm").glob(f"penchant_{os.getpid()}_*{pid}*"))


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
