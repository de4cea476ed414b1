"""The answers beside the items, against what is true of everybody."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.training.journeys.small_journeys import catalogue_of, journeys_of

from penchant.training.journeys.evaluation_tables import head_table
from penchant.training.journeys.fit import untrained_journeys
from penchant.training.journeys.head_quality import (
    CHANNEL,
    HOUR,
    INTENT,
    PURCHASE,
    HeadCases,
    head_cases,
    head_qualities,
)
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journey_recipe import (
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.network_states import states_before
from penchant.training.journeys.targets import begins_visit

DAY_S = 86_400
VISITORS, VISITS = 40, 20
CATALOGUE = catalogue_of(["a", "a", "b", None])
RECIPE = JourneyRecipe(
    name="shop",
    log="none.yaml",
    split=JourneySplit(test=0.2, validation=0.2),
    network=JourneyNetworkConfig(window=5, profile=0, width=8, num_blocks=1),
)


def shop(*, has_clock: bool = True) -> Journeys:
    """Each visit is a view, and in the visits of odd visitors a purchase a minute later."""
    rng = np.random.default_rng(0)
    items, times, actions, sessions = [], [], [], []
    for visitor in range(VISITORS):
        buys = visitor % 2
        days = np.arange(VISITS) * DAY_S + 3600 * rng.integers(0, 12)
        times.append([int(day) + 60 * at for day in days for at in range(1 + buys)])
        items.append(rng.integers(2, 6, len(times[-1])).tolist())
        actions.append([1, 2][: 1 + buys] * VISITS)
        sessions.append([visit for visit in range(VISITS) for _ in range(1 + buys)])
    journeys = journeys_of(
        items, times=times, actions=actions, sessions=sessions, has_clock=has_clock
    )
    channel = 1 + np.repeat(np.arange(VISITORS), journeys.lengths) % 2
    return replace(journeys, channel=channel.astype(np.uint8), channels=("web", "app"))


def cases_of(
    journeys: Journeys, net: JourneyNet | None = None, recipe: JourneyRecipe = RECIPE
) -> tuple[dict[str, HeadCases], JourneyNet, JourneyParts]:
    parts = split_journeys(journeys, recipe.split)
    net = net or untrained_journeys(journeys, CATALOGUE, parts, recipe).net
    states = states_before(net, journeys, parts.test, action=1)
    return head_cases(states, journeys, CATALOGUE, parts, recipe), net, parts


def test_a_network_that_was_shown_nothing_is_its_prior() -> None:
    cases, net, _ = cases_of(shop())
    assert list(cases) == [INTENT, CHANNEL, HOUR, PURCHASE]
    found = head_qualities(cases, net, seed=0)
    assert not found.absent
    for quality in found.found.values():
        assert quality.gain == pytest.approx(0, abs=1e-5)
        assert quality.logloss == pytest.approx(quality.prior_logloss, abs=1e-5)
    assert found.found[PURCHASE].auc == pytest.approx(0.5)


def test_cases_are_those_of_the_test_part_and_the_prior_that_of_what_came_before() -> None:
    journeys = shop()
    cases, _, parts = cases_of(journeys)
    rows = parts.test.rows(journeys)
    category = CATALOGUE.category_of_code[journeys.item[rows]]
    assert cases[INTENT].label.tolist() == (category[category > 1] - 2).tolist()
    visits = cases[CHANNEL].targets
    assert (
        visits.visitor.tolist()
        == parts.test.take(begins_visit(journeys, parts.test)).visitor.tolist()
    )
    np.testing.assert_array_equal(cases[CHANNEL].label, visits.visitor % 2)
    asked = cases[PURCHASE].targets.rows(journeys) - 1
    assert (asked >= 0).all()
    follows = (journeys.action[asked] == 1) & (cases[PURCHASE].targets.visitor % 2 == 1)
    np.testing.assert_array_equal(cases[PURCHASE].label, follows)
    assert len(asked) == (journeys.lengths - parts.test_from).sum(), "the last event is a case too"
    earlier = np.repeat(parts.test_from, journeys.lengths) > np.arange(
        journeys.num_events
    ) - np.repeat(journeys.offsets[:-1], journeys.lengths)
    known = CATALOGUE.category_of_code[journeys.item[earlier]]
    share = ((known == 2).sum() + 1) / ((known > 1).sum() + 2)
    np.testing.assert_allclose(cases[INTENT].prior, [share, 1 - share])


def test_what_the_network_knows_of_a_visitor_is_gain_beyond_chance() -> None:
    cases, net, _ = cases_of(shop())
    label = cases[PURCHASE].label
    sure = np.where(label[:, None] == [0, 1], 0.9, 0.1)
    found = head_qualities({PURCHASE: replace(cases[PURCHASE], network=sure)}, net, seed=0)
    quality = found.found[PURCHASE]
    assert quality.logloss == pytest.approx(-np.log(0.9))
    assert quality.gain == pytest.approx(quality.prior_logloss - quality.logloss)
    assert 0 < quality.low < quality.gain < quality.high
    assert (quality.auc, quality.auc_low, quality.auc_high) == (1, 1, 1)
    assert quality.visitors == VISITORS
    one_class = label == 1
    only = replace(
        cases[PURCHASE],
        targets=cases[PURCHASE].targets.take(one_class),
        label=label[one_class],
        network=sure[one_class],
    )
    assert head_qualities({PURCHASE: only}, net, seed=0).found[PURCHASE].auc is None


@pytest.mark.parametrize(
    ("changed", "without", "why"),
    [
        ({"actions": ("view", "search")}, PURCHASE, "no action of the log is a purchase"),
        ({"channels": ()}, CHANNEL, "the log has no channels"),
    ],
)
def test_what_the_log_cannot_teach_is_said_to_be_absent(
    changed: dict[str, Any], without: str, why: str
) -> None:
    journeys = replace(shop(), **changed)
    if not journeys.channels:
        journeys = replace(journeys, channel=np.zeros(journeys.num_events, np.uint8))
    cases, net, _ = cases_of(journeys)
    found = head_qualities(cases, net, seed=0)
    assert found.absent == {without: why}
    assert without not in found.found
    console = Console(width=200)
    with console.capture() as captured:
        console.print(head_table(found))
    assert f"no {without}: {why}" in captured.get()


def test_without_a_clock_or_a_moment_that_divides_there_is_no_hour_and_no_purchase() -> None:
    recipe = replace(RECIPE, split=JourneySplit(by="leave_one_out"))
    cases, net, _ = cases_of(shop(has_clock=False), recipe=recipe)
    found = head_qualities(cases, net, seed=0)
    assert found.absent == {
        HOUR: "the log has no clock",
        PURCHASE: "the test part has no case of it",
    }


def test_asked_with_nothing_told_the_network_knows_nothing_of_the_target() -> None:
    journeys = shop()
    parts = split_journeys(journeys, RECIPE.split)
    torch.manual_seed(0)
    net = untrained_journeys(journeys, CATALOGUE, parts, RECIPE).net
    torch.nn.init.normal_(net.target.weight)
    # The last event of each visitor is in no other target's history.
    some = parts.test.take(np.diff(parts.test.visitor, append=-1) != 0)
    time_s, action = journeys.time_s.copy(), journeys.action.copy()
    time_s[some.rows(journeys)] += 1800
    action[some.rows(journeys)] = 3 - action[some.rows(journeys)]
    for asked, is_alike in ((1, True), (None, False)):
        first, second = (
            states_before(net, each, some, action=asked).scores(some.visitor, some.position)
            for each in (journeys, replace(journeys, time_s=time_s, action=action))
        )
        assert np.array_equal(first, second) == is_alike


def test_states_are_looked_up_in_any_order_as_the_network_scores_them() -> None:
    journeys = shop()
    parts = split_journeys(journeys, RECIPE.split)
    fitted = untrained_journeys(journeys, CATALOGUE, parts, RECIPE)
    states = states_before(fitted.net, journeys, parts.test)
    some = parts.test.take(np.random.default_rng(0).permutation(len(parts.test))[:30])
    np.testing.assert_allclose(
        states.scores(some.visitor, some.position),
        fitted.scores(journeys, some.visitor, some.position),
        atol=1e-5,
    )
