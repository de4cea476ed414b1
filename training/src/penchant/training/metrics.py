"""How good a propensity is: ranking, calibration and lift.

Letters: N rows. Rows whose label is NaN (the goal was not
observed) never count. Rows with equal scores share the mean of their labels, so that no number
here depends on the order of the rows.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from penchant.serving.resampling import EPSILON
from penchant.serving.resampling import Floats as Floats
from penchant.serving.resampling import row_logloss as row_logloss

ECE_BINS = 15
"""Bins of the expected calibration error and of the reliability table."""


@dataclass(frozen=True, kw_only=True)
class BinaryMetrics:
    """Quality of one propensity on the rows whose label is known; NaN where it is undefined."""

    rows: int
    """Rows with a known label."""
    positives: int
    """Rows whose label is 1."""
    auc: float
    """Probability that a random positive scores above a random negative."""
    average_precision: float
    """Precision averaged over the recall steps."""
    logloss: float
    """Mean negative log-likelihood, in nats."""
    brier: float
    """Mean squared error of the propensity."""
    ece: float
    """Expected calibration error, 15 bins of equal mass."""
    ece_equal_width: float
    """Expected calibration error, 15 bins of equal width."""
    calibration_slope: float
    """Slope of an unpenalised logistic regression of the label on the score's logit; 1 is ideal."""
    calibration_intercept: float
    """Its intercept; 0 is ideal."""

    @property
    def rate(self) -> float:
        """Share of positives."""
        return self.positives / self.rows if self.rows else math.nan

    def as_dict(self) -> dict[str, float]:
        """Name -> number, as MLflow and JSON take it."""
        return {name: float(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class ScoreBin:
    """Rows whose scores lie next to each other."""

    rows: int
    """Rows in the bin."""
    lowest: float
    """Lowest score in the bin."""
    highest: float
    """Highest score in the bin."""
    mean_propensity: float
    """What the model said, on average."""
    observed_rate: float
    """What happened: share of positives; ties share theirs."""


@dataclass(frozen=True, kw_only=True)
class Decile(ScoreBin):
    """A tenth of the rows, best first."""

    decile: int
    """1 holds the highest scores."""
    lift: float
    """Observed rate over the rate of all rows; NaN without a positive."""
    captured: float
    """Share of all positives that are in this decile."""
    gain: float
    """Share of all positives in this decile and those above it."""


def known(label: ArrayLike, propensity: ArrayLike) -> tuple[Floats, Floats]:
    """Label and propensity (N,) of the rows whose label is known.

    Raises:
        ValueError: shapes differ, a label is not 0/1/NaN, or a propensity is not in [0, 1].
    """
    labels = np.asarray(label, dtype=np.float64)
    scores = np.asarray(propensity, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"label and propensity: expected two vectors of one length, "
            f"got shapes {labels.shape} and {scores.shape}; pass one goal at a time"
        )
    keep = ~np.isnan(labels)
    labels, scores = labels[keep], scores[keep]
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError("label: expected 0, 1 or NaN (not observed), got other values")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("propensity: expected probabilities in [0, 1], got NaN or values outside")
    return labels, scores


def binary_metrics(label: ArrayLike, propensity: ArrayLike) -> BinaryMetrics:
    """All metrics of one goal; `label` (N,) is 0, 1 or NaN, `propensity` (N,) in [0, 1]."""
    labels, scores = known(label, propensity)
    rows, positives = len(labels), int(labels.sum())
    both = 0 < positives < rows
    slope, intercept = calibration_line(labels, scores)
    return BinaryMetrics(
        rows=rows,
        positives=positives,
        auc=float(roc_auc_score(labels, scores)) if both else math.nan,
        average_precision=float(average_precision_score(labels, scores)) if both else math.nan,
        logloss=float(row_logloss(labels, scores).mean()) if rows else math.nan,
        brier=float(np.square(scores - labels).mean()) if rows else math.nan,
        ece=_calibration_error(reliability(labels, scores)),
        ece_equal_width=_equal_width_error(labels, scores),
        calibration_slope=slope,
        calibration_intercept=intercept,
    )


def logit(propensity: ArrayLike) -> Floats:
    """Log-odds, finite also for scores of exactly 0 or 1."""
    clipped = np.clip(np.asarray(propensity, dtype=np.float64), EPSILON, 1 - EPSILON)
    return np.log(clipped) - np.log1p(-clipped)


def calibration_line(labels: Floats, scores: Floats) -> tuple[float, float]:
    """Slope and intercept of the unpenalised logistic regression of the label on the logit.

    Newton's method with step halving. NaN twice where no finite maximum exists: one class only,
    constant scores, or scores that separate the classes.
    """
    nothing = (math.nan, math.nan)
    if len(labels) < 3 or labels.min() == labels.max() or np.ptp(scores) == 0:
        return nothing
    design = np.column_stack([np.ones(len(scores)), logit(scores)])  # (N, 2)
    beta, loss = np.zeros(2), math.log(2) * len(labels)
    for _ in range(100):
        chance = _sigmoid(design @ beta)
        gradient = design.T @ (labels - chance)  # (2,)
        curvature = design.T @ (design * (chance * (1 - chance))[:, None])  # (2, 2)
        if np.linalg.cond(curvature) > 1e12:
            return nothing
        step = np.linalg.solve(curvature, gradient)
        while (new_loss := _logistic_loss(design @ (beta + step), labels)) > loss + 1e-9:
            step /= 2
        beta, loss = beta + step, new_loss
        if np.abs(step).max() < 1e-9:
            return float(beta[1]), float(beta[0])
    return nothing


def _sigmoid(value: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -value))


def _logistic_loss(logits: Floats, labels: Floats) -> float:
    return float((np.logaddexp(0.0, logits) - labels * logits).sum())


def _best_first(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Labels and scores (N,), highest score first; equal scores share the mean of their labels."""
    _, group, count = np.unique(-scores, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=labels) / count)[group] if len(labels) else labels
    order = np.argsort(-scores, kind="stable")
    return shared[order], scores[order]


def _slices(rows: int, bins: int) -> Iterator[slice]:
    """Cut `rows` into at most `bins` runs whose lengths differ by one at most; none is empty."""
    edges = np.linspace(0, rows, min(bins, rows) + 1).round().astype(int)
    return (slice(int(a), int(b)) for a, b in pairwise(edges))


def deciles(label: ArrayLike, propensity: ArrayLike) -> list[Decile]:
    """Ten parts of equal size, highest scores first; fewer where there are fewer than ten rows."""
    labels, scores = _best_first(*known(label, propensity))
    positives, captured = labels.sum(), 0.0
    found = []
    for number, part in enumerate(_slices(len(labels), 10) if len(labels) else (), start=1):
        inside, share = labels[part], math.nan
        if positives:
            share = float(inside.sum() / positives)
        captured += share
        found.append(
            Decile(
                decile=number,
                lift=share * len(labels) / len(inside),
                captured=share,
                gain=captured,
                **asdict(_score_bin(inside, scores[part])),
            )
        )
    return found


def reliability(label: ArrayLike, propensity: ArrayLike, *, bins: int = ECE_BINS) -> list[ScoreBin]:
    """What was said against what happened, in `bins` bins of equal mass, lowest scores first."""
    labels, scores = _best_first(*known(label, propensity))
    labels, scores = labels[::-1], scores[::-1]
    if not len(labels):
        return []
    return [_score_bin(labels[part], scores[part]) for part in _slices(len(labels), bins)]


def _score_bin(labels: Floats, scores: Floats) -> ScoreBin:
    return ScoreBin(
        rows=len(labels),
        lowest=float(scores.min()),
        highest=float(scores.max()),
        mean_propensity=float(scores.mean()),
        observed_rate=float(labels.mean()),
    )


def _calibration_error(bins: list[ScoreBin]) -> float:
    rows = sum(part.rows for part in bins)
    gaps = (part.rows * abs(part.mean_propensity - part.observed_rate) for part in bins)
    return sum(gaps) / rows if rows else math.nan


def _equal_width_error(labels: Floats, scores: Floats) -> float:
    if not len(labels):
        return math.nan
    place = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
    gap = np.bincount(place, weights=scores - labels, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(labels))
