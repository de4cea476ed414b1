"""Full-catalogue ranking against torchmetrics and brute force."""

from collections import Counter

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import catalogue_of, journeys_of, random_journeys
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from penchant.training.journeys.ranking import (
    gains,
    hits,
    leaves_usual_category,
    rank_chunk,
    rank_on_device,
    rank_targets,
    ranking_metrics,
    reciprocals,
)
from penchant.training.journeys.targets import Places, is_repeat, targets_of

ITEMS = 30
JOURNEYS = random_journeys(items=ITEMS)
TARGETS = targets_of(JOURNEYS, JOURNEYS.item > 1)
TABLE = np.random.default_rng(1).normal(size=(len(JOURNEYS), 40, ITEMS + 2)).astype(np.float32)


def scores(visitor: Places, position: Places) -> np.ndarray:
    return TABLE[visitor, position]


def met_before(target: int) -> set[int]:
    start = JOURNEYS.offsets[TARGETS.visitor[target]]
    return set(JOURNEYS.item[start : start + TARGETS.position[target]].tolist())


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 7, None])
def test_ranks_agree_with_brute_force(repeats: bool, chunk_size: int | None) -> None:
    found = rank_targets(scores, JOURNEYS, TARGETS, repeats=repeats, chunk_size=chunk_size)
    goal = JOURNEYS.item[TARGETS.rows(JOURNEYS)]
    answered = set()
    for case in range(len(TARGETS)):
        row = scores(TARGETS.visitor[case], TARGETS.position[case])
        left_out = set() if repeats else met_before(case) - {goal[case]}
        possible = [code for code in range(2, ITEMS + 2) if code not in left_out]
        order = sorted(possible, key=lambda code: -row[code])
        assert found.rank[case] == order.index(goal[case]) + 1
        answered |= set(order[:20])
    assert set(np.flatnonzero(found.answered)) == answered
    assert found.coverage == len(answered) / ITEMS


def test_ranks_on_a_device_are_the_same() -> None:
    rng = np.random.default_rng(0)
    given = rng.integers(0, 6, (40, 12)).astype(np.float32)  # many ties
    target = rng.integers(2, 12, 40).astype(np.int64)
    pairs = rng.integers(0, 40, 60), rng.integers(0, 12, 60).astype(np.int32)
    expected = rank_chunk(given.copy(), target.astype(np.int32), *pairs)
    found = rank_on_device(torch.from_numpy(given), torch.from_numpy(target), *pairs)
    assert found.tolist() == expected.tolist()


def test_metrics_agree_with_torchmetrics() -> None:
    found = rank_targets(scores, JOURNEYS, TARGETS)
    goal = JOURNEYS.item[TARGETS.rows(JOURNEYS)]
    for case in range(0, len(TARGETS), 5):
        row = torch.from_numpy(scores(TARGETS.visitor[case], TARGETS.position[case])[2:])
        row = row.exp()  # torchmetrics takes no score below 0 for an answer
        truth = torch.arange(2, ITEMS + 2) == int(goal[case])
        rank = found.rank[case : case + 1]
        assert hits(rank, 10)[0] == retrieval_hit_rate(row, truth, top_k=10)
        assert gains(rank, 10)[0] == pytest.approx(
            float(retrieval_normalized_dcg(row, truth, top_k=10))
        )
        assert reciprocals(rank, 20)[0] == pytest.approx(
            float(retrieval_reciprocal_rank(row, truth, top_k=20))
        )


def test_ties_stand_before_the_target() -> None:
    journeys = journeys_of([[2, 3]])
    found = rank_targets(
        lambda visitor, position: np.zeros((len(visitor), 12)),
        journeys,
        targets_of(journeys, np.array([False, True])),
    )
    assert found.rank.tolist() == [10]


def test_target_left_out_by_the_model_is_last_and_others_are_no_answers() -> None:
    journeys = journeys_of([[2, 3]])
    row = np.full((1, 12), -np.inf)
    row[0, [0, 5]] = 1.0
    found = rank_targets(
        lambda visitor, position: row, journeys, targets_of(journeys, np.array([False, True]))
    )
    assert found.rank.tolist() == [10]
    assert np.flatnonzero(found.answered).tolist() == [5]


def test_mean_by_visitor_and_by_event() -> None:
    rank = np.array([1, 100, 100, 100, 1])
    visitor = np.array([0, 0, 0, 0, 1])
    assert ranking_metrics(rank, visitor).hr_10 == pytest.approx(2 / 5)
    by_visitor = ranking_metrics(rank, visitor, by_visitor=True)
    assert by_visitor.hr_10 == pytest.approx((1 / 4 + 1) / 2)
    assert (by_visitor.targets, by_visitor.visitors) == (5, 2)
    assert np.isnan(ranking_metrics(rank[:0], visitor[:0]).ndcg_10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 2)), r"scores: expected shape \(1, items \+ 2\), got \(1, 2\)"),
        (np.zeros(12), "expected shape"),
        (np.full((1, 12), np.nan), "expected numbers, got NaN for 1 of 1 cases"),
    ],
)
def test_bad_scores_are_named(given: np.ndarray, message: str) -> None:
    journeys = journeys_of([[2, 3]])
    targets = targets_of(journeys, np.array([False, True]))
    with pytest.raises(ValueError, match=message):
        rank_targets(lambda visitor, position: given, journeys, targets)


def test_new_category_agrees_with_brute_force() -> None:
    names = np.random.default_rng(2).choice(["boots", "coats", "hats", ""], ITEMS)
    catalogue = catalogue_of([name or None for name in names])
    category = catalogue.category_of_code
    found = leaves_usual_category(JOURNEYS, category, TARGETS)
    for case in range(len(TARGETS)):
        start = JOURNEYS.offsets[TARGETS.visitor[case]]
        before = category[JOURNEYS.item[start : start + TARGETS.position[case]]]
        count = Counter(before[before > 0].tolist())
        own = category[JOURNEYS.item[start + TARGETS.position[case]]]
        wanted = bool(count) and own > 0 and count[own] < max(count.values())
        assert found[case] == wanted
    assert 0 < found.sum() < len(found)


def test_histories_may_be_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    category = catalogue_of(["a", "b", "c"] * 10).category_of_code
    whole = leaves_usual_category(JOURNEYS, category, TARGETS), is_repeat(JOURNEYS, TARGETS)
    parts = [part for part, _ in TARGETS.history_chunks(50)]
    assert len(parts) > 10
    assert np.concatenate([np.arange(len(TARGETS))[part] for part in parts]).tolist() == list(
        range(len(TARGETS))
    )
    monkeypatch.setattr(
        "penchant.training.journeys.targets.Targets.history_chunks.__defaults__", (50,)
    )
    assert np.array_equal(leaves_usual_category(JOURNEYS, category, TARGETS), whole[0])
    assert np.array_equal(is_repeat(JOURNEYS, TARGETS), whole[1])
    assert whole[1].tolist() == [
        JOURNEYS.item[row] in met_before(case)
        for case, row in enumerate(TARGETS.rows(JOURNEYS).tolist())
    ]


def test_no_targets() -> None:
    nothing = TARGETS.take(slice(0, 0))
    assert not len(leaves_usual_category(JOURNEYS, np.zeros(32, np.int32), nothing))
    assert not len(rank_targets(scores, JOURNEYS, nothing).rank)
