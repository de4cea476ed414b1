"""Visitors who bought boots last month and browse coats now: does a model follow them?

Letters: N cases, K answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from penchant.training.simulation.simulated_log import SimulatedLog

_TRIED: Final = 12  # sessions looked at for each case that is asked for
_WITH_ITEM: Final = ("view", "cart", "purchase")
_LAST_MONTH_S: Final = 60 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class DriftCase:
    """A history that ends amid a session about a category that is not the visitor's usual one."""

    visitor_id: int
    """Who it is."""
    item_ids: tuple[str, ...]
    """Items of her views, carts and purchases so far, newest last."""
    actions: tuple[str, ...]
    """What was done with each."""
    channels: tuple[str, ...]
    """Through which channel."""
    times_s: tuple[int, ...]
    """When, in seconds since 1970."""
    now_s: int
    """When the next item is asked for."""
    browsed: str
    """Category of the session she is in."""
    usual: str
    """Category of most events before that session, in which she also bought."""


def drift_cases(
    log: SimulatedLog,
    *,
    num_cases: int = 200,
    since_s: int = 0,
    num_views: int = 4,
    seed: int = 0,
) -> tuple[DriftCase, ...]:
    """Histories whose session browses one category while most of the past was about another.

    Of the session, which begins at `since_s` or later, the first `num_views` views are known and
    all but one at most are of the category browsed. More than half of the events before it are of
    the usual category, and in the 60 days before it something of that category was bought.

    Args:
        log: A simulated log.
        num_cases: Most cases; fewer come where the log has fewer. No visitor gives two.
        since_s: Earliest beginning of the session, in seconds since 1970.
        num_views: Views of the session that are known.
        seed: Decides which cases are taken.

    Raises:
        ValueError: The log has no such case.
    """
    sessions = _candidates(log, since_s, num_views).to_pylist()
    np.random.default_rng(seed).shuffle(sessions)
    first = {session["visitor_id"]: session for session in reversed(sessions)}
    tried = list(first.values())[: num_cases * _TRIED]
    histories = _histories(log, [session["visitor_id"] for session in tried])
    found = (
        _drift_case(session, histories.get(session["visitor_id"], []), num_views)
        for session in tried
    )
    cases = tuple(case for case in found if case is not None)[:num_cases]
    if not cases:
        raise ValueError(
            "drift_cases: no visitor of the log bought in one category and then browsed another "
            f"since {since_s}; simulate more events or take an earlier since_s"
        )
    return cases


def share_of_browsed(
    cases: Sequence[DriftCase], answers: Sequence[Sequence[str]], category_of: Mapping[str, str]
) -> float:
    """Share of all answers that are of the category browsed.

    Args:
        cases: Drift cases (N,).
        answers: Item ids answered for each (N, K); an id without a category is of another.
        category_of: Item id to category.
    """
    return float(
        np.mean(
            [
                category_of.get(item_id) == case.browsed
                for case, answer in zip(cases, answers, strict=True)
                for item_id in answer
            ]
        )
    )


class _ItemEvent(NamedTuple):
    time_s: int
    action: str
    channel: str
    item_id: str
    category: str


def _candidates(log: SimulatedLog, since_s: int, num_views: int) -> pa.Table:
    """Sessions long enough, about another category than the one its visitor likes best."""
    sessions = log.sessions().select(["visitor_id", "start_s", "end_s", "intent", "num_views"])
    visitors = log.visitors().select(["visitor_id", "favourite"])
    joined = sessions.join(visitors, "visitor_id", use_threads=False)
    return joined.filter(
        (pc.field("num_views") >= num_views)
        & (pc.field("start_s") >= since_s)
        & (pc.field("intent") != pc.field("favourite"))
    ).sort_by([("visitor_id", "ascending"), ("start_s", "ascending")])


def _histories(log: SimulatedLog, visitor_ids: Sequence[int]) -> dict[int, list[_ItemEvent]]:
    """What some visitors did with items of the catalogue, oldest first, without repeated rows."""
    wanted = pc.field("visitor_id").isin(pa.array(visitor_ids, pa.int64()))
    end = pa.scalar(log.facts()["end_s"] * 1_000_000).cast(pa.timestamp("us"))
    rows = ds.dataset(log.events).to_table(
        columns=["visitor_id", "time", "action", "channel", "item_id"],
        filter=wanted & pc.field("action").isin(_WITH_ITEM) & (pc.field("time") < end),
        use_threads=False,
    )
    category_of = log.categories()
    histories: dict[int, dict[_ItemEvent, None]] = {}
    time_s = pc.divide(rows["time"].cast(pa.int64()), 1_000_000).to_pylist()
    for visitor_id, moment, (action, channel, item_id) in zip(
        rows["visitor_id"].to_pylist(), time_s, _tuples(rows), strict=True
    ):
        if item_id in category_of:
            event = _ItemEvent(moment, action, channel, item_id, category_of[item_id])
            histories.setdefault(visitor_id, {})[event] = None
    return {visitor_id: list(events) for visitor_id, events in histories.items()}


def _tuples(rows: pa.Table) -> Iterator[tuple[str, ...]]:
    return zip(*(rows[name].to_pylist() for name in ("action", "channel", "item_id")), strict=True)


def _drift_case(
    session: Mapping[str, Any], history: Sequence[_ItemEvent], num_views: int
) -> DriftCase | None:
    """The session as a case, if its visitor's past is about another category than it is."""
    begun_s, browsed = session["start_s"], session["intent"]
    past = [event for event in history if event.time_s < begun_s]
    session_events = [e for e in history if begun_s <= e.time_s <= session["end_s"]]
    seen = [event for event in session_events if event.action == "view"][:num_views]
    if not past or len(seen) < num_views:
        return None
    usual, count = Counter(event.category for event in past).most_common(1)[0]
    bought_lately = any(
        event.action == "purchase"
        and event.category == usual
        and event.time_s >= begun_s - _LAST_MONTH_S
        for event in past
    )
    follows = sum(event.category == browsed for event in seen) >= num_views - 1
    if usual == browsed or 2 * count <= len(past) or not bought_lately or not follows:
        return None
    known = [*past, *seen]
    return DriftCase(
        visitor_id=session["visitor_id"],
        item_ids=tuple(event.item_id for event in known),
        actions=tuple(event.action for event in known),
        channels=tuple(event.channel for event in known),
        times_s=tuple(event.time_s for event in known),
        now_s=known[-1].time_s + 10,
        browsed=browsed,
        usual=usual,
    )
