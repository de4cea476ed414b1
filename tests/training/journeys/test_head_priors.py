from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import journeys_of

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.head_priors import head_priors, set_head_priors
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig

MONDAY_S = 4 * 86_400
HOUR_S = 3600
NO_CATEGORY = np.zeros(6, np.int32)


@pytest.mark.parametrize("has_clock", [True, False])
def test_a_purchase_is_expected_as_often_as_one_follows(has_clock: bool) -> None:
    journeys = replace(
        journeys_of([[2, 3, 4, 5], [2, 3, 4, 5]], has_clock=has_clock),
        action=np.array([1, 2, 1, 1, 1, 1, 1, 1], np.uint8),
        actions=("view", "purchase"),
    )
    sizes = JourneySizes(num_item_codes=6, num_actions=2, has_clock=has_clock)
    batches = JourneyBatches(
        journeys=journeys,
        stop=np.array([4, 8]),
        window=4,
        profile=0,
        purchase_actions=(2,),
    )
    net = JourneyNet(sizes, JourneyNetworkConfig(width=8, num_blocks=1))
    set_head_priors(net, batches, NO_CATEGORY)
    found = torch.sigmoid(net.purchase_logit(torch.randn(3, net.hidden_size)))
    torch.testing.assert_close(found, torch.full((3, 1), 2 / 10), atol=1e-6, rtol=0)


@pytest.mark.parametrize("has_clock", [True, False])
def test_heads_begin_at_the_shares_of_training_visits(has_clock: bool) -> None:
    hours = [[0, 0, 5, 9], [5, 7]]
    journeys = journeys_of(
        [[2, 3, 4, 5], [2, 3]],
        times=[[MONDAY_S + hour * HOUR_S for hour in row] for row in hours],
        sessions=[[0, 0, 1, 2], [0, 1]],
        has_clock=has_clock,
    )
    channel = np.array([1, 2, 1, 2, 0, 2], np.uint8)
    journeys = replace(journeys, channel=channel, channels=("web", "app"))
    # Of each visitor the last event is not learnt from.
    batches = JourneyBatches(journeys=journeys, stop=np.array([3, 5]), window=4, profile=0)
    sizes = JourneySizes(num_item_codes=6, num_actions=2, num_channels=2, has_clock=has_clock)
    net = JourneyNet(sizes, JourneyNetworkConfig(width=8, num_blocks=1))
    set_head_priors(net, batches, NO_CATEGORY)
    hidden = torch.randn(3, net.hidden_size)
    share = torch.softmax(net.channel_logits(hidden), -1)
    # Visits begin in web, web and nowhere; without a clock every event begins one.
    expected = [3 / 4, 1 / 4] if has_clock else [3 / 5, 2 / 5]
    torch.testing.assert_close(share, torch.tensor(expected).expand(3, 2))
    if has_clock:
        share = torch.softmax(net.hour_logits(hidden), -1)[0] * (168 + 3)
        torch.testing.assert_close(share[[0, 5, 7, 9]], torch.tensor([2.0, 3.0, 1.0, 1.0]))


def test_intents_begin_at_the_shares_of_training_events_that_have_a_category() -> None:
    journeys = journeys_of([[2, 3, 4, 5, 5], [2, 1, 0, 4]])
    batches = JourneyBatches(journeys=journeys, stop=np.array([4, 9]), window=4, profile=0)
    category = np.array([0, 0, 2, 3, 2, 0], np.int32)
    sizes = JourneySizes(num_item_codes=6, num_actions=2, num_category_codes=5)
    priors = head_priors(batches, category, sizes)
    # Categories 2, 3 and 4 were seen four times, once and never, and count once more.
    np.testing.assert_allclose(priors.intent[2:] * 10, [5, 2, 1])
    content = ItemContent(category=torch.from_numpy(category))
    net = JourneyNet(sizes, JourneyNetworkConfig(width=8, num_blocks=1), content)
    set_head_priors(net, batches, category)
    share = torch.softmax(net.intent_logits(torch.randn(3, net.hidden_size)), -1)
    torch.testing.assert_close(share[:, 2:] * 10, torch.tensor([[5.0, 2.0, 1.0]] * 3))
