"""Association tables of a log and of its journeys: only what came before, and both alike."""

from pathlib import Path
from typing import Any

import numpy as np
from tests.training.journeys.small_logs import log_of

from penchant.training.journeys.association_fit import (
    fit_associations,
    fit_associations_of_journeys,
)
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.journey_recipe import AssociationConfig

CONFIG = AssociationConfig(neighbours=3, least_support=2)


def rows_of(visitors: int = 300) -> list[tuple[Any, ...]]:
    """Boots and laces are viewed and then bought together, among a lot that is not."""
    rng = np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = []
    for visitor in range(visitors):
        time = visitor * 10_000
        items = [f"i{at}" for at in rng.integers(0, 12, 3)]
        if visitor % 3 == 0:
            items += ["boots", "laces"]
        for item in dict.fromkeys(items):
            rows += [(visitor, time := time + 30, "view", item)]
        rows += [(visitor, time + 60, "purchase", item) for item in items[-2:]]
    return rows


def test_planted_pair_is_found_and_the_future_is_not_seen(tmp_path: Path) -> None:
    rows = rows_of()
    cut = max(row[1] for row in rows) + 1
    log = log_of(rows)
    _, catalogue = build_journeys(log, tmp_path)
    tables = fit_associations(log, CONFIG, catalogue)
    assert tables.names == CONFIG.use
    boots, laces = catalogue.encode(np.array(["boots", "laces"], dtype=object))
    for name in ("bought_together", "viewed_together", "bought_after_viewing"):
        assert tables.code[tables.names.index(name), boots, 0] == laces
    assert tables.popularity[boots] > 0
    later = [(visitor + 1000, time + cut, *rest) for visitor, time, *rest in rows]
    later = [(*row[:3], "i3" if row[3] == "laces" else row[3]) for row in later]
    again = fit_associations(log_of(rows + later), CONFIG, catalogue, before_s=cut)
    for name in ("code", "weight", "popularity"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tables, name))


def test_journeys_and_the_log_give_the_same(tmp_path: Path) -> None:
    log = log_of(rows_of())
    journeys, catalogue = build_journeys(log, tmp_path)
    tables = fit_associations(log, CONFIG, catalogue)
    same = fit_associations_of_journeys(journeys, journeys.lengths, CONFIG, catalogue)
    np.testing.assert_allclose(same.weight, tables.weight, rtol=1e-5)
    np.testing.assert_allclose(same.popularity, tables.popularity, rtol=1e-5)
    boots, laces = catalogue.encode(np.array(["boots", "laces"], dtype=object))
    assert same.code[0, boots, 0] == laces
    fewer = fit_associations_of_journeys(journeys, journeys.lengths // 2, CONFIG, catalogue)
    assert fewer.popularity.sum() < same.popularity.sum()


def test_one_statistic_alone(tmp_path: Path) -> None:
    log = log_of(rows_of(30))
    _, catalogue = build_journeys(log, tmp_path)
    config = AssociationConfig(use=(), alone="popular")
    tables = fit_associations(log, config, catalogue)
    assert tables.names == ("popular",)
    assert tables.scores(np.zeros((2, 4), np.int32)).shape == (2, 1, catalogue.num_codes)
