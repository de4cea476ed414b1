"""Nothing that is learnt from is later than what judges."""

import numpy as np
import pytest
from tests.training.journeys.small_journeys import journeys_of, random_journeys

from penchant.training.journeys.journey_recipe import JourneySplit
from penchant.training.journeys.journey_split import events_before, split_journeys
from penchant.training.journeys.targets import Targets, histories

JOURNEYS = random_journeys(200)
TIME = JOURNEYS.time_s


def pairs(targets: Targets) -> list[tuple[int, int]]:
    return list(zip(targets.visitor.tolist(), targets.position.tolist(), strict=True))


def test_time_split_is_one_moment_for_all() -> None:
    parts = split_journeys(JOURNEYS, JourneySplit(test=0.2, validation=0.25))
    learnt = events_before(JOURNEYS, parts.train_until)
    earlier = events_before(JOURNEYS, parts.test_from)
    assert (~earlier).mean() == pytest.approx(0.2, abs=0.01)
    assert (earlier & ~learnt).sum() / earlier.sum() == pytest.approx(0.25, abs=0.01)
    assert TIME[learnt].max() < TIME[earlier & ~learnt].min()
    assert TIME[earlier].max() < TIME[~earlier].min()
    for targets, mask in ((parts.validation, earlier & ~learnt), (parts.test, ~earlier)):
        wanted = [
            (visitor, position)
            for visitor in range(len(JOURNEYS))
            for position in range(int(JOURNEYS.lengths[visitor]))
            if mask[row := JOURNEYS.offsets[visitor] + position]
            and position > 0
            and JOURNEYS.item[row] > 1
        ]
        assert pairs(targets) == wanted
    assert len(parts.test) + sum(parts.left_out.values()) == (~earlier).sum()
    assert "global time split: test from 1970-" in parts.protocol


def test_events_of_one_second_stay_together() -> None:
    journeys = journeys_of([[2, 3, 4, 5]] * 5, times=[[0, 5, 7, 9]] * 5)
    parts = split_journeys(journeys, JourneySplit(test=0.3, validation=0.4))
    assert parts.test_from.tolist() == [3] * 5
    assert parts.train_until.tolist() == [2] * 5


def test_repeats_are_no_targets_where_they_may_not_be_answered() -> None:
    journeys = journeys_of([[2, 3, 3, 2, 4, 3, 5, 5, 6, 2]], times=[list(range(10))])
    parts = split_journeys(journeys, JourneySplit(test=0.4, validation=0.5, repeats=False))
    assert parts.test.position.tolist() == [6, 8]
    assert parts.left_out == {"no history": 0, "no item of the catalogue": 0, "met before": 2}
    assert parts.validation.position.tolist() == [4]
    both = split_journeys(journeys, JourneySplit(test=0.4, validation=0.5))
    assert both.test.position.tolist() == [6, 7, 8, 9]


def test_leave_one_out() -> None:
    journeys = journeys_of([[2, 3, 4, 5], [2], [], [2, 3], [2, 3, 0, 4, 1], [6, 7, 8]])
    parts = split_journeys(journeys, JourneySplit(by="leave_one_out"))
    assert pairs(parts.test) == [(0, 3), (4, 3), (5, 2)]
    assert pairs(parts.validation) == [(0, 2), (4, 1), (5, 1)]
    assert parts.train_until.tolist() == [2, 1, 0, 2, 1, 1]
    assert parts.test_from.tolist() == [3, 1, 0, 2, 3, 2]


def test_refusals() -> None:
    ordered = journeys_of([[2, 3, 4, 5]], has_clock=False)
    with pytest.raises(ValueError, match=r"split\.by: expected leave_one_out, got time"):
        split_journeys(ordered, JourneySplit())
    with pytest.raises(ValueError, match="the validation part has no event to predict"):
        split_journeys(journeys_of([[2]] * 50, times=[[n] for n in range(50)]), JourneySplit())


def test_histories_hold_the_newest_events_before_the_target() -> None:
    journeys = journeys_of(
        [[2, 0, 4, 5]], times=[[10, 20, 40, 70]], actions=[[1, 2, 1, 2]], has_clock=True
    )
    targets = Targets(visitor=np.array([0, 0]), position=np.array([1, 3]))
    found = histories(journeys, targets, 2)
    assert found.item.tolist() == [[0, 2], [0, 4]]
    assert found.action.tolist() == [[0, 1], [2, 1]]
    assert found.age_s.tolist() == [[0, 10], [50, 30]]
