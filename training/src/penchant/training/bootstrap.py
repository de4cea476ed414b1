"""How sure we can be of a metric: the same visitors drawn again and again.

Letters: N rows, R rounds, U distinct scores, G groups of rows.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from penchant.serving.resampling import BLOCK_CELLS, ResampledScores
from penchant.serving.resampling import Interval as Interval
from penchant.serving.resampling import drawn_means as drawn_means
from penchant.serving.resampling import interval as interval
from penchant.training.metrics import Floats, known

BOOTSTRAP_ROWS = 100_000
"""Most rows that are resampled; a larger table is sampled once and its spread rescaled."""


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
    samplers = {name: ResampledScores(lab[taken], sco[taken]) for name, (lab, sco) in every.items()}
    drawn: dict[str, list[dict[str, Floats]]] = {name: [] for name in samplers}
    block = max(1, BLOCK_CELLS // max(1, len(taken)))
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


def _rescaled(draws: Floats, shrink: float) -> Floats:
    if shrink == 1.0 or np.isnan(draws).all():
        return draws
    middle = np.nanmean(draws)
    return middle + (draws - middle) * shrink
