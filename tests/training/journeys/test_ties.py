"""The order of events of one moment says nothing of which item comes next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.journeys.small_logs import log_of

from penchant.training.journeys import ties
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.journeys import Journeys

ITEMS = 12
ORDERS = 40
DAY_S = 86_400


def built(folder: Path, unit: str = "s") -> Journeys:
    """Two visitors, each of whom buys all items at one moment, on 40 days, and then views one."""
    rows = [
        (visitor, day * DAY_S, "purchase", f"i{item:02d}")
        for visitor in ("v", "w")
        for day in range(ORDERS)
        for item in range(ITEMS)
    ]
    rows += [(visitor, ORDERS * DAY_S, "view", "i03") for visitor in ("v", "w")]
    return build_journeys(log_of(rows, unit=unit), folder)[0]


def orders_of(journeys: Journeys) -> np.ndarray:
    """Items of all orders, (2, ORDERS, ITEMS)."""
    item = np.asarray(journeys.item).reshape(2, -1)[:, :-1]
    return item.reshape(2, ORDERS, ITEMS)


@pytest.mark.parametrize("chunk", [1, 500, 4_000_000])
def test_lines_of_an_order_come_in_another_order_each_time(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ties, "CHUNK_EVENTS", chunk)
    journeys = built(tmp_path)
    orders = orders_of(journeys)
    assert (np.sort(orders, axis=2) == np.arange(2, ITEMS + 2)).all(), "no line is lost"
    assert len(np.unique(orders.reshape(-1, ITEMS), axis=0)) == 2 * ORDERS
    rises = (np.diff(orders, axis=2) > 0).mean()
    assert 0.45 < rises < 0.55, "the next item is as often before the last one as behind it"
    assert (np.asarray(journeys.item).reshape(2, -1)[:, -1] == 5).all(), "moments stay in order"


def test_a_log_that_is_read_again_gives_the_same_order(tmp_path: Path) -> None:
    first, second = built(tmp_path / "a"), built(tmp_path / "b")
    np.testing.assert_array_equal(first.item, second.item)


def test_a_log_without_a_clock_keeps_its_order(tmp_path: Path) -> None:
    orders = orders_of(built(tmp_path, unit="order"))
    assert (orders == np.arange(2, ITEMS + 2)).all()
