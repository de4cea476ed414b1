"""How sure we can be of a metric: the same visitors drawn again and again.

Letters: N rows, R rounds, U distinct scores, G groups of rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from penchant.training.metrics import Floats, known, row_logloss

BOOTSTRAP_ROWS = 100_000
"""Most rows that are resampled; a larger table is sampled once and its spread rescaled."""
BOOTSTRAP_CELLS = 4_000_000
"""Most weights held at once (rounds x rows)."""
ROUNDS = 1000
"""Rounds for a mean, which are cheap."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A range that holds the true value with the stated confidence."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign is beyond chance."""
        return self.low > 0 or self.high < 0


def bootstrap(
    label: ArrayLike,
    propensities: Mapping[str, ArrayLike],
    *,
    group: npt.NDArray[np.integer] | None = None,
    rounds: int = 500,
    seed: int = 0,
) -> dict[str, dict[str, Floats]]:
    """Model -> metric -> what it would have been on `rounds` other samples of the same visitors.

    Each round weighs rows by Poisson(1) counts, the same for every model, so that a difference
    of two models' draws is a paired difference. Metrics: auc, average_precision, logloss, brier,
    each (rounds,); NaN in rounds with one class only. Tables above `BOOTSTRAP_ROWS` rows are
    sampled once and the draws' spread is scaled by sqrt(rows sampled / rows).

    Args:
        label: (N,) 0, 1 or NaN for unknown.
        propensities: Model -> (N,) scores.
        group: (N,) whose rows they are: those of one are drawn together, and every label is known;
            None where each row is a visitor of its own.
        rounds: R.
        seed: Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    every = {name: known(label, scores) for name, scores in propensities.items()}
    rows = len(next(iter(every.values()))[0])
    taken = np.arange(rows)
    if rows > BOOTSTRAP_ROWS:
        taken = rng.choice(rows, BOOTSTRAP_ROWS, replace=False)
    own = None if group is None else np.unique(group[taken], return_inverse=True)[1]
    samplers = {name: _Resampled(lab[taken], sco[taken]) for name, (lab, sco) in every.items()}
    drawn: dict[str, list[dict[str, Floats]]] = {name: [] for name in samplers}
    block = max(1, BOOTSTRAP_CELLS // max(1, len(taken)))
    for start in range(0, rounds if len(taken) else 0, block):
        size = (min(block, rounds - start), len(taken) if own is None else int(own.max()) + 1)
        drawn_weight = rng.poisson(1.0, size=size).astype(np.float64)
        weight = drawn_weight if own is None else drawn_weight[:, own]  # (rounds of the block, N)
        for name, sampler in samplers.items():
            drawn[name].append(sampler.draw(weight))
    shrink = math.sqrt(len(taken) / rows) if rows else 1.0
    return {
        name: {
            metric: _rescaled(np.concatenate([part[metric] for part in parts]), shrink)
            for metric in (parts[0] if parts else ())
        }
        for name, parts in drawn.items()
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
    rng = np.random.default_rng(seed)
    draws = np.empty(rounds)
    for at in range(rounds):
        weight = rng.poisson(1.0, len(count))
        draws[at] = (weight @ total) / np.maximum(weight @ count, 1)
    return draws


def _rescaled(draws: Floats, shrink: float) -> Floats:
    if shrink == 1.0 or np.isnan(draws).all():
        return draws
    middle = np.nanmean(draws)
    return middle + (draws - middle) * shrink


class _Resampled:
    """Weighted metrics of one model for many weightings of the same rows at once."""

    def __init__(self, labels: Floats, scores: Floats) -> None:
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


def interval(draws: Floats, *, level: float = 0.95) -> Interval:
    """The middle `level` of bootstrap draws (R,); NaN where every draw is undefined."""
    if not len(draws) or np.isnan(draws).all():
        return Interval(low=math.nan, high=math.nan)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))
