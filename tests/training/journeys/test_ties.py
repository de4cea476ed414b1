"""The order of events of one moment says nothing of which item comes next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.journeys.small_logs import log_of

from penchant.training.journeys import build, ties
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


def test_actions_of_one_moment_come_in_either_order(tmp_path: Path) -> None:
    rows = [
        (f"v{visitor}", day * DAY_S, action, "i", channel)
        for visitor in range(4)
        for day in range(50)
        for action, channel in (("view", "web"), ("cart", "app"))
    ]
    columns = ("visitor_id", "time", "action", "item_id", "channel")
    journeys = build_journeys(log_of(rows, columns=columns), tmp_path)[0]
    action = np.asarray(journeys.action).reshape(-1, 2)
    assert (np.sort(action, axis=1) == [1, 2]).all(), "none is lost"
    assert 0.35 < (action[:, 0] == 1).mean() < 0.65
    of_view = journeys.channels.index("web") + 1
    is_view = action == journeys.actions.index("view") + 1
    channel = np.asarray(journeys.channel).reshape(-1, 2)
    assert ((channel == of_view) == is_view).all(), "an event keeps its channel"


def test_a_folder_is_whole_only_when_the_order_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "draw_order_of_ties", stop)
    with pytest.raises(KeyboardInterrupt):
        built(tmp_path)
    with pytest.raises(FileNotFoundError):
        Journeys.open(tmp_path)
