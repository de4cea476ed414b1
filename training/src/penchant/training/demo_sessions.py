"""What `penchant demo` shows of shop sessions: who buys, and why."""

from __future__ import annotations

from typing import Final

import numpy as np
from rich.table import Table as RichTable

from penchant.clients import Scores
from penchant.training.split import Rows
from penchant.training.table import Table

SHOWN_VISITORS: Final = 12
SHOWN_REASONS: Final = 3


def visitor_table(scores: Scores, table: Table, rows: Rows) -> RichTable:
    """Visitors from the whole range of scores: propensity, strongest reasons, model version.

    Args:
        scores: Answers for the rows, in their order.
        table: Where the rows are, with what the visitors did.
        rows: Numbers of rows that the model did not learn from (B,).
    """
    goal = scores.goals[0]
    shown = RichTable(
        title=f"{len(scores)} held-out visitors scored over gRPC, {SHOWN_VISITORS} shown"
    )
    shown.add_column("visitor", justify="right")
    shown.add_column(f"propensity: {goal}", justify="right")
    shown.add_column("strongest reasons (▲ raises, ▼ lowers)")
    shown.add_column(f"{goal}?")
    shown.add_column("version", justify="right")
    for place in spread(scores.for_goal(goal), SHOWN_VISITORS):
        row = int(rows[place])
        did = {1.0: "yes", 0.0: "no"}.get(float(table.label[row, 0]), "?")
        score = f"{scores.for_goal(goal)[place]:.1%}"
        reasons = reason_lines(scores, place, goal)
        shown.add_row(str(row), score, reasons, did, str(scores.version[place]))
    return shown


def spread(score: np.ndarray, count: int) -> list[int]:
    """Places of `count` scores from the highest to the lowest, at even steps of the order."""
    order = np.argsort(-score, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    places: list[int] = order[steps].tolist()
    return places


def reason_lines(scores: Scores, place: int, goal: str) -> str:
    """The strongest reasons of one score, one a line."""
    return "\n".join(
        f"{'▲' if reason.effect > 0 else '▼'} {reason.feature} {reason.effect:+.2f}"
        for reason in scores.reasons(place, goal, top=SHOWN_REASONS)
    )
