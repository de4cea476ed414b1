"""Watching goes on through whatever becomes of the registry, and acts on no mistake of its."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serving.rollout.conftest import AS_GOOD, FIRST
from tests.serving.rollout.faulty_store import FaultyStore, Mood, faulty_store
from tests.serving.rollout.mlflow_server import mlflow_server
from tests.serving.rollout.store import QUICK, Store, copy_of
from tests.serving.servers import wait_until

from penchant.clients.home import Home
from penchant.serving.registry import CHALLENGER, CHAMPION, Registry
from penchant.serving.rollout import desired_state
from penchant.serving.rollout.gates import QualityGate
from penchant.serving.rollout.reconciler import Reconciler
from penchant.serving.rollout.rollout import Rollout
from penchant.serving.rollout.watch import LONGEST_PAUSE_S, Watch
from penchant.serving.tracking_uri import StoreError

SHORT = replace(QUICK, quality=QualityGate(enabled=False))


@pytest.fixture(scope="module")
def upstream(
    registered_and_served: Home, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real server over a copy of the registry, as all tests of this file leave it."""
    folder = tmp_path_factory.mktemp("upstream")
    home = copy_of(registered_and_served, folder / "home").home
    backend = f"sqlite:///{home.mlflow_database.absolute()}"
    with mlflow_server(backend, str(home.mlflow_artifacts.absolute()), folder) as address:
        yield address


@pytest.fixture
def faulty(upstream: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """The same, through a proxy that a test puts into a mood."""
    monkeypatch.setitem(desired_state._LIMITS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setitem(desired_state._LIMITS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with faulty_store(upstream) as store:
        yield store


@pytest.fixture
def watched(served: Store, faulty: FaultyStore) -> Iterator[tuple[Watch, list[str]]]:
    """A watch over the proxy, and what it says."""

    def open_rollout() -> Rollout:
        return Rollout.open(served.home.folder, tracking_uri=faulty.url, gates=SHORT)

    said: list[str] = []
    yield Watch(open_rollout, 1.0, say=said.append), said
    faulty.mood = "well"
    Registry(served.home).connect()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "mood", ["error", "empty", "garbage", "slow", "another model", "no aliases"]
)
def test_a_store_that_fails_or_errs_changes_nothing(
    served: Store, faulty: FaultyStore, watched: tuple[Watch, list[str]], mood: Mood
) -> None:
    watch, said = watched
    watch.round([])
    assert "keep tiny version 1" in said[-1]
    before = sorted(served.home.model_repository.rglob("*"))

    faulty.mood = mood
    for _ in range(2):
        watch.round([])

    assert sorted(served.home.model_repository.rglob("*")) == before
    assert served.served() == FIRST
    faulty.mood = "well"
    watch.round([])
    assert "keep tiny version 1" in said[-1]
    assert watch.pause_s() == 1.0


def test_a_failure_is_said_once_and_pauses_grow(
    served: Store, faulty: FaultyStore, watched: tuple[Watch, list[str]]
) -> None:
    watch, said = watched
    faulty.mood = "error"
    pauses = []
    for _ in range(12):
        watch.round([])
        pauses.append(watch.pause_s())

    assert len(said) == 1
    assert "nothing is changed" in said[0]
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_named_model_that_seems_gone_is_not_withdrawn(served: Store, faulty: FaultyStore) -> None:
    rollout = Rollout.open(served.home.folder, tracking_uri=faulty.url, gates=SHORT)
    faulty.mood = "another model"
    try:
        with pytest.raises(StoreError, match="asked for 'tiny', it answered with 'other'"):
            rollout.reconciler.reconcile(["tiny"])
    finally:
        Registry(served.home).connect()
    assert served.served() == FIRST


def test_a_withdrawal_needs_the_same_answer_twice(served: Store) -> None:
    """The alias is gone in the first answer alone."""
    rollout = served.rollout(SHORT)
    honest, answers = rollout.desired.model, 0

    class Erring(desired_state.DesiredState):
        def model(self, name: str) -> desired_state.RegisteredModel | None:
            nonlocal answers
            answers += 1
            found = honest(name)
            assert found is not None
            return replace(found, aliases={}) if answers == 1 else found

    reconciler = Reconciler(
        Erring(rollout.desired.registry), served.home.model_repository, served.home, SHORT
    )
    (step,) = reconciler.reconcile().steps

    assert step.action == "wait"
    assert served.served() == FIRST


def test_the_command_follows_the_aliases_and_ends_when_told(served: Store, tmp_path: Path) -> None:
    penchant = Path(sys.executable).with_name("penchant")
    command = [str(penchant), "reconcile", "--watch", "--interval-s", "0.2"]
    command += ["--home", str(served.home.folder), "--gates.quality.enabled", "false"]
    command += ["--gates.latency.enabled", "false"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ)
    try:
        wait_until(lambda: "keep tiny version 1" in log.read_text(), "the first round")
        served.point(CHAMPION, AS_GOOD)
        wait_until(lambda: served.served() == AS_GOOD, "the new champion")
        served.point(CHALLENGER, FIRST)
        wait_until(lambda: served.served("tiny_challenger") == FIRST, "the challenger")
        time.sleep(1)
        rounds = log.read_text().count("UTC\n")
        time.sleep(1)
        assert log.read_text().count("UTC\n") == rounds, "the same is not said again"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
