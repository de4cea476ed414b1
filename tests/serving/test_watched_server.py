"""What a supervised server does with publications, good and bad; its reports always fail."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.packages import CONTRACT, raw_rows, score, sealed
from tests.serving.servers import answers_at_all, ask, model_processes, wait_until
from tests.serving.test_repository import start_publisher
from tritonclient.grpc import service_pb2_grpc

from penchant.clients.home import Home
from penchant.serving.golden import write_golden
from penchant.serving.health import Watch
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor


@dataclass(frozen=True)
class Watched:
    """A server of this module's own, and what it reported."""

    server: Supervisor
    lines: list[str]
    stub: Any

    def wait_for(self, text: str) -> None:
        """Wait for a report."""
        wait_until(lambda: any(text in line for line in tuple(self.lines)), text)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("watched") / "model_repository")
    repository.publish(tiny_package, version=1)
    return repository


@pytest.fixture(scope="module")
def watched(repository: Repository) -> Iterator[Watched]:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        # A full disk, a closed stream, and what rich makes of a reader that is gone.
        raise (OSError("full"), ValueError("closed"), SystemExit(1))[len(lines) % 3]

    watch = Watch(canary_every_s=0.3, first_pause_s=0.1, low_counts=50)
    server = Supervisor(repository, Home(repository.folder.parent), watch=watch, report=report)
    server.start()
    options = [("grpc.max_reconnect_backoff_ms", 200)]
    try:
        with grpc.insecure_channel(server.address, options=options) as channel:
            yield Watched(server, lines, service_pb2_grpc.GRPCInferenceServiceStub(channel))
    finally:
        server.stop()


def _wrong_package(package: ModelPackage, folder: Path, model: str = "tiny") -> ModelPackage:
    """It loads, and answers otherwise than its golden rows say."""
    shutil.copytree(package.folder, folder)
    inputs = raw_rows(5)
    outputs = score(inputs)
    write_golden(folder / "golden.npz", inputs, outputs | {"propensity": outputs["propensity"] / 2})
    return sealed(folder, replace(CONTRACT, model=model))


def test_a_version_that_answers_wrongly_is_taken_back(
    watched: Watched, repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    before, restarts = ask(watched.stub), watched.server.num_restarts

    repository.publish(_wrong_package(tiny_package, tmp_path / "wrong"), version=30)

    watched.wait_for(f"tiny version 30 is taken back, tiny version {before} stays")
    assert ask(watched.stub) == before
    assert watched.server.num_restarts == restarts
    assert repository.served("tiny").package_version == before
    # The next start finds the version that works, too.
    os.kill(watched.server.pid, signal.SIGKILL)
    wait_until(lambda: watched.server.num_restarts > restarts, "a restart")
    wait_until(partial(answers_at_all, watched.stub), "an answer")
    assert ask(watched.stub) == before


def test_a_version_that_does_not_load_is_taken_back(
    watched: Watched, repository: Repository, tiny_package: ModelPackage
) -> None:
    before, restarts = ask(watched.stub), watched.server.num_restarts
    good = repository.served("tiny").number
    config = repository.folder / "tiny" / "config.pbtxt"
    text = config.read_text()
    bad = good + 50
    broken = repository.folder / "tiny" / str(bad)
    broken.mkdir()
    (broken / "model.py").write_text("raise RuntimeError('broken on purpose')")

    config.write_text(text.replace(f"versions: {good}\n", f"versions: {bad}\n"))

    watched.wait_for("broken on purpose")
    wait_until(lambda: repository.served("tiny").number == good, "the earlier config")
    assert ask(watched.stub) == before
    assert watched.server.num_restarts == restarts
    repository.publish(tiny_package, version=before + 1)
    wait_until(lambda: ask(watched.stub) == before + 1, "the next version")


def test_a_new_model_that_answers_wrongly_is_left_out(
    watched: Watched, repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    restarts = watched.server.num_restarts

    wrong = _wrong_package(tiny_package, tmp_path / "wrong", "newcomer")
    repository.publish(wrong, version=1)

    watched.wait_for("newcomer version 1 is not served")
    assert watched.server.models == ("tiny",)
    os.kill(watched.server.pid, signal.SIGKILL)
    wait_until(lambda: watched.server.num_restarts > restarts, "a restart")
    wait_until(partial(answers_at_all, watched.stub), "an answer")
    assert watched.server.models == ("tiny",)


def test_a_killed_publisher_does_not_touch_what_is_served(
    watched: Watched, repository: Repository, tiny_package: ModelPackage
) -> None:
    before = ask(watched.stub)
    killed = start_publisher(tiny_package, repository, version=20, die_at="commit")
    killed.communicate(timeout=60)
    assert killed.returncode < 0

    # Whoever looks at the repository sees the next publication, but nothing of the killed one.
    repository.publish(tiny_package, version=21)
    watched.wait_for("now serving tiny version 21")

    assert before != 20
    assert not [line for line in watched.lines if "version 20" in line]


def test_a_model_process_that_pauses_is_no_reason_for_a_restart(watched: Watched) -> None:
    restarts, pid = watched.server.num_restarts, model_processes(watched.server)[0]

    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(pid, signal.SIGCONT)

    ask(watched.stub)
    assert watched.server.num_restarts == restarts
    assert pid in model_processes(watched.server)
