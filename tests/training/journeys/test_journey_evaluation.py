"""The table of all models, and when the network earned its place."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.training.journeys.small_journeys import catalogue_of, journeys_of

from penchant.training.bootstrap import drawn_means
from penchant.training.journeys.association_fit import fit_associations_of_journeys
from penchant.training.journeys.evaluation_tables import (
    evaluation_tables,
    last_table,
    ranking_table,
    slice_table,
)
from penchant.training.journeys.journey_evaluation import (
    BEGINS,
    LAST,
    NETWORK_ALONE,
    NEW_CATEGORY,
    SERVED,
    UNTOLD,
    JourneyEvaluation,
    evaluate_journeys,
)
from penchant.training.journeys.journey_recipe import AssociationConfig, JourneySplit
from penchant.training.journeys.journey_split import split_journeys
from penchant.training.journeys.ranking import Scorer
from penchant.training.journeys.rivals import rival_scorers
from penchant.training.journeys.targets import Places, Targets, sample_of

ITEMS, N, LENGTH = 40, 42, 12
RNG = np.random.default_rng(0)


def followed() -> list[list[int]]:
    """Mostly, item i is followed by item i + 1."""
    rows = []
    for _ in range(300):
        row = [int(RNG.integers(2, N))]
        while len(row) < LENGTH:
            jump = RNG.random() < 0.2
            row.append(int(RNG.integers(2, N)) if jump else (row[-1] - 1) % ITEMS + 2)
        rows.append(row)
    return rows


JOURNEYS = journeys_of(
    followed(),
    times=[(np.arange(LENGTH) * 50 + RNG.integers(0, 50)).tolist() for _ in range(300)],
    actions=RNG.integers(1, 3, (300, LENGTH)).tolist(),
)
CATALOGUE = catalogue_of([f"c{item // 10}" for item in range(ITEMS)])
PARTS = split_journeys(JOURNEYS, JourneySplit(test=0.2, validation=0.2))


def knows_the_next(visitor: Places, position: Places) -> np.ndarray:
    last = JOURNEYS.item[JOURNEYS.offsets[visitor] + position - 1]
    scores = np.zeros((len(visitor), N), np.float32)
    scores[np.arange(len(visitor)), (last - 1) % ITEMS + 2] = 1
    return scores


def knows_nothing(visitor: Places, position: Places) -> np.ndarray:
    return np.zeros((len(visitor), N), np.float32)


@pytest.fixture(scope="module")
def rivals() -> dict[str, Scorer]:
    config = AssociationConfig(least_support=1)
    tables = fit_associations_of_journeys(JOURNEYS, PARTS.test_from, config, CATALOGUE)
    return rival_scorers(JOURNEYS, PARTS, N, repeats=True, tables=tables)


def evaluate(
    served: Scorer,
    rivals: dict[str, Scorer],
    *,
    targets: Targets = PARTS.test,
    ours: dict[str, Scorer] | None = None,
) -> JourneyEvaluation:
    models = {SERVED: served, NETWORK_ALONE: knows_nothing, **(ours or {}), **rivals}
    return evaluate_journeys(models, JOURNEYS, CATALOGUE, PARTS, targets=targets, repeats=True)


def test_a_network_that_knows_more_earned_its_place(
    rivals: dict[str, Scorer], tmp_path: Path
) -> None:
    found = evaluate(knows_the_next, rivals)
    assert set(rivals) == {
        "recent popularity",
        "item-kNN",
        "session-kNN",
        "bought together alone",
        "viewed together alone",
        "bought after viewing alone",
    }
    assert found.earned
    assert found.sentence.startswith("JourneyNet is ahead of every baseline: NDCG@10 0.")
    assert found.difference is not None
    assert found.difference.low > 0
    assert found.difference.ndcg_10 == pytest.approx(
        found.models[SERVED].every.ndcg_10
        - max(found.models[name].every.ndcg_10 for name in rivals)
    )
    assert found.models[SERVED].every.hr_10 == pytest.approx(0.8, abs=0.03)
    assert found.models[SERVED].every.targets == len(PARTS.test)
    slices = found.models[SERVED].slices
    assert set(slices) == {
        "action view",
        "action purchase",
        "begins a visit",
        "new category",
        "met before",
        "new to the visitor",
        "last of each visitor",
    }
    assert slices["action view"].targets + slices["action purchase"].targets == len(PARTS.test)
    found.save(tmp_path / "evaluation.json")
    read = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert read["sentence"] == found.sentence
    assert read["models"][SERVED]["every"]["ndcg_10"] == found.models[SERVED].every.ndcg_10
    console = Console(width=300)
    with console.capture() as captured:
        console.print(ranking_table(found))
    lines = captured.get().splitlines()
    assert lines[3].strip("│ ").split()[0] == SERVED, "the best comes first"
    assert "global time split" in captured.get()
    with console.capture() as captured:
        console.print(slice_table(found))
    (row,) = (line for line in captured.get().splitlines() if "new category" in line)
    assert f"{found.models[SERVED].slices[NEW_CATEGORY].ndcg_10:.4f}" in row


def test_neighbours_beat_popularity_where_items_follow_each_other(
    rivals: dict[str, Scorer],
) -> None:
    found = evaluate(knows_the_next, rivals)
    popular = found.models["recent popularity"].every.ndcg_10
    for name in ("item-kNN", "session-kNN", "viewed together alone"):
        assert found.models[name].every.ndcg_10 > 2 * popular


def test_a_network_that_knows_nothing_did_not(rivals: dict[str, Scorer]) -> None:
    found = evaluate(knows_nothing, rivals, targets=sample_of(PARTS.test, 200, seed=0))
    assert not found.earned
    assert "is not ahead of every baseline" in found.sentence
    assert "It is behind in: action view, action purchase" in found.sentence
    assert found.models[SERVED].every.targets == 200
    assert f"200 targets drawn from {len(PARTS.test):,}" in str(ranking_table(found).caption)


def test_a_lead_within_chance_is_called_that(rivals: dict[str, Scorer]) -> None:
    one = {"item-kNN": rivals["item-kNN"]}
    flipped = PARTS.test.visitor[:3].tolist()

    def hardly_better(visitor: Places, position: Places) -> np.ndarray:
        scores = np.array(one["item-kNN"](visitor, position))
        better = knows_the_next(visitor, position)
        luck = np.isin(visitor, flipped)
        scores[luck] = better[luck]
        return scores

    found = evaluate(hardly_better, one)
    assert found.difference is not None
    assert found.difference.ndcg_10 > 0
    assert not found.earned
    assert "but within chance" in found.sentence


def test_what_telling_gives_is_a_row_of_its_own_and_no_baseline(rivals: dict[str, Scorer]) -> None:
    found = evaluate(knows_the_next, rivals, ours={UNTOLD: rivals["item-kNN"]})
    assert found.untold is not None
    assert found.difference is not None
    assert found.untold.baseline == found.difference.baseline
    assert found.untold.baseline not in (UNTOLD, NETWORK_ALONE)
    own = found.models[UNTOLD].every.ndcg_10
    assert found.untold.ndcg_10 == pytest.approx(
        own - found.models[found.untold.baseline].every.ndcg_10
    )
    assert f"as no baseline is, it has {own:.4f} (difference" in found.sentence
    assert "for the model's own action" in found.protocol
    assert UNTOLD not in evaluate(knows_the_next, rivals).protocol


def test_the_last_target_of_each_visitor_and_beginnings_of_visits_are_slices() -> None:
    journeys = journeys_of(
        [[2, 3, 4, 5, 6], [2, 3, 4], [5, 6]],
        times=[[0, 10, 20, 30, 31], [0, 11, 12], [1, 2]],
        sessions=[[0, 0, 0, 1, 1], [0, 1, 2], [0, 0]],
    )
    parts = split_journeys(journeys, JourneySplit(test=0.6, validation=0.5))
    assert parts.test.position.tolist() == [1, 2, 3, 4, 1, 2]

    def by_code(visitor: Places, position: Places) -> np.ndarray:
        return np.tile(np.arange(7, dtype=np.float32), (len(visitor), 1))

    catalogue = catalogue_of(["c"] * 5)
    options = {"targets": parts.test, "repeats": True}
    found = evaluate_journeys({SERVED: by_code}, journeys, catalogue, parts, **options)  # type: ignore[arg-type]
    last, begins = (found.models[SERVED].slices[name] for name in (LAST, BEGINS))
    assert (last.targets, last.visitors) == (2, 2)
    assert last.mrr_20 == pytest.approx((1 / 1 + 1 / 3) / 2)
    assert begins.mrr_20 == pytest.approx((1 / 2 + 1 / 4 + 1 / 3) / 3)
    assert "2 targets" in str(last_table(found).caption)
    assert len(evaluation_tables(found)) == 4


def test_models_are_compared_with_something() -> None:
    models: dict[str, Scorer] = {SERVED: knows_nothing}
    targets = PARTS.test
    found = evaluate_journeys(models, JOURNEYS, CATALOGUE, PARTS, targets=targets, repeats=True)
    assert found.sentence == "JourneyNet was compared with nothing."
    assert not found.earned
    with pytest.raises(ValueError, match="models: expected one named JourneyNet, got none"):
        evaluate_journeys({}, JOURNEYS, CATALOGUE, PARTS, targets=targets, repeats=True)


def test_bootstrap_draws_whole_visitors() -> None:
    value = np.repeat(RNG.normal(size=200), 5)
    alike = drawn_means(value, np.repeat(np.arange(200), 5)).std()
    single = drawn_means(value, np.arange(1000)).std()
    assert alike == pytest.approx(value[::5].std() / np.sqrt(200), rel=0.1)
    assert alike == pytest.approx(single * np.sqrt(5), rel=0.15)
