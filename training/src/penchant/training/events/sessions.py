"""Sessions: a visitor's events without a long pause between them."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

EVENT_ORDER = ("time_s", "action", "item_id", "order_id")
"""Columns by which a visitor's events are ordered. Those after the first only make that an order of
events of one moment exists at all; no answer may hang on it, and journeys draw one (ties.py)."""


def with_sessions(events: ir.Table, gap_minutes: float | None) -> ir.Table:
    """Canonical events with `session`, the number (int64) of the session within the visitor.

    Args:
        events: Canonical events.
        gap_minutes: A pause longer than this begins a new session; None, for a log without a
            clock, makes each visitor's events one session.

    Returns:
        The events with one more column; a visitor's first session is 0.
    """
    if gap_minutes is None:
        return events.mutate(session=ibis.literal(0, type="int64"))
    order = [events[name] for name in EVENT_ORDER]
    by_visitor = ibis.window(group_by=events.visitor_id, order_by=order)
    pause = events.time_s - events.time_s.lag().over(by_visitor)
    begun = events.mutate(_begins=(pause > gap_minutes * 60).fill_null(False).cast("int64"))
    so_far = ibis.window(
        group_by=begun.visitor_id,
        order_by=[begun[name] for name in EVENT_ORDER],
        preceding=None,
        following=0,
    )
    return begun.mutate(session=begun["_begins"].sum().over(so_far).cast("int64")).drop("_begins")
