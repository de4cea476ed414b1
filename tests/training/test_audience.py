"""Whom the best scores hold, and what moves them, on data where the answer is known."""

import numpy as np
import pytest
from tests.training.evaluations import ARABIC, HOSTILE, PERSIAN, made_up

from penchant.training.audience import (
    MISSING,
    category_shares,
    drivers,
    numeric_shifts,
    shown,
    suspects,
)
from penchant.training.evaluation import GoalEvaluation


@pytest.fixture
def goal() -> GoalEvaluation:
    """The goal in which seconds and device matter."""
    evaluation = made_up()
    return evaluation.goal(evaluation.goals[0])


def test_the_over_represented_category_is_found(goal: GoalEvaluation) -> None:
    found = category_shares(made_up(), goal)
    assert [(share.feature, share.value) for share in found] == [(f"device {HOSTILE}", PERSIAN)]
    device = made_up().values(f"device {HOSTILE}")
    assert found[0].everyone == pytest.approx((device == PERSIAN).mean())
    best = np.argsort(-goal.score)[:60]
    assert found[0].top == pytest.approx((device[best] == PERSIAN).mean())
    assert found[0].ratio == pytest.approx(found[0].top / found[0].everyone)


def test_the_shifted_number_is_found(goal: GoalEvaluation) -> None:
    (found,) = numeric_shifts(made_up(), goal)
    assert found.feature == "seconds"
    assert found.top > 2 * found.everyone
    assert 0.3 < found.shift < 0.5


def test_drivers_are_ranked_and_directed(goal: GoalEvaluation) -> None:
    first, second, third = drivers(made_up(), goal)
    assert {first.feature, second.feature} == {"seconds", f"device {HOSTILE}"}
    assert first.strength >= second.strength > third.strength == 0
    assert first.share + second.share == pytest.approx(1)
    assert third.feature == f"interests {ARABIC}"
    assert (third.raises, third.lowers) == (None, None)
    device = next(d for d in (first, second) if d.feature.startswith("device"))
    assert device.raises == PERSIAN
    assert device.effects[0].mean_reason == pytest.approx(1.2)
    assert sum(effect.rows for effect in device.effects) == len(goal.explained)


def test_groups_of_a_number_are_in_order_and_missing_is_one(goal: GoalEvaluation) -> None:
    seconds = next(d for d in drivers(made_up(), goal) if d.feature == "seconds")
    assert seconds.effects[-1].values == MISSING
    means = [effect.mean_reason for effect in seconds.effects[:-1]]
    assert means == sorted(means)
    sizes = [effect.rows for effect in seconds.effects[:-1]]
    assert max(sizes) <= min(sizes) + 2
    assert sum(sizes) + seconds.effects[-1].rows == len(goal.explained)


def test_a_common_lowest_value_is_a_group_of_its_own() -> None:
    numeric = np.where(np.arange(600) < 400, 0, np.arange(600))[:, None].astype(np.float32)
    evaluation = made_up(raw=dict(made_up().raw) | {"numeric": numeric})
    goal = evaluation.goal(evaluation.goals[0])
    seconds = next(d for d in drivers(evaluation, goal) if d.feature == "seconds")
    assert (seconds.effects[0].values, seconds.effects[0].rows) == ("0", 200)
    assert len(seconds.effects) == 6


def test_a_column_that_gives_the_answer_away_is_suspected() -> None:
    label = made_up().label[:, 0]
    leak = (label + 0.001 * np.arange(600))[:, None].astype(np.float32)
    evaluation = made_up(raw=dict(made_up().raw) | {"numeric": leak})
    goal = evaluation.goal(evaluation.goals[0])
    found = {s.feature: s for s in suspects(evaluation, goal, drivers(evaluation, goal))}
    assert found["seconds"].auc > 0.85
    assert f"interests {ARABIC}" not in found


def test_two_columns_that_share_the_work_are_not_suspected(goal: GoalEvaluation) -> None:
    assert suspects(made_up(), goal, drivers(made_up(), goal)) == []


def test_a_column_that_carries_the_model_alone_is_suspected() -> None:
    reason = made_up().reason.copy()
    reason[:, :, 1] /= 10
    evaluation = made_up(reason=reason)
    goal = evaluation.goal(evaluation.goals[0])
    (found,) = suspects(evaluation, goal, drivers(evaluation, goal))
    assert found.feature == "seconds"
    assert found.share > 0.8


def test_values_in_words() -> None:
    values = [np.float32(0), 1234.5, 0.01234, np.nan, "", PERSIAN]
    assert [shown(v) for v in values] == ["0", "1,234", "0.0123", MISSING, MISSING, PERSIAN]
    assert shown(np.array(["a", "", "b"], dtype=object)) == "a, b"
    assert shown(np.array(["", ""], dtype=object)) == MISSING


def test_no_explained_rows_have_no_drivers() -> None:
    evaluation = made_up(
        explained=np.array([], dtype=np.int64), base=np.zeros((0, 2)), reason=np.zeros((0, 2, 3))
    )
    assert drivers(evaluation, evaluation.goal("leave")) == []
