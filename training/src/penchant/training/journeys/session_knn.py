"""Session-kNN: what visitors did next in past sessions like this one.

Source: VMIS-kNN (Kersbergen, Sprangers and Schelter, 2022, Serenade), a form of V-SKNN (Ludewig and
Jannach, 2018) that looks at the most recent sessions of each item only.

Letters: B targets at a time, N item codes, S sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from penchant.training.journeys.baselines import Popularity
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_split import events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Histories, Places

Codes = npt.NDArray[np.int32]
MOST_NEWEST: Final = 50
"""Most events of a history that can count."""


@dataclass(frozen=True, eq=False)
class SessionKnn:
    """Past sessions by item and items by session; later sessions have higher numbers."""

    sessions: sparse.csr_matrix
    """(N, S) 1 at the most recent sessions of each item."""
    items: sparse.csr_matrix
    """(S, N) at the different items of each session their rarity, the log of sessions over those
    with the item."""
    newest: int
    """Events of a history that count, at most `MOST_NEWEST`."""
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
        found: Scores = (self._neighbours(histories.item) @ self.items).toarray()
        return self.popular.fill(found)

    def _neighbours(self, item: Codes) -> sparse.csr_matrix:
        """(B, S) what each neighbour gives to its items."""
        item = item[:, -self.newest :]
        case, column = np.nonzero(_last_of_each(item))
        # Places of a history are different powers of two, so that their sum over the shared items
        # says which are shared: one product gives both the similarity and the newest of them.
        power = 2.0 ** (column + self.newest - item.shape[1])
        shape = (len(item), self.sessions.shape[0])
        history = sparse.csr_matrix((power, (case, item[case, column])), shape=shape)
        shared = (history @ self.sessions).tocsr()
        newness, newest = _sums_of_places(shared.data, self.newest)
        shared.data = newness * newest / self.newest**2
        kept = [
            start + _greatest(newness[start:stop], shared.indices[start:stop], self.neighbours)
            for start, stop in pairwise(shared.indptr.tolist())
        ]
        count = np.array([len(each) for each in kept])
        place = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        ends = np.concatenate([[0], np.cumsum(count)])
        return sparse.csr_matrix((shared.data[place], shared.indices[place], ends), shared.shape)


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
    assert newest <= MOST_NEWEST, "more places than a sum of powers of two can hold"
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
    session, item = pair // num_codes, pair % num_codes
    count = np.bincount(item, minlength=num_codes)
    rarity = np.log(max(len(last), 1) / np.maximum(count, 1))
    by_item = np.lexsort((-session, item))
    place = np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count)
    some = by_item[place < recent]
    return SessionKnn(
        sessions=sparse.csr_matrix(
            (np.ones(len(some)), (item[some], session[some])), shape=(num_codes, len(last))
        ),
        items=sparse.csr_matrix((rarity[item], (session, item)), shape=(len(last), num_codes)),
        newest=newest,
        neighbours=neighbours,
        popular=popular,
    )


def _sums_of_places(
    power: npt.NDArray[np.float64], newest: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of sums of different powers of two: the sum of their exponents plus 1, and the greatest."""
    bits = power.astype(np.int64)
    total, greatest = np.zeros(len(bits)), np.zeros(len(bits))
    for place in range(newest):
        there = (bits >> place) & 1 == 1
        total[there] += place + 1
        greatest[there] = place + 1
    return total, greatest


def _greatest(
    likeness: npt.NDArray[np.float64], session: npt.NDArray[np.integer], count: int
) -> Places:
    """Places of the `count` most similar sessions, of equal ones the most recent."""
    if len(likeness) <= count:
        return np.arange(len(likeness))
    key = likeness * (int(session.max()) + 1) + session
    return np.argpartition(-key, count)[:count]


def _last_of_each(item: Codes) -> npt.NDArray[np.bool_]:
    """(B, L) whether an item is in the catalogue and does not come again later in its row."""
    again = np.zeros(item.shape, np.bool_)
    for back in range(1, item.shape[1]):
        again[:, :-back] |= item[:, :-back] == item[:, back:]
    return (item >= FIRST_CODE) & ~again
