"""What is made of measurements: goals, quality, percentiles, and how to bring what is missing."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from penchant.perf.gpu_check.cases import with_odd_rows
from penchant.perf.gpu_check.goals import Row, find_goals
from penchant.perf.gpu_check.packages import PACKAGES, Package, how_to_bring
from penchant.perf.gpu_check.quality import auc, ndcg
from penchant.perf.gpu_check.report import Report, SectionReport
from penchant.perf.gpu_check.timing import LEAST_RUNS, timed


def speed_row(net: str, batch: int, p50_us: float, times_floor: float) -> Row:
    return {
        "net": net,
        "batch": batch,
        "way": "launches",
        "p50_us": p50_us,
        "p99_us": 2 * p50_us,
        "rows_per_s": batch / p50_us * 1e6,
        "times_floor": times_floor,
    }


FOUND: dict[str, list[Row]] = {
    "speed": [
        speed_row("propensity", 256, 400.0, 9.0),
        speed_row("propensity", 4_096, 5_000.0, 9.0),
        speed_row("journey, 1,000,000 items", 64, 1_500.0, 4.0),
        speed_row("journey, 1,000,000 items", 64, 1_900.0, 2.0),
        {"net": "propensity", "batch": 256, "not run": "no room"},
    ],
    "parity": [
        {"by": "onnxruntime on the CPU", "precision": "fp32", "difference": 1.0},
        {"by": "tensorrt", "precision": "fp32", "difference": 2e-5},
        {"by": "tensorrt", "precision": "fp16", "difference": 1.0},
    ],
    "quality": [
        {"model": "propensity", "precision": "fp16", "change": -2e-3},
        {"model": "journey", "precision": "bf16", "change": 1e-4, "overlap": 0.995},
    ],
}


def test_each_goal_takes_its_own_numbers() -> None:
    outcomes = [goal.outcome for goal in find_goals(FOUND, is_dry=False)]
    assert outcomes == [
        "reached",
        "not reached",
        "reached",
        "not reached",  # the floor of the fastest, not of the nearest to it
        "reached",
        "not reached",
        "reached",
        "reached",
    ]


def test_what_was_not_measured_is_not_run() -> None:
    assert {goal.outcome for goal in find_goals({}, is_dry=False)} == {"not run"}
    assert {goal.outcome for goal in find_goals(FOUND, is_dry=True)} == {"not run"}


def test_a_report_keeps_sections_that_failed() -> None:
    section = SectionReport(
        name="speed",
        title="Engines",
        state="failed",
        reason="code -9: killed",
        seconds=3.0,
        rows=FOUND["speed"],
    )
    report = Report(
        card="NVIDIA H100 80GB HBM3",
        day="2026-11-25",
        is_dry=False,
        because="",
        seconds=3.0,
        goals=find_goals(FOUND, is_dry=False),
        sections=[section],
    )
    assert report.name == "nvidia-h100-80gb-hbm3-2026-11-25"
    page = report.to_markdown()
    assert "failed, 3 s\ncode -9: killed" in page
    assert "| propensity | 256 | no room |" in page
    assert "| at least 1,000,000 | 819,200 | not reached |" in page


def test_auc_counts_ties_half_and_leaves_out_what_nobody_knows() -> None:
    random = np.random.default_rng(0)
    score = random.integers(0, 5, 200).astype(np.float32)
    label = random.integers(0, 2, 200).astype(np.float64)
    expected = roc_auc_score(label[:150], score[:150])
    label[150:] = np.nan
    assert auc(score, label) == pytest.approx(expected)


def test_ndcg_looks_at_the_first_ten() -> None:
    top = np.arange(24, dtype=np.float32).reshape(2, 12)
    assert ndcg(top, np.array([1, 23])) == pytest.approx(0.5 / np.log2(3))


def test_odd_rows_come_after_the_real_ones() -> None:
    raw = {
        "word": np.array([["a"], ["b"]] * 20),
        "number": np.ones((40, 1), np.float32),
        "id": np.ones((40, 1), np.int64),
    }
    odd = with_odd_rows(raw)
    for name, value in raw.items():
        assert len(odd[name]) == 80
        assert (odd[name][:40] == value).all()
    assert "never heard of" in odd["word"][40:]
    assert np.isnan(odd["number"]).any()
    assert -7 in odd["id"]


def test_a_run_is_timed_often_enough() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), device="cpu", measure_s=0.0)
    assert found.runs == LEAST_RUNS
    assert len(calls) > LEAST_RUNS
    assert 0 < found.p50_us <= found.p99_us


def test_what_is_missing_is_named_with_its_version_and_the_commands() -> None:
    missing = [Package("PyYAML", "no_such_module"), Package("made-up", "no_such_module")]
    assert not missing[0].is_there
    assert not Package("protobuf", "no_such_parent.protobuf").is_there
    text = how_to_bring(missing)
    assert "pip download --no-deps" in text
    assert "PyYAML==" in text or "pyyaml==" in text
    assert " made-up" in text
    assert "--no-index" in text
    assert all(package.is_there for package in PACKAGES if not package.is_optional)
