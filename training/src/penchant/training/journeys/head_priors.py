"""What may be said of every visitor alike: the shares of all events and visits before a moment.

Heads begin there: a few hundred steps of Adam move a bias by a few tenths, less than hours differ,
and begun at zero the heads would spend them on what a count gives away. And heads are measured by
it: what a network says of one visitor has to be worth more than what is true of all.

Letters: E events, V visitors, K category codes, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from penchant.clients.journey_contract import HOURS
from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_net import JourneyNet, JourneySizes
from penchant.training.journeys.journey_split import events_before

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadPriors:
    """Shares that are the same for all; what was never seen counts as if it had been once."""

    intent: Floats
    """(K,) of categories among events that have one; the first two codes are none."""
    channel: Floats
    """(C,) of channels among beginnings of visits that have one."""
    hour: Floats
    """(168,) of hours of the week among beginnings of visits; of no meaning without a clock."""
    purchase: float
    """Of events that a purchase follows in their session; .5 where no action is one."""


def head_priors(
    batches: JourneyBatches, category_of_code: npt.NDArray[np.integer], sizes: JourneySizes
) -> HeadPriors:
    """Count the events before `batches.stop`.

    Args:
        batches: Events, and which of them may be learnt from.
        category_of_code: Category code by item code.
        sizes: K and C.
    """
    columns = batches.journeys
    learnt = events_before(columns, batches.stop - columns.offsets[:-1])
    begins = learnt & batches.opens_visit
    category = category_of_code[np.asarray(columns.item)[learnt]]
    hour = np.floor(batches.hour[begins])
    follows = batches.purchase_follows[learnt]
    follows = follows[~np.isnan(follows)]
    return HeadPriors(
        intent=_shares(category[category >= FIRST_CODE], sizes.num_category_codes),
        channel=_shares(np.asarray(columns.channel)[begins], sizes.num_channels + 1, first=1)[1:],
        hour=_shares(hour[hour >= 0], HOURS),
        purchase=float((follows.sum() + 1.0) / (len(follows) + 2.0)),
    )


def set_head_priors(
    net: JourneyNet, batches: JourneyBatches, category_of_code: npt.NDArray[np.integer]
) -> None:
    """Let an untrained net expect of every visitor what is true of all training events."""
    priors = head_priors(batches, category_of_code, net.sizes)
    _begin_at(net.intent, np.log(priors.intent))
    if net.channel is not None:
        _begin_at(net.channel, np.log(priors.channel))
    if net.hour is not None:
        _begin_at(net.hour, np.log(priors.hour))
    if net.purchase is not None:
        logit = np.log(priors.purchase / (1.0 - priors.purchase))
        _begin_at(net.purchase, np.array([logit]))


def _shares(code: npt.NDArray[np.number], size: int, *, first: int = 0) -> Floats:
    """(size,) share of each code from `first` on, each counted once more."""
    count = np.bincount(code.astype(np.int64), minlength=size) + 1.0
    count[:first] = 0
    return np.asarray(count / max(count.sum(), 1.0), np.float64)


@torch.no_grad()
def _begin_at(head: nn.Linear, bias: Floats) -> None:
    head.weight.zero_()
    head.bias.copy_(torch.from_numpy(bias))
