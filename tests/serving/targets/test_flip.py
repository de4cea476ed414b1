"""A supervised server while ensembles are published, switched, broken and taken back."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import onnx
import pytest
from onnx import TensorProto, helper
from tests.packages import CONTRACT, raw_rows, score, sealed
from tests.serving.servers import RECOVERY_S, answers_at_all, ask, model_processes, wait_until
from tritonclient.grpc import service_pb2, service_pb2_grpc

from penchant.clients.home import Home
from penchant.serving.golden import write_golden
from penchant.serving.health import Watch
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor
from penchant.serving.targets.cpu import CpuTarget
from penchant.serving.targets.rehearsal import RehearsalTarget

REHEARSAL = RehearsalTarget()
NUM_CALLERS = 3


@dataclass(frozen=True)
class Served:
    """A server of this module's own, its repository, and what it reported."""

    server: Supervisor
    repository: Repository
    stub: Any
    lines: list[str] = field(default_factory=list)

    def publish(self, package: ModelPackage, version: int, target: Any = REHEARSAL) -> None:
        """Publish a good version and wait until the server is content with it."""
        num_lines = len(self.lines)
        self.repository.publish(_patient(package), version=version, target=target)
        self.wait_for(f"now serving tiny version {version}", since=num_lines)
        assert ask(self.stub) == version

    def wait_for(self, text: str, *, since: int = 0) -> None:
        """Wait for a report."""
        wait_until(lambda: any(text in line for line in self.lines[since:]), text)

    def loaded(self) -> set[str]:
        """Models that the server holds."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        index = self.stub.RepositoryIndex(request, metadata=tuple(self.server.headers.items()))
        return {model.name for model in index.models}


def _patient(package: ModelPackage) -> ModelPackage:
    """Requests may wait in its queues while a busy machine starts the processes of a version."""
    contract = replace(CONTRACT, latency_budget_ms=500.0)
    return ModelPackage(package.folder, replace(package.manifest, contract=contract))


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage
) -> Iterator[Served]:
    repository = Repository(tmp_path_factory.mktemp("flipped") / "model_repository")
    repository.publish(_patient(tiny_package), version=1, target=REHEARSAL)
    lines: list[str] = []
    watch = Watch(canary_every_s=0.3, first_pause_s=0.1, low_counts=50)
    home = Home(repository.folder.parent)
    server = Supervisor(repository, home, watch=watch, report=lines.append)
    server.start()
    options = [("grpc.max_reconnect_backoff_ms", 200)]
    try:
        with grpc.insecure_channel(server.address, options=options) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield Served(server, repository, stub, lines)
    finally:
        server.stop()


@contextmanager
def _callers(stub: Any) -> Iterator[list[list[int]]]:
    """Callers who ask without a pause; each failed or wrong answer fails the test."""
    done = threading.Event()
    seen: list[list[int]] = [[] for _ in range(NUM_CALLERS)]
    failures: list[str] = []

    def call(versions: list[int]) -> None:
        try:
            while not done.is_set():
                versions.append(ask(stub))
            versions.append(ask(stub))
        except (grpc.RpcError, AssertionError) as error:
            failures.append(repr(error))

    callers = [threading.Thread(target=call, args=(versions,)) for versions in seen]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        done.set()
        for caller in callers:
            caller.join(RECOVERY_S)
    assert not any(caller.is_alive() for caller in callers)
    assert not failures


def _changes(versions: list[int]) -> list[int]:
    """Versions in the order in which a caller met them."""
    return [b for a, b in zip([None, *versions], versions, strict=False) if a != b]


def test_versions_and_targets_change_under_load_without_a_failed_request(
    served: Served, tiny_package: ModelPackage
) -> None:
    cpu = CpuTarget(instances=2)
    flips = [(2, REHEARSAL), (3, cpu), (4, REHEARSAL), (2, REHEARSAL)]
    before = ask(served.stub)

    with _callers(served.stub) as seen:
        for version, target in flips:
            served.publish(tiny_package, version, target)

    order = [before, *(version for version, _ in flips)]
    for versions in seen:
        met = _changes(versions)
        # A caller may miss a version, but never goes back to one that was left.
        rest = iter(order)
        assert all(version in rest for version in met), met
    assert served.server.num_restarts == 0


def test_old_steps_are_dropped_once_nothing_leads_to_them(
    served: Served, tiny_package: ModelPackage
) -> None:
    served.publish(tiny_package, 6)

    assert len(served.repository.parts("tiny")) == 4
    expected = {"tiny", *served.repository.parts("tiny")}
    wait_until(lambda: served.loaded() == expected, "the old steps' end")
    num_processes = served.repository.num_processes("tiny")
    assert num_processes == 8
    wait_until(lambda: len(model_processes(served.server)) == num_processes, "their processes' end")

    served.publish(tiny_package, 7, CpuTarget(instances=2))
    wait_until(lambda: served.loaded() == {"tiny"}, "all steps' end")
    served.publish(tiny_package, 8)


def test_a_version_of_other_tensors_takes_over(
    served: Served, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    """Its steps take and give other shapes than those of the version before."""
    wider = _wider_package(tiny_package, tmp_path / "wider")

    with _callers(served.stub):
        served.publish(wider, 10)
        served.publish(tiny_package, 11)


def _wider_package(package: ModelPackage, folder: Path) -> ModelPackage:
    """The same model, whose encode hands one tensor on in another shape."""
    shutil.copytree(package.folder, folder)
    encode, net = (onnx.load(str(folder / name)) for name in ("encode.onnx", "net.onnx"))
    for tensor in (*encode.graph.output, *net.graph.input):
        if tensor.name == "position":
            tensor.type.tensor_type.shape.dim[1].dim_value = 4
    for node in encode.graph.node:
        node.output[:] = ["narrow" if name == "position" else name for name in node.output]
    encode.graph.node.append(helper.make_node("Concat", ["narrow", "narrow"], ["position"], axis=1))
    for node in net.graph.node:
        node.input[:] = ["narrow" if name == "position" else name for name in node.input]
    ends = [
        helper.make_tensor(name, TensorProto.INT64, [1], [at])
        for name, at in (("from", 0), ("to", 2))
    ]
    net.graph.initializer.extend(ends)
    net.graph.node.insert(
        0, helper.make_node("Slice", ["position", "from", "to", "axis_1"], ["narrow"])
    )
    onnx.save(encode, str(folder / "encode.onnx"))
    onnx.save(net, str(folder / "net.onnx"))
    return sealed(folder)


@pytest.mark.parametrize("step", ["encode", "decode"])
def test_a_version_with_a_step_that_does_not_load_is_taken_back(
    served: Served, tiny_package: ModelPackage, step: str
) -> None:
    before, restarts = ask(served.stub), served.server.num_restarts
    parts = set(served.repository.parts("tiny"))
    version = {"encode": 30, "decode": 31}[step]

    placed: list[str] = []

    def damage(at: str) -> None:
        placed.append(at.removeprefix("place "))
        if at == "commit":
            (part,) = (name for name in placed if name.startswith(f"tiny_{step}_"))
            (graph,) = served.repository.folder.glob(f"{part}/*/model.onnx")
            graph.write_bytes(b"no graph")

    with _callers(served.stub) as seen:
        damaging = Repository(served.repository.folder, on_step=damage)
        damaging.publish(_patient(tiny_package), version=version, target=REHEARSAL)
        served.wait_for(f"tiny version {version} is taken back, tiny version {before} stays")

    assert {version for versions in seen for version in versions} == {before}
    assert served.server.num_restarts == restarts
    wait_until(lambda: served.loaded() == {"tiny", *parts}, "the end of the steps that loaded")


def test_a_version_that_answers_wrongly_is_taken_back(
    served: Served, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    before, restarts = ask(served.stub), served.server.num_restarts
    shutil.copytree(tiny_package.folder, tmp_path / "wrong")
    inputs = raw_rows(5)
    outputs = score(inputs)
    outputs["propensity"] = outputs["propensity"] / 2
    write_golden(tmp_path / "wrong" / "golden.npz", inputs, outputs)

    wrong = sealed(tmp_path / "wrong")
    served.repository.publish(_patient(wrong), version=40, target=REHEARSAL)

    served.wait_for(f"tiny version 40 is taken back, tiny version {before} stays")
    assert ask(served.stub) == before
    assert served.server.num_restarts == restarts


def test_a_killed_server_comes_back_with_the_ensemble(served: Served) -> None:
    before, restarts = ask(served.stub), served.server.num_restarts

    os.kill(served.server.pid, signal.SIGKILL)

    wait_until(lambda: served.server.num_restarts > restarts, "a restart")
    wait_until(partial(answers_at_all, served.stub), "an answer")
    assert ask(served.stub) == before
    assert served.loaded() == {"tiny", *served.repository.parts("tiny")}
