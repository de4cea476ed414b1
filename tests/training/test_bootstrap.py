"""Intervals: centred on the metric, as wide as theory says, paired across models."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from penchant.training import bootstrap as module
from penchant.training.bootstrap import bootstrap, interval
from penchant.training.metrics import Floats, binary_metrics


def sample(rows: int = 1500) -> tuple[Floats, Floats]:
    """Labels and calibrated scores."""
    rng = np.random.default_rng(1)
    score = rng.beta(1, 3, rows)
    return (rng.random(rows) < score).astype(np.float64), score


def test_draws_are_the_metrics_of_repeated_rows() -> None:
    label, score = sample(60)
    score = score.round(1)  # ties
    weight = np.random.default_rng(0).poisson(1.0, size=(4, 60))
    draws = bootstrap(label, {"m": score}, rounds=4, seed=0)["m"]
    for row, counts in enumerate(weight):
        repeated = np.repeat(label, counts), np.repeat(score, counts)
        wanted = binary_metrics(*repeated)
        assert draws["auc"][row] == pytest.approx(roc_auc_score(*repeated))
        assert draws["average_precision"][row] == pytest.approx(average_precision_score(*repeated))
        assert draws["logloss"][row] == pytest.approx(wanted.logloss)
        assert draws["brier"][row] == pytest.approx(wanted.brier)


def test_interval_is_as_wide_as_the_standard_error_says() -> None:
    label, score = sample()
    found = interval(bootstrap(label, {"m": score}, rounds=800)["m"]["brier"])
    error = np.square(label - score)
    assert found.low < error.mean() < found.high
    standard_error = error.std() / math.sqrt(len(error))
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.12)


def test_models_share_their_draws() -> None:
    label, score = sample()
    draws = bootstrap(label, {"a": score, "b": score}, rounds=50)
    np.testing.assert_array_equal(draws["a"]["auc"], draws["b"]["auc"])
    worse = bootstrap(label, {"a": score, "b": np.sqrt(score)}, rounds=200)
    lead = interval(worse["b"]["logloss"] - worse["a"]["logloss"])
    alone = interval(worse["a"]["logloss"])
    assert lead.low > 0
    assert lead.high - lead.low < alone.high - alone.low


def test_many_rows_are_sampled_and_the_spread_rescaled(monkeypatch: pytest.MonkeyPatch) -> None:
    label, score = sample(4000)
    whole = bootstrap(label, {"m": score}, rounds=600)["m"]["logloss"]
    monkeypatch.setattr(module, "BOOTSTRAP_ROWS", 1000)
    sampled = bootstrap(label, {"m": score}, rounds=600)["m"]["logloss"]
    assert sampled.std() == pytest.approx(whole.std(), rel=0.2)


def test_nothing_to_draw_from_is_undefined() -> None:
    found = bootstrap([1.0, 1.0], {"m": [0.2, 0.7]}, rounds=5)["m"]
    around = interval(found["auc"])
    assert math.isnan(around.low)
    assert math.isnan(around.high)
    assert bootstrap([], {"m": []}) == {"m": {}}


def test_rows_of_one_visitor_are_drawn_together() -> None:
    label, score = sample(300)
    once = bootstrap(label, {"m": score}, rounds=400)["m"]
    group = np.repeat(np.arange(300), 4)
    fourfold = label[group], {"m": score[group]}
    together = bootstrap(*fourfold, group=group, rounds=400)["m"]
    apart = bootstrap(*fourfold, rounds=400)["m"]
    for metric in ("auc", "logloss"):
        np.testing.assert_allclose(together[metric], once[metric])
        assert apart[metric].std() == pytest.approx(together[metric].std() / 2, rel=0.2)
