"""The repository follows the registry's aliases, and nothing else."""

from __future__ import annotations

import pytest
from tests.packages import CONTRACT
from tests.serving.rollout.conftest import AS_GOOD, FIRST, MISCALIBRATED, WORSE, WRONG
from tests.serving.rollout.store import Store

from penchant.clients.wire_contract import WireContract
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.plan import Plan


def contract_of(store: Store, name: str) -> WireContract:
    return Repository(store.home.model_repository).served(name).contract


def lines(plan: Plan) -> list[str]:
    return [f"{step.action} {step.role} {step.version}" for step in plan.steps]


def test_nothing_is_served_where_nothing_is_wanted(store: Store) -> None:
    plan = store.rollout().reconciler.reconcile()

    assert str(plan) == "nothing is wanted, and nothing of penchant's is served"
    assert Repository(store.home.model_repository).models() == []


def test_the_aliases_are_followed_and_a_second_round_changes_nothing(store: Store) -> None:
    store.point(CHAMPION, FIRST)
    store.point(CHALLENGER, AS_GOOD)
    rollout = store.rollout()

    assert lines(rollout.reconciler.reconcile()) == ["publish champion 1", "publish challenger 2"]

    assert (store.served(), store.served("tiny_challenger")) == (FIRST, AS_GOOD)
    assert contract_of(store, "tiny") == CONTRACT
    assert contract_of(store, "tiny_challenger").model == "tiny_challenger"
    before = {path: path.stat().st_mtime_ns for path in store.home.model_repository.rglob("*")}
    assert lines(rollout.reconciler.reconcile()) == ["keep champion 1", "keep challenger 2"]
    after = {path: path.stat().st_mtime_ns for path in store.home.model_repository.rglob("*")}
    assert before == after


def test_a_plan_says_what_there_is_to_do_and_does_nothing(store: Store) -> None:
    store.point(CHAMPION, FIRST)

    plan = store.rollout().reconciler.plan()

    assert str(plan) == "publish tiny version 1"
    assert not store.home.model_repository.exists()
    assert record.OUTCOME not in store.model().versions[FIRST].tags


def test_a_challenger_without_alias_is_withdrawn_and_comes_back_newer(store: Store) -> None:
    store.point(CHAMPION, FIRST)
    store.point(CHALLENGER, AS_GOOD)
    rollout = store.rollout()
    rollout.reconciler.reconcile()
    repository = Repository(store.home.model_repository)
    before = repository.stamp("tiny_challenger")
    assert before is not None

    rollout.desired.unpoint("tiny", CHALLENGER)
    plan = rollout.reconciler.reconcile()

    assert lines(plan) == ["keep champion 1", "withdraw challenger None"]
    assert repository.models() == ["tiny"]
    store.point(CHALLENGER, AS_GOOD)
    rollout.reconciler.reconcile()
    after = repository.stamp("tiny_challenger")
    assert after is not None
    assert after[0] > before[0]
    assert repository.served("tiny_challenger").number == 2


def test_a_champion_without_alias_is_withdrawn_with_its_challenger(store: Store) -> None:
    store.point(CHAMPION, FIRST)
    store.point(CHALLENGER, AS_GOOD)
    rollout = store.rollout()
    rollout.reconciler.reconcile()

    rollout.desired.unpoint("tiny", CHAMPION)
    plan = rollout.reconciler.reconcile()

    assert [step.action for step in plan.steps] == ["withdraw", "withdraw"]
    assert Repository(store.home.model_repository).models() == []


def test_a_challenger_waits_for_a_champion(store: Store) -> None:
    store.point(CHALLENGER, FIRST)

    plan = store.rollout().reconciler.reconcile()

    assert lines(plan) == ["wait challenger 1"]
    assert "no version is champion" in str(plan)


def test_a_version_as_good_replaces_the_champion(store: Store) -> None:
    store.point(CHAMPION, FIRST)
    rollout = store.rollout()
    rollout.reconciler.reconcile()

    store.point(CHAMPION, AS_GOOD)
    plan = rollout.reconciler.reconcile()

    assert str(plan) == "publish tiny version 2 instead of version 1"
    assert store.served() == AS_GOOD
    tags = store.model().versions[AS_GOOD].tags
    assert tags[record.OUTCOME] == "served"
    assert tags[record.SERVED_BEFORE] == str(FIRST)
    assert tags[record.SERVED_SINCE]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (WORSE, "purchase auc is worse"),
        (MISCALIBRATED, "purchase ece is worse"),
        (WRONG, "propensity: expected PyTorch's golden answers"),
    ],
)
def test_a_version_that_fails_a_gate_leaves_the_champion_and_says_why(
    store: Store, version: int, reason: str
) -> None:
    store.point(CHAMPION, FIRST)
    rollout = store.rollout()
    rollout.reconciler.reconcile()
    number = rollout.repository.served("tiny").number

    store.point(CHAMPION, version)
    plan = rollout.reconciler.reconcile()

    assert lines(plan) == [f"refuse champion {version}"]
    assert reason in str(plan)
    assert rollout.repository.served("tiny").number == number
    tags = store.model().versions[version].tags
    assert tags[record.OUTCOME] == "refused"
    assert reason in tags[record.REASON]


def test_the_evidence_is_kept_with_the_version_s_run(store: Store) -> None:
    import json

    from mlflow import MlflowClient

    store.point(CHAMPION, FIRST)
    store.point(CHALLENGER, WORSE)
    rollout = store.rollout()
    rollout.reconciler.reconcile()
    version = store.model().versions[WORSE]

    client = MlflowClient(rollout.desired.registry.tracking_uri)
    path = client.download_artifacts(version.run_id, version.tags[record.EVIDENCE])
    with open(path) as file:
        evidence = json.load(file)

    assert (evidence["outcome"], evidence["instead_of"]) == ("block", None)
    gates = [finding["gate"] for finding in evidence["findings"]]
    assert gates[:2] == ["integrity", "preflight"]
    worse = next(f for f in evidence["findings"] if f["metric"] == "purchase auc")
    assert worse["numbers"]["worse_low"] > worse["numbers"]["tolerance"]


def test_a_refusal_is_remembered_until_something_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.point(CHAMPION, FIRST)
    rollout = store.rollout()
    rollout.reconciler.reconcile()
    store.point(CHAMPION, WRONG)
    rollout.reconciler.reconcile()
    tried: list[str] = []
    again = store.rollout(on_step=tried.append)

    assert "known since" in str(again.reconciler.reconcile())
    assert tried == []

    # Away and back again is a new wish.
    store.point(CHAMPION, FIRST)
    again.reconciler.reconcile()
    store.point(CHAMPION, WRONG)
    again.reconciler.reconcile()
    assert "try" in tried
