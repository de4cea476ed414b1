"""Numbers in words that a marketer uses."""

import math
from dataclasses import dataclass

import numpy as np

from penchant.training.bootstrap import Interval
from penchant.training.evaluation import NETWORK, Advantage, Comparison
from penchant.training.metrics import BinaryMetrics, Floats

EXAMPLE_SCORE = 0.3
"""Score that the meaning of a score is shown at, where enough visitors have it."""
EXAMPLE_ROWS = 30
"""Visitors an example of a score's meaning needs."""
METRIC_NAMES = {
    "auc": "Ranking (AUC)",
    "average_precision": "Hit quality (AP)",
    "logloss": "Surprise (logloss)",
    "brier": "Squared error (Brier)",
}


@dataclass(frozen=True, kw_only=True)
class MetricCell:
    """A metric with its range."""

    value: str
    range: str


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A model's line in the table of metrics."""

    model: str
    ours: bool
    cells: tuple[MetricCell, ...]


@dataclass(frozen=True, kw_only=True)
class ReasonWords:
    """Why a score is what it is: one feature of one visitor."""

    feature: str
    value: str
    raises: bool
    odds: str
    """What it multiplies the odds by, as in 2.1."""


def meaning_words(label: Floats, score: Floats, *, goal: str) -> str:
    """What a score means, shown on visitors that had about the same; `label`, `score` (n,)."""
    near = np.abs(score - EXAMPLE_SCORE) <= 0.05
    if near.sum() < EXAMPLE_ROWS:
        wanted = min(len(score), max(EXAMPLE_ROWS, len(score) // 20))
        near = np.zeros(len(score), dtype=bool)
        near[np.argsort(np.abs(score - EXAMPLE_SCORE), kind="stable")[:wanted]] = True
    if not near.any():
        return ""
    said, happened = float(score[near].mean()), float(label[near].mean())
    chance = 196 * math.sqrt(said * (1 - said) / near.sum())
    return (
        f"A score of {said:.2f} says: of 100 visitors with this score, about {100 * said:.0f} will "
        f"end in “{goal}”. Put to the test on the {int(near.sum()):,} visitors who scored around "
        f"{said:.2f}, it was {100 * happened:.0f} of 100; with so many visitors, chance alone "
        f"moves this by up to about {chance:.0f} either way."
    )


def calibration_words(metrics: BinaryMetrics) -> str:
    """How far the scores can be read as probabilities."""
    if math.isnan(metrics.ece):
        return "No test visitor has a known outcome, so nothing is known of the calibration."
    words = f"On average a score is {100 * metrics.ece:.1f} percentage points off what happened. "
    slope = metrics.calibration_slope
    if math.isnan(slope):
        return words + "There is too little variation to say whether it is over-confident."
    if slope < 0.9:
        return words + f"It is over-confident: high scores are too high (slope {slope:.2f}, not 1)."
    if slope > 1.1:
        return words + f"It is too cautious: high scores are too low (slope {slope:.2f}, not 1)."
    return words + f"It is neither over-confident nor too cautious (slope {slope:.2f}, ideal 1)."


def verdict_words(compared: Comparison) -> str:
    """Whether the deep model earned its place, as plainly as the numbers allow."""
    if compared.verdict == "alone":
        return "No simple model was fitted, so nothing says whether the deep model was needed."
    auc, loss = compared.advantage["auc"], compared.advantage["logloss"]
    numbers = (
        f"Its advantage, where above 0 is better: {_advantage(auc)} in AUC, "
        f"{_advantage(loss)} in logloss"
    )
    rows = compared.metrics[NETWORK].rows
    return {
        "ahead": (
            f"The deep model earned its place: it beats {compared.rival}, the best simple model, "
            f"by more than chance explains. {numbers}."
        ),
        "level": (
            f"The deep model did not clearly earn its place here: on these {rows:,} test visitors "
            f"it cannot be told apart from {compared.rival}, the best simple model. {numbers}. "
            "Cross-validation (penchant evaluate) tells finer differences."
        ),
        "behind": (
            f"The deep model did not earn its place: {compared.rival}, a simple model, is better "
            f"by more than chance explains. {numbers}."
        ),
    }[compared.verdict]


def _advantage(found: Advantage) -> str:
    low, high = found.interval.low, found.interval.high
    return f"{found.difference:+.4f} (95\N{NO-BREAK SPACE}% range {low:+.4f} to {high:+.4f})"


def metric_rows(compared: Comparison) -> list[ModelRow]:
    """A line for each model, the columns being those of `METRIC_NAMES`."""
    return [
        ModelRow(
            model=model,
            ours=model == NETWORK,
            cells=tuple(
                _cell(metrics.as_dict()[name], compared.intervals[model].get(name))
                for name in METRIC_NAMES
            ),
        )
        for model, metrics in compared.metrics.items()
    ]


def reason_words(feature: str, value: str, reason: float) -> ReasonWords:
    """One reason; `reason` in logits."""
    return ReasonWords(
        feature=feature,
        value=value,
        raises=reason >= 0,
        odds=f"{math.exp(min(abs(reason), 20.0)):.1f}",
    )


def _cell(value: float, found: Interval | None) -> MetricCell:
    if math.isnan(value):
        return MetricCell(value="unknown", range="")
    if found is None or math.isnan(found.low):
        return MetricCell(value=f"{value:.4f}", range="")
    return MetricCell(value=f"{value:.4f}", range=f"{found.low:.3f} to {found.high:.3f}")
