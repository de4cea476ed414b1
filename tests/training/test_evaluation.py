"""An evaluation knows its goals, refuses shapes that do not fit, and judges honestly."""

import numpy as np
import pytest
from tests.training.evaluations import ARABIC, HOSTILE, made_up

from penchant.training.baselines import LIGHTGBM, LOGISTIC
from penchant.training.evaluation import NETWORK


def test_a_goal_holds_only_rows_where_it_was_observed() -> None:
    evaluation = made_up()
    goal = evaluation.goal("leave")
    assert len(goal.label) == (~np.isnan(evaluation.label[:, 1])).sum()
    assert not np.isnan(goal.label).any()
    # explained places point at the same visitors as before
    rows = goal.rows[goal.explained]
    assert set(rows) == set(evaluation.explained) - set(np.arange(0, 600, 7))
    assert goal.reason.shape == (len(rows), 3)


def test_reasons_stay_with_their_rows() -> None:
    evaluation = made_up()
    goal = evaluation.goal(evaluation.goals[0])
    logit = np.log(goal.score / (1 - goal.score))[goal.explained]
    np.testing.assert_allclose(-1.2 + goal.reason.sum(axis=1), logit, rtol=1e-5)


def test_values_of_every_kind_of_feature() -> None:
    evaluation = made_up()
    assert evaluation.values("seconds").dtype == np.float64
    assert evaluation.values(f"device {HOSTILE}").shape == (600,)
    assert evaluation.values(f"interests {ARABIC}").shape == (600, 2)


def test_shapes_that_do_not_fit_are_named() -> None:
    evaluation = made_up()
    with pytest.raises(ValueError, match="reason: expected shape"):
        made_up(reason=evaluation.reason[:, :, :2])
    with pytest.raises(ValueError, match=r"propensity\[LightGBM\]: expected shape"):
        made_up(propensity=dict(evaluation.propensity) | {LIGHTGBM: np.zeros((3, 2))})
    with pytest.raises(ValueError, match=f"expected a model named {NETWORK}"):
        made_up(propensity={LIGHTGBM: evaluation.propensity[LIGHTGBM]})


def test_verdict_follows_the_interval() -> None:
    evaluation = made_up()
    name = evaluation.goals[0]
    models = dict(evaluation.propensity)
    found = evaluation.goal(name).comparison()
    assert found.verdict == "ahead"
    assert found.rival in (LOGISTIC, LIGHTGBM)
    assert found.advantage["logloss"].difference == pytest.approx(
        found.metrics[found.rival].logloss - found.metrics[NETWORK].logloss
    )
    assert found.advantage["logloss"].interval.low > 0
    swapped = {NETWORK: models[LIGHTGBM], LIGHTGBM: models[NETWORK]}
    assert made_up(propensity=swapped).goal(name).comparison().verdict == "behind"
    same = {NETWORK: models[NETWORK], LIGHTGBM: models[NETWORK]}
    assert made_up(propensity=same).goal(name).comparison().verdict == "level"
    alone = made_up(propensity={NETWORK: models[NETWORK]}).goal(name).comparison()
    assert (alone.verdict, alone.rival) == ("alone", None)
