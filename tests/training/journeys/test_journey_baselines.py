"""Baselines against plain loops over the same journeys."""

import math

import numpy as np
import pytest
from tests.training.journeys.small_journeys import journeys_of, random_journeys
from tests.training.journeys.test_association_tables import TABLES

from penchant.training.journeys import baselines
from penchant.training.journeys.baselines import (
    AssociationsAlone,
    Popularity,
    baseline_scorer,
    fit_item_knn,
    fit_popularity,
)
from penchant.training.journeys.journey_recipe import JourneySplit
from penchant.training.journeys.journey_split import split_journeys
from penchant.training.journeys.ranking import checked_scores
from penchant.training.journeys.session_knn import fit_session_knn
from penchant.training.journeys.targets import Histories, Targets, histories

ITEMS = 30
N = ITEMS + 2
JOURNEYS = random_journeys(60, ITEMS, longest=30)
PARTS = split_journeys(JOURNEYS, JourneySplit(test=0.2, validation=0.2))
TEST = PARTS.test.take(slice(0, 40))
ALIKE = Popularity(np.zeros(N))
"""A popularity that orders nothing."""


def learnt_events() -> list[tuple[int, int, int, int]]:
    """Visitor, session, item, time."""
    return [
        (visitor, int(JOURNEYS.session[row]), int(JOURNEYS.item[row]), int(JOURNEYS.time_s[row]))
        for visitor, start in enumerate(JOURNEYS.offsets[:-1].tolist())
        for row in range(start, start + int(PARTS.test_from[visitor]))
        if JOURNEYS.item[row] > 1
    ]


def newest_items(target: int, length: int) -> list[int]:
    """Newest first, 0 where the event has no item of the catalogue."""
    stop = int(TEST.rows(JOURNEYS)[target])
    start = max(stop - length, int(JOURNEYS.offsets[TEST.visitor[target]]))
    return [code if code > 1 else 0 for code in reversed(JOURNEYS.item[start:stop].tolist())]


@pytest.mark.parametrize("half_life_days", [None, 20.0])
def test_popularity(half_life_days: float | None) -> None:
    found = fit_popularity(JOURNEYS, PARTS.test_from, N, half_life_days=half_life_days)
    rows = learnt_events()
    newest = max(time for *_, time in rows)
    wanted = np.zeros(N)
    for *_, item, time in rows:
        age = (newest - time) / 86400
        wanted[item] += 0.5 ** (age / half_life_days) if half_life_days else 1
    np.testing.assert_allclose(found.popularity, wanted)
    scores = baseline_scorer(found, JOURNEYS)(TEST.visitor, TEST.position)
    assert scores.shape == (len(TEST), N)
    np.testing.assert_allclose(scores[3], wanted, rtol=1e-6)


def test_without_a_clock_nothing_decays() -> None:
    journeys = journeys_of([[2, 3, 3, 4]], has_clock=False)
    found = fit_popularity(journeys, journeys.lengths, 6, half_life_days=1e-9)
    assert found.popularity.tolist() == [0, 0, 1, 2, 1, 0]


def test_popularity_orders_ties_and_nothing_else() -> None:
    popular = Popularity(np.array([0, 0, 5, 9, 1.0]))
    filled = popular.fill(np.array([[0, 0, 0, 0, 3], [0, 0, 0, 0, 0]], np.float32))
    assert np.argsort(-filled, axis=1)[:, :3].tolist() == [[4, 3, 2], [3, 2, 4]]


def test_ties_are_told_apart_however_near_popularities_are_and_other_scores_are_not() -> None:
    many = 2000
    rng = np.random.default_rng(0)
    popular = Popularity(np.float64(1) + rng.permutation(many) * 1e-9)
    order = np.argsort(-popular.popularity)
    one = np.float32(0.7)
    score = np.full((2, many), one)
    score[1] = 0
    least = int(order[-1])
    score[:, least] = np.nextafter(score[:, least], np.float32(1))  # of least popularity
    for filled in popular.fill(score):
        assert np.argsort(-filled).tolist() == [least, *order[:-1].tolist()]
    histories_ = Histories(
        item=np.zeros((1, 1), np.int32),
        action=np.zeros((1, 1), np.uint8),
        age_s=np.zeros((1, 1), np.float32),
    )
    assert np.argsort(-checked_scores(popular.scores(histories_), 1)[0]).tolist() == order.tolist()


