from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.training.journeys.small_journeys import catalogue_of, journeys_of
from torch import Tensor

from penchant.clients.journey_contract import HOURS
from penchant.training.journeys.fit import fit_journeys
from penchant.training.journeys.head_quality import PURCHASE, head_cases
from penchant.training.journeys.journey_net import JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
)
from penchant.training.journeys.journey_split import split_journeys
from penchant.training.journeys.network_states import states_before
from penchant.training.journeys.visit_so_far import VISIT_GAP_S, VisitSoFar, visit_numbers

CONFIG = JourneyNetworkConfig(window=8, profile=3, width=8, num_blocks=1, dropout=0.0)
SIZES = JourneySizes(num_item_codes=20, num_actions=3, num_channels=2)
HOUR_S = 3600


def shop_net(sizes: JourneySizes = SIZES) -> JourneyNet:
    torch.manual_seed(0)
    net = JourneyNet(sizes, CONFIG)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net.eval()


def visits(rows: int = 6) -> tuple[Tensor, ...]:
    """Histories of short visits, the first of them padded: item, action, channel, age and hour."""
    length = CONFIG.length
    gap = torch.where(torch.rand(rows, length) < 0.6, 60.0, 20_000.0).cumsum(1).flip(1)
    there = torch.arange(length) >= torch.arange(rows).unsqueeze(1)
    return (
        torch.randint(0, 20, (rows, length), dtype=torch.int32) * there,
        torch.randint(1, 4, (rows, length), dtype=torch.int32) * there,
        torch.randint(0, 3, (rows, length), dtype=torch.int32) * there,
        gap * there,
        torch.rand(rows, 1) * HOURS,
    )


def read_window(net: JourneyNet, inputs: tuple[Tensor, ...], *, newest: bool) -> Tensor:
    """What the net makes of a window that nothing came before."""
    item, action, channel, age, now_hour = (each[:, -CONFIG.window :] for each in inputs)
    vectors = net.item_table()[item.long()] * (item > 0).unsqueeze(2)
    rows = len(item)
    nothing = torch.zeros(rows, CONFIG.width), torch.zeros(rows, 1)
    states: Tensor = net(*nothing, vectors, action, channel, age, now_hour, newest=newest)
    return states


def test_a_long_pause_begins_a_visit_and_padding_is_of_none() -> None:
    action = torch.tensor([[0, 0, 1, 2, 1, 1, 1]])
    age = torch.tensor([[0.0, 0.0, 9000.0, 8000.0, 8000.0 - VISIT_GAP_S, 100.0, 0.0]])
    assert visit_numbers(action, age).tolist() == [[0, 0, 1, 1, 1, 2, 2]]


@pytest.mark.parametrize("wait", [30.0, 86_400.0])
def test_when_the_request_is_made_says_nothing_of_a_purchase(wait: float) -> None:
    net, (item, action, channel, age, now_hour) = shop_net(), visits()
    later = (age + wait) * (action > 0), (now_hour + wait / HOUR_S) % HOURS
    for newest in (True, False):
        now = read_window(net, (item, action, channel, age, now_hour), newest=newest)
        then = read_window(net, (item, action, channel, *later), newest=newest)
        there = action[:, -1:] if newest else action[:, -CONFIG.window :]
        chance, same = (net.purchase_logit(each).view_as(there) for each in (now, then))
        torch.testing.assert_close(chance[there > 0], same[there > 0], atol=1e-5, rtol=1e-4)
        assert not torch.allclose(now, then), "the state knows it"


def test_training_and_serving_say_the_same_at_every_event() -> None:
    net, (*events, now_hour) = shop_net(), visits()
    events = [each[:, -CONFIG.window :] for each in events]
    every = net.purchase_logit(read_window(net, (*events, now_hour), newest=False))
    for back in range(6):
        until = CONFIG.window - back
        cut = [torch.nn.functional.pad(each[:, :until], (back, 0)) for each in events]
        newest = net.purchase_logit(read_window(net, (*cut, now_hour), newest=True))
        there = events[1][:, until - 1] > 0
        same = every[there, until - 1]
        torch.testing.assert_close(newest[there], same, atol=1e-5, rtol=1e-4)


