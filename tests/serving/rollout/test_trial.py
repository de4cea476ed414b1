"""Both comparisons on real packages, in a process of their own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.journey_packages import TEXT, raw_visitors, recommend, write_tiny_journey
from tests.packages import CONTRACT, sealed
from tests.serving.rollout.conftest import FIRST
from tests.serving.rollout.store import Store
from tests.serving.rollout.variants import slow, variant

from penchant.clients.command import main
from penchant.serving.holdout import HOLDOUT, write_holdout
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHAMPION
from penchant.serving.rollout import trial
from penchant.serving.rollout.gates import Finding, Gates, LatencyGate, QualityGate
from penchant.serving.rollout.trial import held_out, run_trial

TIMED = Gates(
    quality=QualityGate(enabled=False), latency=LatencyGate(calls=10, least_blocks=4, most_s=5)
)
COMPARED = Gates(quality=QualityGate(rounds=100), latency=LatencyGate(enabled=False))


def outcomes(findings: list[Finding]) -> dict[str, str]:
    return {finding.metric or finding.gate: finding.outcome for finding in findings}


def test_a_slow_version_is_blocked_beside_the_champion_and_by_its_budget(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    slower = variant(tiny_package, tmp_path / "slow", slow)
    hurried = variant(
        tiny_package,
        tmp_path / "hurried",
        slow,
        contract=replace(CONTRACT, latency_budget_ms=0.05),
    )

    assert outcomes(run_trial(slower, tiny_package, TIMED))["p50 ratio"] == "block"
    assert outcomes(run_trial(hurried, None, TIMED)) == {"p99": "block"}


def test_the_same_version_is_not_slower_than_itself(tiny_package: ModelPackage) -> None:
    gates = replace(TIMED, latency=replace(TIMED.latency, p50_ratio=1.5, p99_ratio=20.0))

    assert outcomes(run_trial(tiny_package, tiny_package, gates))["p50 ratio"] == "pass"


def test_without_held_out_rows_nothing_is_decided(tiny_package: ModelPackage) -> None:
    (found,) = run_trial(tiny_package, tiny_package, COMPARED)

    assert found.outcome == "undecided"
    assert "neither package carries held-out rows" in found.reason


def test_the_rows_of_the_package_that_was_sealed_last_are_used(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    old = variant(tiny_package, tmp_path / "old", num_held_out=40)
    new = variant(tiny_package, tmp_path / "new", num_held_out=30)
    later = ModelPackage(new.folder, replace(new.manifest, created_at="2999-01-01T00:00:00+00:00"))

    for pair in ((later, old), (old, later)):
        rows = held_out(*pair)
        assert rows is not None
        assert len(rows) == 30
    without = ModelPackage(tiny_package.folder, later.manifest)
    rows = held_out(without, old)
    assert rows is not None
    assert len(rows) == 40


def journey(folder: Path, *, shuffled: bool) -> ModelPackage:
    """The tiny journey model with held-out rows; the labels are what it says itself, or not."""
    package = write_tiny_journey(folder, TEXT)
    inputs = raw_visitors(TEXT, 600, seed=3)
    inputs["exclude"][:], inputs["allow"][:], inputs["target_action"][:] = "", "", 0
    label = recommend(TEXT, inputs)["next_item"][:, 0]
    if shuffled:
        label = np.random.default_rng(0).permutation(label)
    write_holdout(folder / HOLDOUT, inputs, label, np.arange(600) // 3)
    return sealed(folder, package.contract)


def test_journeys_are_compared_by_what_was_met_next(tmp_path: Path) -> None:
    package = journey(tmp_path / "package", shuffled=False)

    found = run_trial(package, package, COMPARED)

    assert outcomes(found) == {"ndcg@10": "pass", "hit_rate@10": "pass"}
    assert found[0].numbers["new"] == pytest.approx(1.0)


def test_a_trial_that_crashes_blocks_and_says_how(
    tiny_package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_package.folder, tmp_path / "torn")
    torn = sealed(tmp_path / "torn")
    torn.net.unlink()
    (found,) = run_trial(torn, tiny_package, COMPARED)
    assert found.outcome == "block"
    assert "tried beside the champion in a process of its own, package" in found.reason
    assert "expected the file 'net.onnx', got none" in found.reason

    monkeypatch.setattr(trial, "_LOAD_S", -2 * (COMPARED.quality.most_s + 20.0) + 0.01)
    (found,) = run_trial(tiny_package, tiny_package, COMPARED)
    assert "it took longer than" in found.reason


def test_gates_come_from_a_file_and_mistakes_in_it_are_named(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.point(CHAMPION, FIRST)
    gates = tmp_path / "gates.yaml"
    gates.write_text("quality:\n  auc_drop: 0.5\nlatency:\n  enabled: false\nundecided: pass\n")
    home = str(store.home.folder)

    assert main(["reconcile", "--home", home, "--gates", str(gates)]) == 0
    assert store.served() == FIRST

    for text, said in (
        ("quality:\n  auk_drop: 0.5\n", "auk_drop"),
        ("undecided: perhaps\n", "undecided"),
        ("latency:\n  calls: 1\n", "gates.latency.calls"),
    ):
        gates.write_text(text)
        assert main(["reconcile", "--home", home, "--gates", str(gates)]) == 2
        assert said in capsys.readouterr().err
