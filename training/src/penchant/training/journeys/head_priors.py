"""Where heads begin: at the shares of all visits and events, whoever the visitor is.

A few hundred steps of Adam move a bias by a few tenths, less than hours differ. Begun at zero the
heads would spend them on what a count gives away.

Letters: E events, C channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.journey_net import HOURS, JourneyNet
from penchant.training.journeys.journey_split import events_before


def set_head_priors(net: JourneyNet, batches: JourneyBatches) -> None:
    """Let an untrained net expect of every visitor the channels and hours of all training visits.

    Each channel and hour counts once more than it was seen. A purchase is expected as often as one
    follows a training event in its session.
    """
    columns = batches.journeys
    learnt = events_before(columns, batches.stop - columns.offsets[:-1])
    begins = learnt & batches.opens_visit
    if net.channel is not None:
        channel = np.asarray(columns.channel)[begins]
        _begin_at(net.channel, np.bincount(channel, minlength=net.sizes.num_channels + 1)[1:])
    if net.hour is not None:
        hour = np.floor(batches.hour[begins]).astype(np.int64)
        _begin_at(net.hour, np.bincount(hour, minlength=HOURS))
    follows = batches.purchase_follows[learnt]
    if net.purchase is not None:
        _begin_purchase_at(net.purchase, follows[~np.isnan(follows)])


@torch.no_grad()
def _begin_purchase_at(head: nn.Linear, follows: npt.NDArray[np.float32]) -> None:
    share = (follows.sum() + 1.0) / (len(follows) + 2.0)
    head.weight.zero_()
    head.bias.fill_(float(np.log(share / (1.0 - share))))


@torch.no_grad()
def _begin_at(head: nn.Linear, count: npt.NDArray[np.int64]) -> None:
    share = torch.from_numpy(count + 1.0)
    head.weight.zero_()
    head.bias.copy_(torch.log(share / share.sum()))
