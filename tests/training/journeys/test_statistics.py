"""Statistics know what came before a moment, and nothing after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.journeys.small_logs import log_of

from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.journey_recipe import AssociationConfig, JourneySplit
from penchant.training.journeys.journey_split import split_journeys
from penchant.training.journeys.statistics import learn_statistics

DAY_S = 86_400
CONFIG = AssociationConfig(least_support=2, neighbours=3)


def rows(*, late_pair: bool) -> list[tuple[str, int, str, str]]:
    """Ten days in which a visitor a day buys tea with cups, and one last day."""
    found = []
    for day in range(10):
        start = day * DAY_S
        found += [
            (f"v{day:02d}", start, "purchase", "tea"),
            (f"v{day:02d}", start + 60, "purchase", "cup"),
            (f"v{day:02d}", start + 7200, "view", f"pot{day % 2}"),
            (f"v{day:02d}", start + 7260, "view", "pot2"),
        ]
    if late_pair:
        for visitor in ("w0", "w1", "w2"):
            start = 11 * DAY_S
            found += [
                (visitor, start, "view", "pot0"),
                (visitor, start + 1, "purchase", "tea"),
                (visitor, start + 2, "purchase", "spoon"),
            ]
    return found


@pytest.mark.parametrize("by", ["time", "leave_one_out"])
def test_pairs_before_the_moment_count_and_later_ones_do_not(tmp_path: Path, by: str) -> None:
    log = log_of(rows(late_pair=True))
    journeys, catalogue = build_journeys(log, tmp_path)
    split = JourneySplit(by=by, test=0.1, validation=0.1)  # type: ignore[arg-type]
    parts = split_journeys(journeys, split)
    found = learn_statistics(
        log, journeys, catalogue, parts.train_until, CONFIG, by_time=by == "time"
    )
    tables = found.tables
    assert tables.names == ("bought_together", "viewed_together", "bought_after_viewing", "popular")
    tea, cup, spoon = catalogue.encode(np.array(["tea", "cup", "spoon"], object)).tolist()
    together = tables.code[0]
    assert cup in together[tea].tolist()
    assert spoon not in together[tea].tolist(), "bought together in the test part only"
    assert tables.popularity[spoon] == 0
    assert tables.popularity[tea] > 0
    pair = found.strongest["bought_together"][0]
    assert {pair["item_id"], pair["other_id"]} == {"tea", "cup"}
    assert len(found.strongest["bought_together"]) == 1, "a pair is shown once, not both ways"


def test_a_statistic_alone_is_learnt_whatever_is_used(tmp_path: Path) -> None:
    log = log_of(rows(late_pair=False))
    journeys, catalogue = build_journeys(log, tmp_path)
    config = AssociationConfig(use=("popular",), alone="bought_together", least_support=1)
    found = learn_statistics(log, journeys, catalogue, journeys.lengths, config, by_time=True)
    assert set(found.tables.names) == {"popular", "bought_together"}