def test_what_is_bought_has_no_say_in_what_items_are() -> None:
    net = shop_net()
    assert net.visit is not None
    chance = net.purchase_logit(read_window(net, visits(), newest=False)).sum()
    of_items, of_visits = torch.autograd.grad(chance, [net.items.id, net.visit.join.weight])
    assert not of_items.any()
    assert of_visits.any()


def numbers_known(profile: Tensor, item: Tensor, action: Tensor, age: Tensor) -> Tensor:
    """What is joined of one visitor's newest visit; one event came before the window."""
    visit = VisitSoFar(2, 0, item.shape[2])
    known: list[Tensor] = []
    visit.join.register_forward_pre_hook(lambda _, inputs: known.append(inputs[0]))
    visit(profile, torch.ones(1, 1), item, action, None, age, newest=True)
    return known[0][0, 0]


def test_it_knows_counts_and_how_alike_this_visit_and_those_before_are() -> None:
    east, north, none = [1.0, -1.0], [1.0, 1.0], [0.0, 0.0]
    known = numbers_known(
        torch.tensor([east]),
        torch.tensor([[none, east, north, none, north, none, north]]),
        torch.tensor([[0, 1, 2, 2, 1, 2, 1]]),
        torch.tensor([[0.0, 90_000.0, 60_000.0, 30_000.0, 200.0, 150.0, 100.0]]),
    )
    direction, alike, counts, newest = torch.split(known, [2, 2, 8, 2])
    torch.testing.assert_close(direction, torch.tensor([1.0, 1.0]))
    # Before were two items east, one of them before the window, and one north, in the last visit
    # that had an item.
    torch.testing.assert_close(alike, torch.tensor([0.2**0.5, 1.0]))
    # Actions now and before, visits, events of this one, older events, seconds.
    expected = torch.tensor([2.0, 1.0, 1.0, 2.0, 4.0, 3.0, 1.0, 100.0])
    torch.testing.assert_close(torch.expm1(counts), expected)
    assert newest.tolist() == [1.0, 0.0]


def test_a_log_without_purchases_or_a_clock_has_no_visit() -> None:
    for missing in ({"has_purchases": False}, {"has_clock": False}):
        net = JourneyNet(replace(SIZES, **missing), CONFIG)
        assert net.visit is None
        assert net.hidden_size == 2 * CONFIG.width
    assert shop_net().hidden_size == 3 * CONFIG.width


def test_it_learns_that_what_a_visit_is_about_decides_the_purchase(tmp_path: Path) -> None:
    """Visits end in a purchase where they are about the first category, else in a view."""
    rng = np.random.default_rng(0)
    items, actions, times = [], [], []
    for _ in range(150):
        about = rng.integers(0, 3, 5)
        items.append([2 + 3 * int(rng.integers(0, 4)) + int(c) for c in about for _ in range(3)])
        actions.append([code for c in about for code in (1, 1, 2 if c == 0 else 1)])
        starts = np.sort(rng.choice(200, 5, replace=False)) * 86_400
        times.append([int(start) + 60 * at for start in starts for at in range(3)])
    sessions = [[at // 3 for at in range(15)]] * 150
    journeys = journeys_of(items, times=times, actions=actions, sessions=sessions)
    catalogue = catalogue_of([f"c{at % 3}" for at in range(12)])
    recipe = JourneyRecipe(
        name="small",
        log="small.yaml",
        network=replace(CONFIG, window=16),
        fit=JourneyFitConfig(batch_size=16, max_epochs=4, learning_rate=1e-2),
        trainer={"accelerator": "cpu"},
    )
    parts = split_journeys(journeys, recipe.split)
    fitted = fit_journeys(journeys, catalogue, parts, recipe, tmp_path)
    states = states_before(fitted.net, journeys, parts.test)
    found = head_cases(states, journeys, catalogue, parts, recipe)[PURCHASE]
    position = found.targets.position % 3
    viewed = (position == 1) | (position == 2)  # not after the end of a visit
    assert roc_auc_score(found.label[viewed], found.network[viewed, 1]) > 0.95
