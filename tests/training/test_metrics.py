"""Metrics against scikit-learn, torchmetrics, hand-made numbers and invariants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from penchant.training.metrics import (
    Floats,
    binary_metrics,
    calibration_line,
    deciles,
    logit,
    reliability,
)

LABELLED = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])),
    min_size=1,
    max_size=80,
)


def simulated(
    rows: int = 20_000, *, slope: float = 1.0, shift: float = 0.0
) -> tuple[Floats, Floats]:
    """Labels, and scores whose logits are `(true logit - shift) / slope`."""
    rng = np.random.default_rng(3)
    truth = rng.normal(-1.5, 1.3, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    return label, 1 / (1 + np.exp(-(truth - shift) / slope))


def test_agrees_with_scikit_learn() -> None:
    label, score = simulated(3000)
    score = score.round(2)  # many ties
    found = binary_metrics(label, score)
    assert found.auc == pytest.approx(roc_auc_score(label, score))
    assert found.average_precision == pytest.approx(average_precision_score(label, score))
    inside = np.clip(score, 0.01, 0.99)
    assert binary_metrics(label, inside).logloss == pytest.approx(log_loss(label, inside))
    assert found.brier == pytest.approx(brier_score_loss(label, score))
    assert (found.rows, found.positives) == (3000, label.sum())
    assert found.rate == pytest.approx(label.mean())


def test_equal_width_error_agrees_with_torchmetrics() -> None:
    label, score = simulated(5000, slope=0.5)
    wanted = binary_calibration_error(
        torch.tensor(score), torch.tensor(label).int(), n_bins=15, norm="l1"
    )
    assert binary_metrics(label, score).ece_equal_width == pytest.approx(float(wanted), abs=1e-6)


def test_error_of_constructed_bins() -> None:
    # 15 bins of ten rows each: in bin b the score is b/20 and exactly b of ten rows are positive
    score = np.repeat(np.arange(15) / 20, 10)
    label = np.concatenate([(np.arange(10) < min(b, 10)).astype(float) for b in range(15)])
    gap = np.mean([abs(min(b, 10) / 10 - b / 20) for b in range(15)])
    assert binary_metrics(label, score).ece == pytest.approx(gap)
    assert [part.rows for part in reliability(label, score)] == [10] * 15


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, 0.0), (1.5, -0.4)])
def test_calibration_line_is_recovered(slope: float, shift: float) -> None:
    found = binary_metrics(*simulated(60_000, slope=slope, shift=shift))
    assert found.calibration_slope == pytest.approx(slope, rel=0.05)
    assert found.calibration_intercept == pytest.approx(shift, abs=0.06)


def test_calibration_line_agrees_with_scikit_learn() -> None:
    label, score = simulated(2000, slope=0.7, shift=0.3)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(score)[:, None], label)
    slope, intercept = calibration_line(label, score)
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert intercept == pytest.approx(model.intercept_[0], rel=1e-4)


def test_missing_labels_do_not_count() -> None:
    label, score = simulated(500)
    mixed = np.concatenate([label, np.full(100, np.nan)])
    found = binary_metrics(mixed, np.concatenate([score, np.full(100, 0.99)]))
    assert found == binary_metrics(label, score)


@pytest.mark.parametrize("label", [[], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [np.nan, np.nan]])
def test_one_class_is_undefined_without_a_warning(label: list[float]) -> None:
    found = binary_metrics(label, np.full(len(label), 0.4))
    undefined = (found.auc, found.average_precision, found.calibration_slope)
    assert all(math.isnan(value) for value in undefined)
    assert math.isnan(found.logloss) == (found.rows == 0)


def test_scores_of_zero_and_one_stay_finite() -> None:
    found = binary_metrics([1, 0, 1, 0], [0.0, 1.0, 1.0, 0.0])
    assert math.isfinite(found.logloss)
    assert found.logloss > 5
    separated = binary_metrics([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert math.isnan(separated.calibration_slope)
    assert separated.auc == 1


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([0, 1], [0.5], "one length"),
        ([[0], [1]], [[0.5], [0.5]], "one goal at a time"),
        ([0, 2], [0.5, 0.5], "label: expected 0, 1 or NaN"),
        ([0, 1], [0.5, 1.5], "propensity: expected probabilities"),
        ([0, 1], [0.5, np.nan], "propensity: expected probabilities"),
    ],
)
def test_bad_input_is_named(label: object, score: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        binary_metrics(np.array(label, dtype=float), np.array(score, dtype=float))


def test_deciles_of_a_perfect_ranking() -> None:
    label = np.concatenate([np.ones(20), np.zeros(180)])
    found = deciles(label, np.linspace(1, 0, 200))
    assert [part.decile for part in found] == list(range(1, 11))
    assert found[0].observed_rate == 1
    assert found[0].lift == pytest.approx(10)
    assert [part.gain for part in found] == pytest.approx([1.0] * 10)


@settings(deadline=None)
@given(LABELLED)
def test_deciles_add_up_and_ignore_row_order(rows: list[tuple[float, float]]) -> None:
    label, score = np.array(rows).T
    found = deciles(label, score)
    assert sum(part.rows for part in found) == len(rows)
    assert len({part.rows for part in found}) <= 2
    said = [part.mean_propensity for part in found]
    assert said == sorted(said, reverse=True)
    if label.any():
        assert found[-1].gain == pytest.approx(1)
        assert sum(part.lift * part.rows for part in found) == pytest.approx(len(rows))
        assert found == deciles(label[::-1], score[::-1])


@settings(deadline=None)
@given(LABELLED, st.integers(1, 20))
def test_reliability_keeps_totals_and_ignores_row_order(
    rows: list[tuple[float, float]], bins: int
) -> None:
    label, score = np.array(rows).T
    found = reliability(label, score, bins=bins)
    assert sum(part.rows for part in found) == len(rows)
    assert sum(part.rows * part.observed_rate for part in found) == pytest.approx(label.sum())
    assert sum(part.rows * part.mean_propensity for part in found) == pytest.approx(score.sum())
    assert found == reliability(label[::-1], score[::-1], bins=bins)
    metrics = binary_metrics(label, score)
    assert 0 <= metrics.ece <= 1
    assert 0 <= metrics.ece_equal_width <= 1
