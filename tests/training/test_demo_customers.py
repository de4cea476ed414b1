"""What the demo says of customers: their histories as callers have them, and what ties items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.training.journeys.small_logs import log_of

from penchant.training.demo_customers import Customers, tie_of
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.journey_recipe import JourneySplit
from penchant.training.journeys.journey_split import split_journeys


def test_the_item_that_goes_together_most_is_named() -> None:
    code = np.zeros((2, 6, 2), np.int32)
    weight = np.zeros((2, 6, 2), np.float32)
    code[0, 3], weight[0, 3] = [5, 2], [0.4, 0.9]
    code[1, 4], weight[1, 4] = [5, 3], [0.7, 0.1]
    tables = AssociationTables(
        names=("bought_together", "viewed_together"),
        code=code,
        weight=weight,
        popularity=np.zeros(6, np.float32),
    )
    assert tie_of(5, np.array([4, 3, 3], np.int32), tables) == 4
    assert tie_of(5, np.array([3, 2], np.int32), tables) == 3
    assert tie_of(4, np.array([3, 2], np.int32), tables) is None


def test_a_customer_is_asked_about_with_her_newest_events(tmp_path: Path) -> None:
    rows = [(visitor, 100 * at, "purchase", f"i{at}") for visitor in ("v", "w") for at in range(9)]
    log = log_of(rows)
    journeys, catalogue = build_journeys(log, tmp_path)
    parts = split_journeys(journeys, JourneySplit(test=0.2, validation=0.2))
    data = JourneyData(log=log, journeys=journeys, catalogue=catalogue, parts=parts)
    customers = Customers(data, pa.table({"visitor_id": ["w"]}), now_s=801)
    found = list(customers.as_caller(0, length=3).events)
    assert found == [
        {"item": f"i{at}", "action": "purchase", "time": 100.0 * at} for at in (6, 7, 8)
    ]
    assert (
        customers.history(0, length=3).tolist()
        == catalogue.encode(np.array(["i6", "i7", "i8"], object)).tolist()
    )
