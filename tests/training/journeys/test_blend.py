"""The blend's weights against what made the data, and the served module against NumPy."""

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import journeys_of

from penchant.training.journeys import blend as blends
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import BlendModule, blended_scorer, fit_blend
from penchant.training.journeys.ranking import rank_targets, ranking_metrics
from penchant.training.journeys.targets import Places, targets_of

N, VISITORS = 22, 3000
RNG = np.random.default_rng(0)
TABLES = AssociationTables(
    names=("bought_together", "viewed_together", "popular"),
    code=np.array(
        [[RNG.permutation(np.arange(2, N))[:3] for _ in range(N)] for _ in range(2)], np.int32
    ),
    weight=RNG.exponential(5.0, (2, N, 3)).astype(np.float32),
    popularity=np.concatenate([[0, 0], RNG.exponential(20.0, N - 2)]).astype(np.float32),
)
TABLES.code[:, :2] = TABLES.weight[:, :2] = 0
LOGITS = RNG.normal(size=(VISITORS, N)).astype(np.float32)
TRUTH = np.array([1.2, 0.0, 0.5])


def network(visitor: Places, position: Places) -> np.ndarray:
    return LOGITS[visitor]


def drawn_journeys(truth: np.ndarray, *, with_network: bool = True) -> list[list[int]]:
    """Two items, then one drawn by the blend with the true weights."""
    rng = np.random.default_rng(1)
    before = rng.integers(2, N, (VISITORS, 2)).astype(np.int32)
    logits = LOGITS * with_network + np.einsum("bsn,s->bn", np.log1p(TABLES.scores(before)), truth)
    logits[:, :2] = -np.inf
    target = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    rows: list[list[int]] = np.column_stack([before, target]).tolist()
    return rows


JOURNEYS = journeys_of(drawn_journeys(TRUTH))
LAST = np.arange(JOURNEYS.num_events) % 3 == 2
TARGETS = targets_of(JOURNEYS, LAST)


def test_true_weights_are_found() -> None:
    found = fit_blend(network, TABLES, JOURNEYS, TARGETS)
    assert list(found.alpha) == list(TABLES.names)
    np.testing.assert_allclose(list(found.alpha.values()), TRUTH, atol=0.1)
    assert all(value >= 0 for value in found.alpha.values())
    assert (found.network, found.targets) == (1.0, VISITORS)
    assert found.logloss < found.logloss_before
    scorer = blended_scorer(found, network, TABLES, JOURNEYS)
    ranks = rank_targets(scorer, JOURNEYS, TARGETS)
    assert ranking_metrics(ranks.rank, TARGETS.visitor).ndcg_10 == pytest.approx(found.ndcg)
    plain = rank_targets(network, JOURNEYS, TARGETS)
    assert ranking_metrics(plain.rank, TARGETS.visitor).ndcg_10 == pytest.approx(found.ndcg_before)
    assert found.ndcg > found.ndcg_before


def test_gradient_is_that_of_the_loss() -> None:
    cells = blends._Cells(network, TABLES, JOURNEYS, TARGETS.take(slice(0, 300)), repeats=False)
    at = np.array([0.3, 0.7, 0.1])
    _, slope = cells.loss(at)
    for place in range(3):
        step = np.eye(3)[place] * 1e-2
        wanted = (cells.loss(at + step)[0] - cells.loss(at - step)[0]) / 2e-2
        assert slope[place] == pytest.approx(wanted, rel=0.02, abs=1e-4)


def test_statistics_that_know_nothing_are_given_up() -> None:
    journeys = journeys_of(drawn_journeys(np.zeros(3)))
    found = fit_blend(network, TABLES, journeys, TARGETS)
    assert found.ndcg >= found.ndcg_before
    assert max(found.alpha.values()) < 0.1


def test_one_statistic_alone() -> None:
    journeys = journeys_of(drawn_journeys(TRUTH, with_network=False))
    found = fit_blend(None, TABLES, journeys, TARGETS, alone="bought_together")
    assert found.network == 0
    assert found.alpha["bought_together"] > 0.5
    assert list(found.alpha) == ["bought_together"]
    assert blended_scorer(found, None, TABLES, journeys)(np.arange(4), np.full(4, 2)).shape == (
        4,
        N,
    )
    with pytest.raises(ValueError, match=r"associations\.alone: expected one of bought_together"):
        fit_blend(None, TABLES, journeys, TARGETS, alone="sold_together")


def test_many_targets_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blends, "BLEND_CELLS", 4 * N * 500)
    found = fit_blend(network, TABLES, JOURNEYS, TARGETS)
    assert found.targets == 500
    np.testing.assert_allclose(list(found.alpha.values()), TRUTH, atol=0.3)


@pytest.mark.parametrize("alone", [None, "popular", "viewed_together"])
def test_served_module_agrees_with_numpy(alone: str | None) -> None:
    found = fit_blend(network, TABLES, JOURNEYS, TARGETS, alone=alone)
    item = np.asarray(JOURNEYS.item).reshape(-1, 3)[:50, :2]
    kept = TABLES.keep(tuple(found.alpha))
    wanted = found.combine(LOGITS[:50], kept.scores(item))
    module = BlendModule(found, TABLES)
    given = module(torch.from_numpy(LOGITS[:50]), torch.from_numpy(item.copy()))
    np.testing.assert_allclose(given.numpy(), wanted, rtol=1e-4, atol=1e-5)