@pytest.mark.parametrize("newest", [1, 4, 50])
def test_item_knn(newest: int) -> None:
    found = fit_item_knn(JOURNEYS, PARTS.test_from, ALIKE, newest=newest, neighbours=5)
    met = np.zeros((len(JOURNEYS), N))
    for visitor, _, item, _ in learnt_events():
        met[visitor, item] = 1
    length = np.sqrt(np.maximum(met.sum(0), 1))
    cosine = met.T @ met / np.outer(length, length)
    np.fill_diagonal(cosine, 0)
    for item in range(N):  # of equal similarities the lower code is kept
        cosine[item, np.argsort(-cosine[item], kind="stable")[5:]] = 0
    scores = found.scores(histories(JOURNEYS, TEST, 200))
    for case in range(len(TEST)):
        wanted = sum((cosine[i] for i in set(newest_items(case, newest)) if i), np.zeros(N))
        np.testing.assert_allclose(scores[case], wanted, rtol=1e-5, atol=1e-7)


def test_item_knn_counts_the_newest_different_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_ITEMS", 2)
    journeys = journeys_of([[2, 3, 4, 3], [5, 6]])
    found = fit_item_knn(journeys, journeys.lengths, Popularity(np.zeros(7)))
    pairs = set(zip(*(place.tolist() for place in found.similarity.nonzero()), strict=True))
    assert pairs == {(3, 4), (4, 3), (5, 6), (6, 5)}


@pytest.mark.parametrize(("recent", "neighbours"), [(500, 100), (3, 100), (500, 4), (4, 3)])
def test_session_knn(recent: int, neighbours: int) -> None:
    newest = 6
    found = fit_session_knn(
        JOURNEYS, PARTS.test_from, ALIKE, newest=newest, recent=recent, neighbours=neighbours
    )
    items: dict[tuple[int, int], set[int]] = {}
    last: dict[tuple[int, int], int] = {}
    for visitor, session, item, time in learnt_events():
        items.setdefault((visitor, session), set()).add(item)
        last[visitor, session] = time
    by_time = sorted(items, key=lambda each: last[each])  # later sessions last
    count = {item: sum(item in each for each in items.values()) for item in range(N)}
    scores = found.scores(histories(JOURNEYS, TEST, 200))
    for case in range(len(TEST)):
        weigh: dict[int, int] = {}
        for back, item in enumerate(newest_items(case, newest)):
            if item:
                weigh.setdefault(item, newest - back)
        candidates = {
            place
            for item in weigh
            for place in [p for p, each in enumerate(by_time) if item in items[each]][-recent:]
        }
        shared = {
            place: [
                weigh[item]
                for item in weigh
                if place in [p for p, each in enumerate(by_time) if item in items[each]][-recent:]
            ]
            for place in candidates
        }
        best = sorted(candidates, key=lambda place: (-sum(shared[place]), -place))[:neighbours]
        wanted = np.zeros(N)
        for place in best:
            for item in items[by_time[place]]:
                rarity = math.log(len(items) / count[item])
                wanted[item] += sum(shared[place]) * max(shared[place]) * rarity
        np.testing.assert_allclose(scores[case], wanted / newest**2, rtol=1e-5, atol=1e-6)


def test_associations_alone() -> None:
    item = np.array([[0, 4, 7], [0, 0, 0]], np.int32)
    popular = Popularity(np.arange(14.0))
    one = AssociationsAlone(TABLES.keep(("viewed_together",)), popular)
    rows = Histories(item=item, action=item.astype(np.uint8), age_s=item.astype(np.float32))
    found = one.scores(rows)
    wanted = TABLES.scores(item)[:, 1]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6, atol=1e-30)
    assert np.argsort(-found[1])[:3].tolist() == [13, 12, 11]


def test_nothing_to_learn_from_still_answers() -> None:
    journeys = journeys_of([[2, 3], [4]])
    until = np.zeros(2, np.int64)
    popular = fit_popularity(journeys, until, 6, half_life_days=1.0)
    targets = Targets(visitor=np.array([0]), position=np.array([1]))
    for model in (
        popular,
        fit_item_knn(journeys, until, popular),
        fit_session_knn(journeys, until, popular),
    ):
        scores = baseline_scorer(model, journeys)(targets.visitor, targets.position)
        assert not scores.any()
