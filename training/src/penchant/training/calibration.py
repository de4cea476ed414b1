"""Smooth calibration: a propensity of 30 % should mean that 30 of 100 such visitors do it.

Letters: N calibration rows, B rows, k ensemble members, G goals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from penchant.training.propensity_net import log_probabilities

LEAST_LABELS = 20
"""Fewest rows of each label that a calibration is fitted on; below, scores stay as they are."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CalibrationPrior:
    """How far calibration may move from the identity: standard deviations of a normal prior."""

    slope: float = 0.1
    """Of the log of the common slope."""
    asymmetry: float = 0.1
    """Of half the log ratio of the slopes in ln p and -ln(1 - p)."""
    shift: float = 0.1
    """Of the shift of the logit at the mean score."""

    def __post_init__(self) -> None:
        """Refuse widths that are no standard deviation."""
        for name in ("slope", "asymmetry", "shift"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a width above 0, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class GoalCalibration:
    """One goal's calibrated logit: slope_yes ln p - slope_no ln(1 - p) + shift."""

    slope_yes: float = 1.0
    """Factor of ln p, above 0."""
    slope_no: float = 1.0
    """Factor of -ln(1 - p), above 0."""
    shift: float = 0.0
    """Constant, in logit."""
    num_rows: int = 0
    """Calibration rows on which the goal was observed."""
    num_positives: int = 0
    """Those of them that did it."""
    identity_because: str = ""
    """Why the scores were left as they are; empty when the calibration was fitted."""


class BetaCalibration(nn.Module):
    """Beta calibration (Kull, Silva Filho and Flach, 2017) of every goal, in logit space."""

    def __init__(self, goals: Sequence[GoalCalibration]) -> None:
        super().__init__()
        self.goals = tuple(goals)
        """Parameters by goal, as fitted."""
        for name in ("slope_yes", "slope_no", "shift"):
            values = [getattr(goal, name) for goal in self.goals]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))  # (G,)
        self.slope_yes: Tensor
        self.slope_no: Tensor
        self.shift: Tensor

    @classmethod
    def identity(cls, num_goals: int, *, because: str) -> "BetaCalibration":
        """Leave the scores of all goals as they are."""
        return cls([GoalCalibration(identity_because=because)] * num_goals)

    def forward(self, log_yes: Tensor, log_no: Tensor) -> Tensor:
        """Calibrated logit (B, G) of ln p and ln(1 - p), both (B, G)."""
        return self.slope_yes * log_yes - self.slope_no * log_no + self.shift


def fit_calibration(
    logits: Tensor, label: Tensor, *, prior: CalibrationPrior | None = None
) -> BetaCalibration:
    """Fit each goal's calibration on rows that training did not see.

    A prior draws the fit to the identity, so that few rows add little noise.

    Args:
        logits: The net's member logits (N, k, G).
        label: 0 or 1, NaN where a goal was not observed (N, G).
        prior: Strength of the prior; the default when None.
    """
    log_yes, log_no = (part.double().cpu().numpy() for part in log_probabilities(logits.float()))
    target = label.double().cpu().numpy()
    prior = prior or CalibrationPrior()
    return BetaCalibration(
        [
            _fit_goal(log_yes[:, goal], log_no[:, goal], target[:, goal], prior)
            for goal in range(target.shape[1])
        ]
    )


def _fit_goal(
    log_yes: Floats, log_no: Floats, label: Floats, prior: CalibrationPrior
) -> GoalCalibration:
    usable = np.isfinite(label) & np.isfinite(log_yes) & np.isfinite(log_no)
    log_yes, log_no, label = log_yes[usable], log_no[usable], label[usable]
    positives = int(label.sum())
    fewest = min(positives, len(label) - positives)
    if fewest < LEAST_LABELS:
        return GoalCalibration(
            num_rows=len(label),
            num_positives=positives,
            identity_because=f"{len(label)} calibration rows, {positives} of them positive: "
            f"expected at least {LEAST_LABELS} of each label",
        )
    slope_yes, slope_no, shift = _map_estimate(log_yes, log_no, label, prior)
    return GoalCalibration(
        slope_yes=slope_yes,
        slope_no=slope_no,
        shift=shift,
        num_rows=len(label),
        num_positives=positives,
    )


def _map_estimate(
    log_yes: Floats, log_no: Floats, label: Floats, prior: CalibrationPrior
) -> tuple[float, float, float]:
    # Slopes turn about the mean score, or a prior on the shift would fight one on the slopes.
    mean = float(np.exp(log_yes).mean())
    mean_yes, mean_no = math.log(mean), math.log1p(-mean)
    yes, no, centre = log_yes - mean_yes, log_no - mean_no, mean_yes - mean_no
    widths = np.array([prior.slope, prior.asymmetry, prior.shift])

    def loss(point: Floats) -> tuple[float, Floats]:
        up, down = math.exp(point[0] + point[1]), math.exp(point[0] - point[1])
        logit = up * yes - down * no + centre + point[2]
        value = np.logaddexp(0.0, logit).sum() - (label * logit).sum()
        error = 0.5 * (1.0 + np.tanh(0.5 * logit)) - label
        by_up, by_down = up * (error @ yes), -down * (error @ no)
        gradient = np.array([by_up + by_down, by_up - by_down, error.sum()])
        return value + 0.5 * ((point / widths) ** 2).sum(), gradient + point / widths**2

    point = minimize(loss, np.zeros(3), jac=True, method="BFGS").x
    up, down = math.exp(point[0] + point[1]), math.exp(point[0] - point[1])
    return up, down, centre + float(point[2]) - up * mean_yes + down * mean_no
