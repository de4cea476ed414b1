"""How sure we can be of a metric: the same rows, or visitors, drawn again and again.

Each round weighs rows by Poisson(1) counts; the same weights for two models make their difference a
paired one. Letters: N rows, R rounds, U distinct scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EPSILON: Final = float(np.finfo(np.float32).eps)
"""Scores are kept this far from 0 and 1 before a logarithm: what FP32 can still tell apart."""
BLOCK_CELLS: Final = 4_000_000
"""Most weights held at once (rounds x rows)."""
ROUNDS: Final = 1000
"""Rounds for a mean, which are cheap."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A range that holds the true value with the stated confidence."""

    low: float
    high: float


def interval(draws: Floats, *, level: float = 0.95) -> Interval:
    """The middle `level` of bootstrap draws (R,); NaN where every draw is undefined."""
    if not len(draws) or np.isnan(draws).all():
        return Interval(low=math.nan, high=math.nan)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))


def row_logloss(labels: Floats, scores: Floats) -> Floats:
    """Negative log-likelihood of each row (N,), in nats."""
    clipped = np.clip(scores, EPSILON, 1 - EPSILON)
    return -(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))


def weights(rounds: int, rows: int, *, seed: int = 0) -> Iterator[Floats]:
    """Poisson(1) counts (R, N) for some rounds at a time, `rounds` in all."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // max(1, rows))
    for start in range(0, rounds if rows else 0, block):
        yield rng.poisson(1.0, size=(min(block, rounds - start), rows)).astype(np.float64)


class ResampledScores:
    """Weighted metrics of one model for many weightings of the same rows at once."""

    def __init__(self, labels: Floats, scores: Floats) -> None:
        """Sort once.

        Args:
            labels: (N,) 0 or 1.
            scores: (N,) in [0, 1].
        """
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        changed = np.flatnonzero(np.diff(ordered)) + 1
        self.start = np.concatenate([[0], changed])  # first row of each of the U distinct scores
        self.positive = labels[self.order]
        self.logloss = row_logloss(labels, scores)
        self.square = np.square(scores - labels)

    def draw(self, weight: Floats) -> dict[str, Floats]:
        """Metric -> (R,), for row weights `weight` (R, N)."""
        total = weight.sum(axis=1)
        ordered = weight[:, self.order]
        hit = np.add.reduceat(ordered * self.positive, self.start, axis=1)  # (R, U)
        every = np.add.reduceat(ordered, self.start, axis=1)
        hits, seen = hit.cumsum(axis=1), every.cumsum(axis=1)
        positives, miss = hits[:, -1], every - hit
        with np.errstate(divide="ignore", invalid="ignore"):
            pairs = (miss * (hits - hit / 2)).sum(axis=1)  # positives above each negative
            return {
                "auc": pairs / (positives * miss.sum(axis=1)),
                "average_precision": np.nansum(hit * hits / seen, axis=1) / positives,
                "logloss": weight @ self.logloss / total,
                "brier": weight @ self.square / total,
            }


def drawn_means(
    value: Floats, group: npt.NDArray[np.integer], *, rounds: int = ROUNDS, seed: int = 0
) -> Floats:
    """(R,) what the mean of `value` (N,) would have been on other samples of the same visitors.

    Visitors are drawn with all their rows, by Poisson(1) counts.

    Args:
        value: (N,) numbers.
        group: (N,) whose rows they are.
        rounds: R.
        seed: Seed of the draws.
    """
    _, place, count = np.unique(group, return_inverse=True, return_counts=True)
    total = np.bincount(place, value)
    parts = [
        (weight @ total) / np.maximum(weight @ count, 1)
        for weight in weights(rounds, len(count), seed=seed)
    ]
    return np.concatenate(parts) if parts else np.empty(0)
