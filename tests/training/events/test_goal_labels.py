"""Labels look at what comes strictly after the cut-off, up to the end of the horizon."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
import pytest

from penchant.training.events.examples_config import DAY_S, GoalConfig
from penchant.training.events.goal_labels import with_goal_labels

T = 1_300_000_000
WEEK = GoalConfig(name="buys", actions=("purchase",), within_days=7)
CHURN = GoalConfig(name="churn", actions=("purchase",), within_days=7, negate=True)
OPENS = GoalConfig(name="opens", actions=("open", "click"), within_days=1)
RETURNS = GoalConfig(name="returns", within_days=7)


def labels(
    *events: tuple[int, str], goals: tuple[GoalConfig, ...], end_s: int = T + 30 * DAY_S
) -> dict[str, Any]:
    """Labels of visitor 1, who has these events so many seconds after the cut-off."""
    table = pa.table(
        {
            "visitor_id": [2, *[1] * len(events)],
            "time_s": [T + 60, *[T + later_s for later_s, _ in events]],
            "action": ["purchase", *[action for _, action in events]],
        }
    )
    rows = ibis.memtable(pa.table({"visitor_id": [1], "cutoff_s": [T], "x": [0.5]}))
    labelled = with_goal_labels(rows, ibis.memtable(table), T, goals, end_s=end_s)
    (row,) = labelled.to_pyarrow().to_pylist()
    assert tuple(row) == ("visitor_id", "cutoff_s", "x", *(goal.column for goal in goals))
    return {goal.name: row[goal.column] for goal in goals}


@pytest.mark.parametrize(
    ("later_s", "reached"),
    [(-1, 0), (0, 0), (1, 1), (7 * DAY_S, 1), (7 * DAY_S + 1, 0)],
)
def test_a_label_is_of_the_half_open_horizon(later_s: int, reached: int) -> None:
    found = labels((later_s, "purchase"), goals=(WEEK, CHURN, RETURNS))
    assert found == {"buys": reached, "churn": 1 - reached, "returns": reached}


def test_a_goal_of_several_actions_is_reached_by_any_of_them() -> None:
    assert labels((9, "click"), goals=(OPENS, WEEK)) == {"opens": 1, "buys": 0}
    assert labels((9, "view"), goals=(OPENS, RETURNS)) == {"opens": 0, "returns": 1}
    assert labels((2 * DAY_S, "open"), goals=(OPENS, RETURNS)) == {"opens": 0, "returns": 1}


def test_a_visitor_without_later_events_reached_nothing() -> None:
    assert labels(goals=(WEEK, CHURN, RETURNS)) == {"buys": 0, "churn": 1, "returns": 0}


def test_a_horizon_that_is_not_over_has_no_label() -> None:
    goals = (WEEK, CHURN, OPENS)
    found = labels((9, "purchase"), goals=goals, end_s=T + 7 * DAY_S - 1)
    assert found == {"buys": None, "churn": None, "opens": 0}
    assert labels((9, "purchase"), goals=goals, end_s=T + 7 * DAY_S)["buys"] == 1
    assert labels(goals=(WEEK,), end_s=T) == {"buys": None}
