"""Strong simple rivals of the network: popularity and neighbours, without anything to train.

All stand behind one protocol and take whole batches; what each of them cannot tell apart follows
the popularity of items, as a shop would fill its page.

Letters: B targets at a time, L events of a history, N item codes, V visitors, S sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_split import events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scorer, Scores
from penchant.training.journeys.targets import Histories, Places, Targets, histories

SECONDS_A_DAY = 86_400.0
MOST_ITEMS = 500
"""Newest different items of a visitor from which item-kNN counts pairs."""
BASELINE_LENGTH = 200
"""Events of a history that baselines look at."""
_TIE = 2.0**-25
"""Share of a score by which ties are ordered: half the least step between two FP32 numbers."""
_LEAST = 2.0**-200
"""Orders what has no score; less than any FP32 number above 0."""


class Baseline(Protocol):
    """A model that needs histories alone."""

    def scores(self, histories: Histories) -> Scores:
        """Scores (B, N) by item code."""
        ...


def baseline_scorer(
    baseline: Baseline, journeys: Journeys, *, length: int = BASELINE_LENGTH
) -> Scorer:
    """The baseline as a model to rank by, which sees the newest `length` events."""

    def scores(visitor: Places, position: Places) -> Scores:
        targets = Targets(visitor=visitor, position=position)
        return baseline.scores(histories(journeys, targets, length))

    return scores


@dataclass(frozen=True, eq=False)
class Popularity:
    """The items of most events, recent ones counting more; the same for every visitor."""

    popularity: npt.NDArray[np.float64]
    """(N,) weight of each item, at least 0."""

    @cached_property
    def place(self) -> npt.NDArray[np.float64]:
        """(N,) share in [0, 1] of the different popularities that are below the item's."""
        distinct, place = np.unique(self.popularity, return_inverse=True)
        return place / len(distinct)

    def scores(self, histories: Histories) -> Scores:
        """Scores (B, N), the same in each row."""
        return np.broadcast_to(self.popularity, (len(histories.item), len(self.popularity)))

    def fill(self, scores: Scores) -> Scores:
        """Scores (B, N) at least 0, with ties and items without a score ordered by popularity.

        What differs as FP32 keeps its order, for what is added is less than the least difference of
        two such numbers, and FP64 holds both.
        """
        exact = scores.astype(np.float32).astype(np.float64)
        exact *= 1 + _TIE * self.place
        exact += _LEAST * self.place
        return exact


def fit_popularity(
    journeys: Journeys, until: Places, num_codes: int, *, half_life_days: float | None
) -> Popularity:
    """Count the events of each item.

    Args:
        journeys: All journeys.
        until: (V,) events of each visitor that are learnt from.
        num_codes: N.
        half_life_days: Days after which an event counts half, seen from the newest; None counts
            all alike, and so does a log without a clock.
    """
    learnt = events_before(journeys, until)
    item = np.asarray(journeys.item[learnt])
    weight = np.ones(len(item))
    if half_life_days is not None and journeys.has_clock and len(item):
        time = np.asarray(journeys.time_s[learnt])
        weight = 0.5 ** ((time.max() - time) / (half_life_days * SECONDS_A_DAY))
    popularity = np.zeros(num_codes)
    np.add.at(popularity, item, weight)
    popularity[:FIRST_CODE] = 0
    return Popularity(popularity)


@dataclass(frozen=True, eq=False)
class ItemKnn:
    """Items that the same visitors met, by the cosine of who met them.

    Source: Sarwar et al., 2001, Item-based Collaborative Filtering; here for implicit feedback.
    """

    similarity: sparse.csr_matrix
    """(N, N) cosine of an item (row) to its neighbours (columns)."""
    newest: int
    """Events of a history that count."""
    popular: Popularity

    def scores(self, histories: Histories) -> Scores:
        """Scores (B, N): the similarity to the newest items of the history, each item once."""
        item = histories.item[:, -self.newest :]
        row, column = np.nonzero(item >= FIRST_CODE)
        num_codes = self.similarity.shape[0]
        met = _binary(row, item[row, column], (len(item), num_codes))
        found: Scores = (met @ self.similarity).toarray()
        return self.popular.fill(found)


def fit_item_knn(
    journeys: Journeys,
    until: Places,
    popular: Popularity,
    *,
    newest: int = 50,
    neighbours: int = 200,
) -> ItemKnn:
    """Count which items are met by the same visitors.

    Args:
        journeys: All journeys.
        until: (V,) events of each visitor that are learnt from; of many different items the newest
            `MOST_ITEMS` count.
        popular: Orders what has no neighbour.
        newest: Events of a history that count.
        neighbours: Most similar items that are kept for each.
    """
    num_codes = len(popular.popularity)
    learnt = events_before(journeys, until) & (np.asarray(journeys.item) >= FIRST_CODE)
    visitor = np.repeat(np.arange(len(journeys)), journeys.lengths)[learnt]
    visitor, item = _newest_items(visitor, np.asarray(journeys.item[learnt]), MOST_ITEMS)
    met = _binary(visitor, item, (len(journeys), num_codes))
    length = np.sqrt(np.maximum(np.asarray(met.sum(0)).ravel(), 1))
    together = (met.T @ met).tocsr()
    together.setdiag(0)
    cosine = sparse.diags(1 / length) @ together @ sparse.diags(1 / length)
    return ItemKnn(_strongest(cosine.tocsr().astype(np.float32), neighbours), newest, popular)


@dataclass(frozen=True, eq=False)
class AssociationsAlone:
    """One association statistic, as it would answer without the network."""

    tables: AssociationTables
    """The statistic alone."""
    popular: Popularity

    def scores(self, histories: Histories) -> Scores:
        """Scores (B, N)."""
        return self.popular.fill(self.tables.scores(histories.item)[:, 0])


def _binary(
    row: npt.NDArray[np.integer], column: npt.NDArray[np.integer], shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Sparse matrix with 1 at each of the places, however often it is named."""
    matrix = sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _newest_items(
    owner: Places, item: npt.NDArray[np.int32], most: int
) -> tuple[Places, npt.NDArray[np.int32]]:
    """The newest `most` different items of each owner; events are in order within an owner."""
    width = int(item.max(initial=0)) + 1
    key = owner[::-1] * width + item[::-1]
    _, first = np.unique(key, return_index=True)
    last = np.sort(len(owner) - 1 - first)  # the last time that each owner met each item
    owner, item = owner[last], item[last]
    behind = np.searchsorted(owner, owner, side="right") - np.arange(len(owner))
    kept = behind <= most
    return owner[kept], item[kept]


def _strongest(matrix: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The `count` greatest numbers of each row, of equal ones the first."""
    matrix.sort_indices()
    kept = [
        start + np.argsort(-matrix.data[start:stop], kind="stable")[:count]
        for start, stop in pairwise(matrix.indptr.tolist())
    ]
    ends = np.concatenate([[0], np.cumsum([len(each) for each in kept])])
    place = np.concatenate(kept)
    return sparse.csr_matrix((matrix.data[place], matrix.indices[place], ends), matrix.shape)
