"""Whether a visitor reached a goal after a moment, as one Ibis query over her events."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from penchant.training.events.examples_config import GoalConfig
from penchant.training.events.history_features import CUTOFF, KEYS, left_join


def with_goal_labels(
    rows: ir.Table, events: ir.Table, cutoff_s: int, goals: Sequence[GoalConfig], *, end_s: int
) -> ir.Table:
    """Rows of one cut-off t with a label column (int8) a goal.

    A label is 1 when an event of the goal lies in (t, t + horizon], else 0; with `negate` the other
    way round. It is missing where the horizon is not over at the end of the log.

    Args:
        rows: With `visitor_id` and `cutoff_s`.
        events: Canonical events, later ones than the cut-off too.
        cutoff_s: t, in seconds since 1970 UTC.
        goals: Which.
        end_s: The last moment that the log covers.
    """
    known = [goal for goal in goals if cutoff_s + goal.horizon_s <= end_s]
    unknown = {goal.column: ibis.null("int8") for goal in goals if goal not in known}
    if known:
        longest_s = max(goal.horizon_s for goal in known)
        later = events.filter(events.time_s > cutoff_s, events.time_s <= cutoff_s + longest_s)
        later = later.mutate(**{CUTOFF: ibis.literal(cutoff_s).cast("int64")})
        done = {goal.column: later.count(where=_reaches(later, goal, cutoff_s)) for goal in known}
        rows = left_join(rows, later.group_by(*KEYS).aggregate(**done))
        for goal in known:
            reached = rows[goal.column].fill_null(0) > 0
            label = (~reached if goal.negate else reached).cast("int8")
            rows = rows.mutate(**{goal.column: label})
    rows = rows.mutate(**unknown)
    labels = [goal.column for goal in goals]
    return rows.select(*(name for name in rows.columns if name not in labels), *labels)


def _reaches(later: ir.Table, goal: GoalConfig, cutoff_s: int) -> ir.BooleanValue:
    inside = later.time_s <= cutoff_s + goal.horizon_s
    return inside & later.action.isin(goal.actions) if goal.actions else inside
