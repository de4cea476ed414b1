"""What visitors do before they buy: answer a message, search, view.

Letters: T visits, W views, E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.draws import (
    Flags,
    Ints,
    draw_each,
    happens,
    rank_within,
    repeat_last,
)
from penchant.training.simulation.event_rows import (
    CLICK,
    OPEN,
    SEARCH,
    SENT,
    UNSUBSCRIBE,
    VIEW,
    EventRows,
    rows_of,
)
from penchant.training.simulation.scene import Scene
from penchant.training.simulation.visits import Visits

MOST_VIEWS: Final = 30
"""Most views of a session."""
_SEARCHES: Final = 0.35  # share of sessions that begin with a search
_SEEN_AGAIN: Final = 0.15  # share of views of the item that was viewed just before


@dataclass(frozen=True, kw_only=True, eq=False)
class Browsing:
    """What was seen in some visits."""

    searched: Flags
    """Whether the session begins with a search (T,)."""
    num_views: Ints
    """Views of each visit, 0 in stores and where there is no session (T,)."""
    first_view: Ints
    """Place of the first view of each visit (T,)."""
    done_s: Ints
    """When the visitor has seen enough (T,)."""
    visit: Ints
    """Visit of each view (W,)."""
    item: Ints
    """Item of each view (W,)."""
    events: tuple[EventRows, ...]
    """All of it as events."""


def browse(scene: Scene, rng: np.random.Generator) -> Browsing:
    """Draw answers, searches and views of a scene's visits."""
    visits = scene.visits
    answers, begun_s = _answers(visits, rng)
    online = visits.is_session & ~visits.in_store
    searched = online & happens(_SEARCHES, len(visits), rng)
    drawn = np.minimum(rng.geometric(1 / scene.config.views, len(visits)), MOST_VIEWS)
    num_views = np.where(online, drawn, 0)
    visit = np.repeat(np.arange(len(visits)), num_views)
    item = _viewed_items(visit, scene, rng)
    first_view = np.cumsum(num_views) - num_views
    pause_s = 4 + np.minimum(rng.exponential(25, len(visit)), 100).astype(np.int64)
    passed_s = np.cumsum(pause_s)
    time_s = begun_s[visit] + passed_s - (passed_s - pause_s)[first_view[visit]]
    done_s = begun_s.copy()
    np.maximum.at(done_s, visit, time_s)
    return Browsing(
        searched=searched,
        num_views=num_views,
        first_view=first_view,
        done_s=done_s,
        visit=visit,
        item=item,
        events=(
            *answers,
            _searches(np.flatnonzero(searched), begun_s, scene, rng),
            rows_of(visits, visit, time_s=time_s, action=VIEW, item=item),
        ),
    )


def _answers(visits: Visits, rng: np.random.Generator) -> tuple[list[EventRows], Ints]:
    """Messages and answers as events, and when what comes after them begins (T,)."""
    opened_s = visits.time_s + rng.integers(30, 600, len(visits))
    answered_s = opened_s + rng.integers(5, 60, len(visits))
    happened: tuple[tuple[Flags, int, Ints], ...] = (
        (visits.sent, SENT, visits.time_s),
        (visits.opened, OPEN, opened_s),
        (visits.clicked, CLICK, answered_s),
        (visits.unsubscribed, UNSUBSCRIBE, answered_s),
    )
    events = [
        rows_of(visits, np.flatnonzero(flag), time_s=time_s[flag], action=action)
        for flag, action, time_s in happened
    ]
    return events, np.where(visits.clicked, answered_s + 3, visits.time_s)


def _searches(rows: Ints, begun_s: Ints, scene: Scene, rng: np.random.Generator) -> EventRows:
    visits = scene.visits
    language = scene.visitors.language[visits.visitor[rows]]
    query = scene.shop.queries(visits.intent[rows], language, rng)
    return rows_of(visits, rows, time_s=begun_s[rows], action=SEARCH, query=query)


def _viewed_items(visit: Ints, scene: Scene, rng: np.random.Generator) -> Ints:
    """The item of each view: mostly of the session's category, at times the one just seen."""
    category = scene.visits.intent[visit].copy()
    strays = np.flatnonzero(~happens(scene.config.intent, len(visit), rng))
    taste = scene.visitors.taste[scene.visits.visitor[visit[strays]]]
    category[strays] = draw_each(taste * scene.shop.seasons[scene.visits.week[visit[strays]]], rng)
    item = scene.shop.items.draw(category, scene.level(visit), rng)
    again = happens(_SEEN_AGAIN, len(visit), rng) & (rank_within(visit) > 0)
    return item[repeat_last(~again)]
