"""What cannot be followed is refused before anything changes, with the reason."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.journey_packages import TEXT, TinyJourney, write_tiny_journey
from tests.packages import CONTRACT, sealed
from tests.serving.rollout.conftest import AS_GOOD, FIRST
from tests.serving.rollout.store import Store, register
from tests.serving.rollout.variants import renamed_goal, variant

from penchant.clients.contract import MultiValued
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHALLENGER, CHAMPION, Registry
from penchant.serving.rollout import record
from penchant.serving.rollout.wire_change import wire_changes


def refused(store: Store, reason: str, *, role: str = CHAMPION) -> None:
    """The plan and the round both refuse, and what is served does not change."""
    before = sorted(store.home.model_repository.rglob("*"))
    rollout = store.rollout()
    planned = rollout.reconciler.plan()
    done = rollout.reconciler.reconcile()
    for plan in (planned, done):
        (step,) = [step for step in plan.steps if step.role == role]
        assert step.action == "refuse"
        assert reason in step.reason
    assert sorted(store.home.model_repository.rglob("*")) == before


def registered(store: Store, package: ModelPackage) -> int:
    return register(Registry(store.home).connect(), package)


def artifacts_of(store: Store, version: int) -> Path:
    """Folder of what a version is made of."""
    from mlflow import MlflowClient

    client = MlflowClient(Registry(store.home).connect().tracking_uri)
    uri = client.get_model_version_download_uri("tiny", str(version))
    return Path(uri.removeprefix("file://"))


def test_two_aliases_on_one_version(served: Store) -> None:
    served.point(CHALLENGER, FIRST)

    refused(served, "version 1 is both champion and challenger")
    refused(served, "version 1 is both champion and challenger", role=CHALLENGER)


def test_an_alias_that_names_no_version(served: Store) -> None:
    import sqlite3

    with sqlite3.connect(served.home.mlflow_database) as database:
        database.execute("UPDATE registered_model_aliases SET version = 77")

    refused(served, "names version 77, which is not registered (there are: 1, 2, 3, 4, 5)")


def test_a_version_whose_package_is_gone(
    served: Store, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    version = registered(served, variant(tiny_package, tmp_path / "lost"))
    served.point(CHAMPION, version)
    shutil.rmtree(artifacts_of(served, version))

    refused(served, "expected a penchant package, got none")

    tags = served.model().versions[version].tags
    assert tags[record.OUTCOME] == "refused"


def test_a_version_of_something_else(served: Store, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(Registry(served.home).connect().tracking_uri)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    version = client.create_model_version("tiny", folder.as_uri())
    served.point(CHAMPION, int(version.version))

    refused(served, "expected one penchant package, got 0")


def test_a_package_that_was_damaged(
    served: Store, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    version = registered(served, variant(tiny_package, tmp_path / "damaged"))
    (net,) = artifacts_of(served, version).rglob("net.onnx")
    net.write_bytes(net.read_bytes()[:-1])
    served.point(CHAMPION, version)

    refused(served, "edited or truncated after sealing")


def test_a_package_of_another_kind(served: Store, tmp_path: Path) -> None:
    tiny = TinyJourney(replace(TEXT.contract, model="tiny"), TEXT.item_id)
    version = registered(served, write_tiny_journey(tmp_path / "journey", tiny))
    served.point(CHAMPION, version)

    refused(served, "the kind of model is journey instead of propensity")


def test_a_package_with_other_goals_names_them(
    served: Store, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    version = registered(served, renamed_goal(tiny_package, tmp_path / "renamed"))
    served.point(CHALLENGER, version)

    refused(served, "goals is ('purchase', 'churn') instead of", role=CHALLENGER)


def test_what_differs_is_named_tensor_by_tensor() -> None:
    wider = replace(CONTRACT, numeric=(*CONTRACT.numeric, "visits"))

    changes = wire_changes(CONTRACT, wider)

    assert "input 'numeric' is FP32 [3] instead of FP32 [2]" in changes
    assert "output 'reason' is FP32 [2, 6] instead of FP32 [2, 5]" in changes
    fewer = replace(CONTRACT, multi_valued=())
    assert "input 'multi_interests' is gone instead of BYTES [3]" in wire_changes(CONTRACT, fewer)
    assert "input 'multi_interests' is BYTES [3] instead of none" in wire_changes(fewer, CONTRACT)


def test_the_order_of_columns_is_part_of_the_wire() -> None:
    swapped = replace(CONTRACT, numeric=CONTRACT.numeric[::-1])

    assert wire_changes(CONTRACT, swapped) == [
        "numeric is ('basket_value', 'age_days') instead of ('age_days', 'basket_value')"
    ]


def test_limits_may_change_but_not_below_what_callers_send() -> None:
    larger = replace(CONTRACT, max_batch_size=128, latency_budget_ms=5.0, model="other")

    assert wire_changes(CONTRACT, larger) == []
    assert wire_changes(larger, CONTRACT) == [
        "max_batch_size is 64, less than the 128 rows that callers may send"
    ]


def test_actions_may_grow_at_the_end_alone() -> None:
    contract = TEXT.contract
    more = replace(contract, actions=(*contract.actions, "returned"))

    assert wire_changes(contract, more) == []
    assert wire_changes(more, contract)
    assert wire_changes(contract, replace(more, actions=more.actions[::-1]))


def test_another_separator_is_another_wire() -> None:
    other = replace(
        CONTRACT, multi_valued=(MultiValued(name="interests", max_values=3, separator=";"),)
    )

    assert len(wire_changes(CONTRACT, other)) == 1


def test_a_model_that_another_tool_manages(store: Store) -> None:
    folder = store.home.model_repository / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text('name: "tiny" backend: "onnxruntime"')
    store.point(CHAMPION, FIRST)

    refused(store, "another tool manages")
    assert (folder / "config.pbtxt").read_text() == 'name: "tiny" backend: "onnxruntime"'


def test_a_damaged_config_is_nobody_s_and_is_mended(served: Store) -> None:
    (served.home.model_repository / "tiny" / "config.pbtxt").write_bytes(b"\xff")

    served.rollout().reconciler.reconcile()

    assert served.served() == FIRST


def test_a_version_whose_served_files_are_gone_is_served_anew(served: Store) -> None:
    shutil.rmtree(served.home.model_repository / "tiny" / "1")

    served.rollout().reconciler.reconcile()

    assert (served.home.model_repository / "tiny" / "2" / "model.onnx").is_file()


def test_what_another_registry_published_is_not_withdrawn(served: Store) -> None:
    rollout = served.rollout()
    from penchant.serving.rollout.packages import Packages

    package = Packages(rollout.desired, served.home.folder / "fetched").get("tiny", AS_GOOD)
    rollout.repository.publish(package, version=99)
    rollout.desired.unpoint("tiny", CHAMPION)

    (step,) = rollout.reconciler.reconcile().steps

    assert step.action == "wait"
    assert "version 99 is served, but not registered" in step.reason
    assert served.served() == 99


def test_a_name_that_a_challenger_would_have_is_refused(
    store: Store, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    contract = replace(CONTRACT, model="shop_challenger")
    shutil.copytree(tiny_package.folder, tmp_path / "package")
    registered(store, sealed(tmp_path / "package", contract))
    store.point(CHAMPION, 1, "shop_challenger")

    (step,) = store.rollout().reconciler.reconcile(["shop_challenger"]).steps

    assert step.action == "refuse"
    assert "the name ends in _challenger" in step.reason


def test_one_model_s_refusal_does_not_keep_others_back(
    served: Store, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    shutil.copytree(tiny_package.folder, tmp_path / "other")
    registered(served, sealed(tmp_path / "other", replace(CONTRACT, model="other")))
    served.point(CHAMPION, 1, "other")
    served.point(CHALLENGER, FIRST)

    plan = served.rollout().reconciler.reconcile()

    assert [step.action for step in plan.steps] == ["publish", "refuse", "refuse"]
    assert served.served("other") == 1


def test_a_model_that_is_not_registered_is_named(store: Store) -> None:
    with pytest.raises(ValueError, match=r"'absent'.*penchant train"):
        store.rollout().reconciler.reconcile(["absent"])
