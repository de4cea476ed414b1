"""Histories that turn to another category: bought boots last month, browsing coats now."""

from __future__ import annotations

from collections import Counter

import pytest

from penchant.training.simulation.drift_cases import drift_cases, share_of_browsed
from penchant.training.simulation.simulated_log import SimulatedLog

DAY_S = 24 * 3600


def test_the_session_is_about_another_category_than_the_past(simulated: SimulatedLog) -> None:
    category_of = simulated.categories()
    since_s = simulated.facts()["end_s"] - 100 * DAY_S
    cases = drift_cases(simulated, num_cases=60, since_s=since_s, num_views=3)
    assert len(cases) == 60
    assert len({case.visitor_id for case in cases}) == 60
    for case in cases:
        of = [category_of[item_id] for item_id in case.item_ids]
        assert of[-3:].count(case.browsed) >= 2
        assert Counter(of[:-3])[case.usual] > len(of[:-3]) / 2
        assert case.usual != case.browsed
        assert list(case.times_s) == sorted(case.times_s)
        assert since_s <= case.times_s[-3] <= case.times_s[-1] < case.now_s
        assert case.times_s[-3] - case.times_s[-4] > 30 * 60
        lately = case.times_s[-3] - 61 * DAY_S
        bought = zip(case.actions, of, case.times_s, strict=True)
        assert any((a, c) == ("purchase", case.usual) and t > lately for a, c, t in bought)


def test_who_follows_the_session_is_told_from_who_follows_the_past(
    simulated: SimulatedLog,
) -> None:
    cases = drift_cases(simulated, num_cases=40)
    category_of = simulated.categories()
    session = [case.item_ids[-1:] * 10 for case in cases]
    past = [
        [item for item in case.item_ids if category_of[item] == case.usual][:10] for case in cases
    ]
    assert share_of_browsed(cases, session, category_of) > 0.8
    assert share_of_browsed(cases, past, category_of) == 0
    assert share_of_browsed(cases, [["unheard of"]] * len(cases), category_of) == 0


def test_cases_are_the_same_for_a_seed(simulated: SimulatedLog) -> None:
    assert drift_cases(simulated, num_cases=5) == drift_cases(simulated, num_cases=5)
    assert drift_cases(simulated, num_cases=5) != drift_cases(simulated, num_cases=5, seed=1)


def test_a_log_without_cases_says_so(simulated: SimulatedLog) -> None:
    with pytest.raises(ValueError, match="simulate more events or take an earlier since_s"):
        drift_cases(simulated, since_s=simulated.facts()["end_s"])
