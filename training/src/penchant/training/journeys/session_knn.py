"""Session-kNN: what visitors did next in past sessions like this one.

Source: VMIS-kNN (Kersbergen, Sprangers and Schelter, 2022, Serenade), a form of V-SKNN (Ludewig and
Jannach, 2018) that looks at the most recent sessions of each item only.

Letters: B targets at a time, N item codes, S sessions, M sessions of an item, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penchant.training.journeys.baselines import Popularity
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_split import events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Histories, Places

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class SessionKnn:
    """Past sessions by item and items by session, both as one list after another."""

    sessions: Places
    """(P,) sessions of each item, the most recent first."""
    session_offsets: Places
    """(N + 1,) where each item's sessions begin."""
    items: Codes
    """(P,) different items of each session; later sessions have higher numbers."""
    item_offsets: Places
    """(S + 1,) where each session's items begin."""
    rarity: npt.NDArray[np.float64]
    """(N,) log of sessions over those with the item."""
    newest: int
    """Events of a history that count."""
    recent: int
    """Most recent sessions M of each item that are looked at."""
    neighbours: int
    """Most similar sessions that speak."""
    popular: Popularity
    """Orders what has no score."""

    def scores(self, histories: Histories) -> Scores:
        """Scores (B, N).

        A neighbour's similarity is the sum, over the items it shares, of how new they are in the
        history; it gives each of its items that similarity, times how new the newest shared item
        is, times the rarity of the item.
        """
        case, session, likeness, newness = self._neighbours(histories.item)
        at, place = _lists(self.item_offsets, session)
        code = self.items[place]
        num_codes = len(self.rarity)
        value = (likeness * newness)[at] * self.rarity[code]
        key = case[at] * num_codes + code
        size = len(histories.item) * num_codes
        total = np.bincount(key, value, minlength=size).reshape(-1, num_codes)
        return self.popular.fill(total.astype(np.float32))

    def _neighbours(
        self, item: Codes
    ) -> tuple[Places, Places, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Case, session, similarity and newness of the newest shared item, of each neighbour."""
        item = item[:, -self.newest :]
        # Whole numbers, so that sums are exact and equal ones stay equal.
        newness = self.newest - np.arange(item.shape[1], dtype=np.float64)[::-1]
        case, column = np.nonzero(_last_of_each(item))
        at, place = _lists(self.session_offsets, item[case, column], self.recent)
        num_sessions = len(self.item_offsets) - 1
        pair, inverse = np.unique(
            case[at] * num_sessions + self.sessions[place], return_inverse=True
        )
        likeness = np.zeros(len(pair))
        np.add.at(likeness, inverse, newness[column[at]])
        newest = np.zeros(len(pair))
        np.maximum.at(newest, inverse, newness[column[at]])
        case, session = pair // num_sessions, pair % num_sessions
        order = np.lexsort((-session, -likeness, case))
        kept = order[_place_in_group(case[order]) < self.neighbours]
        return case[kept], session[kept], likeness[kept] / self.newest, newest[kept] / self.newest


def fit_session_knn(
    journeys: Journeys,
    until: Places,
    popular: Popularity,
    *,
    newest: int = 10,
    recent: int = 500,
    neighbours: int = 100,
) -> SessionKnn:
    """Index past sessions.

    Args:
        journeys: All journeys.
        until: (V,) events of each visitor that are learnt from.
        popular: Orders what has no score.
        newest: Events of a history that count, the newest as 1, the one before as 1 - 1/newest...
        recent: Most recent sessions of each item that are looked at.
        neighbours: Most similar sessions that speak.
    """
    num_codes = len(popular.popularity)
    learnt = events_before(journeys, until) & (np.asarray(journeys.item) >= FIRST_CODE)
    visitor = np.repeat(np.arange(len(journeys)), journeys.lengths)[learnt]
    own = np.asarray(journeys.session[learnt])
    begins = np.diff(visitor, prepend=-1).astype(bool) | np.diff(own, prepend=-1).astype(bool)
    number = np.cumsum(begins) - 1
    last = np.flatnonzero(np.append(begins[1:], True)) if len(begins) else number
    by_time = np.argsort(np.asarray(journeys.time_s[learnt])[last], kind="stable")
    rank = np.empty(len(last), np.int64)
    rank[by_time] = np.arange(len(last))
    pair = np.unique(rank[number] * num_codes + np.asarray(journeys.item[learnt]))
    session, item = pair // num_codes, (pair % num_codes).astype(np.int32)
    by_item = np.lexsort((-session, item))
    count = np.bincount(item, minlength=num_codes)
    return SessionKnn(
        sessions=session[by_item],
        session_offsets=np.concatenate([[0], np.cumsum(count)]),
        items=item,
        item_offsets=np.searchsorted(session, np.arange(len(last) + 1)),
        rarity=np.log(max(len(last), 1) / np.maximum(count, 1)),
        newest=newest,
        recent=recent,
        neighbours=neighbours,
        popular=popular,
    )


def _lists(
    offsets: Places, which: npt.NDArray[np.integer], most: int | None = None
) -> tuple[Places, Places]:
    """Every entry of the lists `which`, as pairs (place in `which`, entry); the first `most`."""
    start = offsets[which]
    count = offsets[np.asarray(which) + 1] - start
    if most is not None:
        count = np.minimum(count, most)
    at = np.repeat(np.arange(len(count)), count)
    return at, np.arange(len(at)) + np.repeat(start - (np.cumsum(count) - count), count)


def _last_of_each(item: Codes) -> npt.NDArray[np.bool_]:
    """(B, L) whether an item is in the catalogue and does not come again later in its row."""
    again = np.zeros(item.shape, np.bool_)
    for back in range(1, item.shape[1]):
        again[:, :-back] |= item[:, :-back] == item[:, back:]
    return (item >= FIRST_CODE) & ~again


def _place_in_group(group: Places) -> Places:
    """Place of each entry within its run of equal numbers; runs are in order."""
    place: Places = np.arange(len(group)) - np.searchsorted(group, group, side="left")
    return place
