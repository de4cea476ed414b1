import numpy as np
import pytest
import torch

from penchant.training.calibration import (
    BetaCalibration,
    CalibrationPrior,
    GoalCalibration,
    fit_calibration,
)
from penchant.training.propensity_net import log_probabilities


def draw(rows: int, *, slope: float, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores whose true logit is slope * score + shift."""
    random = np.random.default_rng(0)
    score = random.normal(-1.0, 1.5, rows)
    label = random.random(rows) < 1 / (1 + np.exp(-(slope * score + shift)))
    logits = torch.tensor(score, dtype=torch.float32).view(-1, 1, 1)
    return logits, torch.tensor(label, dtype=torch.float32).view(-1, 1)


def logloss(logit: torch.Tensor, label: torch.Tensor) -> float:
    return torch.nn.functional.binary_cross_entropy_with_logits(logit, label).item()


def test_identity_leaves_the_logit() -> None:
    logits = torch.tensor([[[-3.0]], [[0.5]], [[4.0]]])

    calibrated = BetaCalibration.identity(1, because="test")(*log_probabilities(logits))

    torch.testing.assert_close(calibrated, logits[:, 0])


def test_many_rows_mend_overconfident_scores() -> None:
    logits, label = draw(20_000, slope=0.6, shift=0.4)

    calibration = fit_calibration(logits, label)

    fitted = calibration(*log_probabilities(logits))
    true = 0.6 * logits[:, 0] + 0.4
    assert logloss(fitted, label) < logloss(logits[:, 0], label) - 0.02
    assert logloss(fitted, label) < logloss(true, label) + 0.001
    assert calibration.goals[0].identity_because == ""
    assert calibration.goals[0].num_positives == int(label.sum())


def test_few_rows_move_scores_less_than_a_free_fit_would() -> None:
    logits, label = draw(120, slope=1.0, shift=0.0)

    shrunk = fit_calibration(logits, label).goals[0]
    free = fit_calibration(logits, label, prior=CalibrationPrior(slope=9, asymmetry=9, shift=9))

    def distance(goal: GoalCalibration) -> float:
        return float(abs(np.log(goal.slope_yes)) + abs(np.log(goal.slope_no)))

    assert distance(shrunk) < 0.5 * distance(free.goals[0])


def test_calibration_never_turns_the_order_round() -> None:
    logits, label = draw(3000, slope=-1.0, shift=0.0)

    calibration = fit_calibration(logits, label)

    score = torch.linspace(-8, 8, 200).view(-1, 1, 1)
    assert (calibration(*log_probabilities(score)).diff(dim=0) > 0).all()


@pytest.mark.parametrize(
    ("label", "rows", "positives"),
    [
        (torch.full((50, 1), torch.nan), 0, 0),
        (torch.zeros(50, 1), 50, 0),
        (torch.ones(50, 1), 50, 50),
        (torch.tensor([[1.0], [0.0]]), 2, 1),
    ],
)
def test_too_few_labels_leave_the_scores_and_say_why(
    label: torch.Tensor, rows: int, positives: int
) -> None:
    goal = fit_calibration(torch.randn(len(label), 3, 1), label).goals[0]

    assert (goal.slope_yes, goal.slope_no, goal.shift) == (1.0, 1.0, 0.0)
    assert goal.identity_because.startswith(f"{rows} calibration rows, {positives} of them")


def test_goals_are_fitted_apart() -> None:
    logits, label = draw(5000, slope=0.6, shift=0.4)
    absent = torch.full_like(label, torch.nan)

    both = fit_calibration(logits.repeat(1, 1, 2), torch.cat([absent, label], 1))

    assert both.goals[0].identity_because
    assert both.goals[1] == fit_calibration(logits, label).goals[0]


def test_a_prior_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="shift: expected a width above 0, got 0"):
        CalibrationPrior(shift=0)
