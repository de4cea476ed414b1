"""A reconciler that is killed at any step leaves what was served, or what was to be served."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest
from tests.serving.rollout.conftest import AS_GOOD, FIRST
from tests.serving.rollout.store import Store

from penchant.clients.home import Home
from penchant.serving.parity import check_answers
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.gates import Gates, LatencyGate, QualityGate
from penchant.serving.session import GraphSession

RECONCILER_S = 120.0
"""Far more than a round takes."""

RECONCILER = """
import os, signal, sys, time
from pathlib import Path
from tests.serving.rollout.store import Store
from tests.serving.rollout.test_crashes import SHORT
from penchant.clients.home import Home

home, die_at, sleep_s = sys.argv[1:]

def on_step(step):
    print(step, flush=True)
    if step == die_at:
        time.sleep(float(sleep_s))
        os.kill(os.getpid(), signal.SIGKILL)

print(Store(Home(Path(home))).rollout(SHORT, on_step).reconciler.reconcile())
"""
SHORT = Gates(quality=QualityGate(enabled=False), latency=LatencyGate(enabled=False))
STEPS = (
    "try",
    "write the verdict",
    "stage",
    "place warmup",
    "place version",
    "commit",
    "collect",
    "verify",
    "write that it is served",
)


def start(home: Home, die_at: str = "", sleep_s: float = 0.0) -> subprocess.Popen[str]:
    """Reconcile in a process of its own, which may be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", RECONCILER, str(home.folder), die_at, str(sleep_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def assert_loadable(repository: Repository, version: int) -> None:
    """Everything that the config names is there, whole, and answers with the version."""
    served = repository.served("tiny")
    assert served.package_version == version
    golden = served.golden()
    answers = GraphSession(served.folder / "model.onnx").run(golden.inputs)
    check_answers(golden, answers)
    assert set(answers["version"].ravel().tolist()) == {version}


@pytest.mark.parametrize("step", STEPS)
def test_the_next_round_completes_what_a_killed_one_began(served: Store, step: str) -> None:
    served.point(CHAMPION, AS_GOOD)
    is_committed = STEPS.index(step) > STEPS.index("commit")

    killed = start(served.home, step)
    said, _ = killed.communicate(timeout=RECONCILER_S)

    assert killed.returncode == -signal.SIGKILL
    assert said.split("\n")[-2] == step
    repository = Repository(served.home.model_repository)
    assert_loadable(repository, AS_GOOD if is_committed else FIRST)
    plan = served.rollout(SHORT).reconciler.reconcile()
    assert [step.action for step in plan.steps] == ["keep" if is_committed else "publish"]
    assert_loadable(repository, AS_GOOD)
    assert served.model().tag(AS_GOOD, record.SERVED_BEFORE) == str(FIRST)
    left = {path.name for path in repository.staging.iterdir()}
    assert left <= {"lock", "reconcile.lock"}


def test_every_step_of_a_round_is_tried(served: Store) -> None:
    steps: list[str] = []
    served.point(CHAMPION, AS_GOOD)

    served.rollout(SHORT, on_step=steps.append).reconciler.reconcile()

    assert steps == list(STEPS)


def test_a_killed_withdrawal_is_completed(served: Store) -> None:
    served.point(CHALLENGER, AS_GOOD)
    served.rollout(SHORT).reconciler.reconcile()
    served.rollout(SHORT).desired.unpoint("tiny", CHALLENGER)

    killed = start(served.home, "withdraw")
    killed.communicate(timeout=RECONCILER_S)

    assert killed.returncode == -signal.SIGKILL
    assert served.served("tiny_challenger") == AS_GOOD
    served.rollout(SHORT).reconciler.reconcile()
    assert served.served("tiny_challenger") is None


def test_one_reconciler_at_a_time_and_the_other_says_who_works(served: Store) -> None:
    served.point(CHAMPION, AS_GOOD)
    first = start(served.home, "try", sleep_s=60)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "try\n"
        with pytest.raises(ValueError, match=rf"process {first.pid} on .*, since 20"):
            served.rollout(SHORT).reconciler.reconcile()
    finally:
        first.kill()
        first.communicate()
    # The lock goes with its holder.
    served.rollout(SHORT).reconciler.reconcile()
    assert served.served() == AS_GOOD


def test_two_reconcilers_at_once_publish_once(served: Store) -> None:
    served.point(CHAMPION, AS_GOOD)
    both = [start(served.home), start(served.home)]

    said = [process.communicate(timeout=RECONCILER_S) for process in both]

    ends = sorted(process.returncode for process in both)
    outcomes = "".join(text[0] for text in said)
    # The second either waits and finds it done, or gives up after the second that tests allow.
    assert ends in ([0, 0], [0, 1]), said
    assert outcomes.count("publish tiny version 2") == 1
    assert Repository(served.home.model_repository).served("tiny").number == 2


def test_a_full_disk_leaves_what_is_served_and_the_next_round_completes(served: Store) -> None:
    def fail(step: str) -> None:
        if step == "commit":
            raise OSError(errno.ENOSPC, "No space left on device")

    served.point(CHAMPION, AS_GOOD)

    (step,) = served.rollout(SHORT, fail).reconciler.reconcile().steps

    assert step.action == "wait"
    assert "No space left on device" in step.reason
    assert_loadable(Repository(served.home.model_repository), FIRST)
    served.rollout(SHORT).reconciler.reconcile()
    assert_loadable(Repository(served.home.model_repository), AS_GOOD)
