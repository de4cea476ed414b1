from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import torch
from tests.training.journeys.small_journeys import journeys_of, random_journeys

from penchant.training.journeys.batches import (
    JourneyBatches,
    cut_windows,
    group_windows,
    hours_of_week,
)
from penchant.training.journeys.history_batch import history_batch, history_of
from penchant.training.journeys.targets import Targets, targets_of


def test_every_event_is_a_target_once_an_epoch() -> None:
    journeys = random_journeys(60, longest=40)
    stop = journeys.offsets[:-1] + journeys.lengths // 2
    batches = JourneyBatches(journeys=journeys, stop=stop, window=7, profile=3)
    rng = np.random.default_rng(0)
    windows, groups = batches.epoch(num_events=50, rng=rng)
    taken = np.sort(np.concatenate(groups))
    assert (taken == np.arange(len(windows))).all()
    rows = np.concatenate(
        [np.arange(a, b) for a, b in zip(windows.start, windows.stop, strict=True)]
    )
    learnt = np.concatenate(
        [np.arange(a, b) for a, b in zip(journeys.offsets[:-1], stop, strict=True)]
    )
    assert np.sort(rows).tolist() == learnt.tolist()
    assert (windows.stop - windows.start).max() == 7
    again, _ = batches.epoch(num_events=50, rng=rng)
    assert windows.start.tolist() != again.start.tolist()


def test_batches_hold_about_as_many_events_and_little_padding() -> None:
    journeys = random_journeys(4000, longest=40)
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=20, profile=0)
    windows, groups = batches.epoch(num_events=500, rng=np.random.default_rng(0))
    cut = [batches.batch(windows.take(group)) for group in groups]
    sizes = [int((batch.next_action > 0).sum()) for batch in cut]
    slots = [batch.item.numel() for batch in cut]
    assert min(sizes[1:-1]) > 0
    assert max(sizes) <= 520
    assert np.median(sizes) > 480
    assert sum(sizes) / sum(slots) > 0.8


def test_a_window_holds_what_was_known_and_what_came_next() -> None:
    journeys = journeys_of(
        [[9], [2, 3, 4, 5, 6, 7]],
        times=[[50], [100, 110, 4000, 4010, 4020, 9000]],
        actions=[[1], [1, 2, 1, 1, 2, 1]],
        sessions=[[0], [0, 0, 1, 1, 1, 2]],
    )
    batches = JourneyBatches(
        journeys=journeys, stop=journeys.offsets[1:], window=3, profile=5, purchase_actions=(2,)
    )
    windows = cut_windows(journeys.offsets[:-1], batches.stop, 3, None)
    order = np.lexsort((windows.stop, windows.begin))
    alone, first, second = (batches.batch(windows.take(order[at : at + 1])) for at in range(3))
    assert (alone.item.tolist(), alone.next_item.tolist()) == ([[0]], [[9]])
    assert first.item.tolist() == [[0, 2, 3]]
    assert first.action.tolist() == [[0, 1, 2]]
    assert first.next_item.tolist() == [[2, 3, 4]]
    assert first.age.tolist() == [[0.0, 3900.0, 3890.0]]
    assert first.profile.shape == (1, 0)
    assert second.item.tolist() == [[4, 5, 6]]
    assert second.next_item.tolist() == [[5, 6, 7]]
    assert second.profile.tolist() == [[2, 3]]
    assert second.age.tolist() == [[5000.0, 4990.0, 4980.0]]
    assert second.next_hour.tolist() == [[-1, -1, int(hours_of_week(np.array([9000]), "UTC")[0])]]
    assert first.purchase[:, 1:].tolist() == [[1.0, 0.0]]
    assert torch.isnan(first.purchase[0, 0])
    assert second.purchase.tolist() == [[1.0, 1.0, 0.0]]


def test_what_comes_after_the_training_part_is_unknown() -> None:
    journeys = journeys_of([[2, 3, 4, 5]], actions=[[1, 1, 1, 2]])
    batches = JourneyBatches(
        journeys=journeys, stop=np.array([3]), window=9, profile=0, purchase_actions=(2,)
    )
    windows = cut_windows(journeys.offsets[:-1], batches.stop, 9, None)
    batch = batches.batch(windows)
    assert batch.next_item.tolist() == [[2, 3, 4]]
    assert torch.isnan(batch.purchase).all()


def test_windows_of_like_length_go_together() -> None:
    total = np.array([1, 50, 2, 49, 1, 50])
    stop = np.cumsum(total)
    windows = cut_windows(stop - total, stop, 60, None)
    groups = group_windows(windows, num_events=60, rng=None)
    lengths = [sorted((windows.stop - windows.start)[group].tolist()) for group in groups]
    assert lengths == [[1, 1, 2, 49], [50], [50]]


def test_histories_end_before_the_target() -> None:
    journeys = journeys_of([[2, 3, 4, 5, 6], [7, 8]], times=[[0, 10, 20, 30, 40], [0, 5]])
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=2, profile=3)
    mask = np.array([False, False, False, False, True, False, True])
    batch = history_batch(batches, targets_of(journeys, mask), repeats=False)
    assert batch.history.item.tolist() == [[0, 2, 3, 4, 5], [0, 0, 0, 0, 7]]
    assert batch.history.age.tolist() == [[0, 40, 30, 20, 10], [0, 0, 0, 0, 5]]
    assert batch.target.tolist() == [6, 8]
    assert batch.met[0].tolist() == [0, 0, 0, 0, 1]
    assert batch.met[1].tolist() == [2, 3, 4, 5, 7]


def test_a_history_may_be_all_that_a_visitor_did_and_be_asked_right_after_it() -> None:
    journeys = journeys_of([[2, 3], [7, 8]], times=[[0, 10], [0, 3605]])
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=2, profile=0)
    after_all = Targets(visitor=np.array([0, 1]), position=np.array([2, 2]))
    history = history_of(batches, after_all, after_all.rows(journeys) - 1)
    assert history.item.tolist() == [[2, 3], [7, 8]]
    assert history.age.tolist() == [[10, 0], [3605, 0]]
    expected = hours_of_week(np.array([10, 3605]), "UTC")
    assert history.now_hour[:, 0].tolist() == expected.tolist()


def test_hours_follow_the_zone_through_the_change_of_clocks() -> None:
    zone = ZoneInfo("Europe/Prague")
    moments = [
        datetime(2024, 3, 31, 0, 30, tzinfo=ZoneInfo("UTC")),
        datetime(2024, 3, 31, 1, 30, tzinfo=ZoneInfo("UTC")),
        datetime(2024, 7, 1, 22, 0, tzinfo=ZoneInfo("UTC")),
    ]
    local = [moment.astimezone(zone) for moment in moments]
    expected = [each.weekday() * 24 + each.hour + each.minute / 60 for each in local]
    time_s = np.array([int(moment.timestamp()) for moment in moments])
    assert hours_of_week(time_s, "Europe/Prague").tolist() == expected
    assert hours_of_week(time_s[:1], "UTC").tolist() == [6 * 24 + 0.5]
