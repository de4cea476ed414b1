"""How well channel and hour of the next visit are told: the network's heads, the prior, the truth.

A visit is what the heads are trained on: it begins with an event before which the visitor was idle
for the log's session gap; a message that is sent begins one, too. It is told from the events before
it, without the moment at which it begins.

Letters: T visits, V visitors, C channels, S segments, H = 168 hours of the week.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from penchant.clients.journey_contract import HOURS
from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.head_quality import shares_of
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.network_states import states_before
from penchant.training.journeys.targets import Targets, targets_of
from penchant.training.simulation.segments import (
    CHANNELS,
    SEGMENTS,
    hour_shares,
    visited_shares,
)
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.visits import PREFERRED

Floats = npt.NDArray[np.float64]

SENT: Final = "sent"
"""Action of a message, which comes at any hour."""
OTHER_VISITS: Final = 10.0
"""Visits that the mean of all visitors counts for beside a visitor's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NextVisits:
    """Beginnings of visits, all with a known channel, and what came before each."""

    targets: Targets
    """T events that begin a visit."""
    channel: npt.NDArray[np.int64]
    """(T,) place of the channel in the journeys' list."""
    hour: npt.NDArray[np.int64]
    """(T,) hour of the week."""
    is_message: npt.NDArray[np.bool_]
    """(T,) whether the visit begins with a message."""

    def __len__(self) -> int:
        """T."""
        return len(self.channel)


@dataclass(frozen=True, kw_only=True, eq=False)
class VisitShares:
    """What a model expects of each visit."""

    channel: Floats
    """(T, C) probabilities."""
    hour: Floats
    """(T, H) probabilities."""


@dataclass(frozen=True, kw_only=True)
class VisitLosses:
    """Mean logloss over visits, in nats."""

    channel: float
    """Of the channel."""
    hour: float
    """Of the hour of the week."""


def next_visits(journeys: Journeys, *, since_s: int = 0, before_s: int | None = None) -> NextVisits:
    """Visits that begin within a span, those without an earlier event of the visitor left out."""
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=1, profile=0)
    time_s = np.asarray(journeys.time_s)
    wanted = batches.opens_visit & (time_s >= since_s) & (np.asarray(journeys.channel) > 0)
    if before_s is not None:
        wanted = wanted & (time_s < before_s)
    targets = targets_of(journeys, wanted)
    targets = targets.take(targets.position > 0)
    rows = targets.rows(journeys)
    sent = journeys.actions.index(SENT) + 1 if SENT in journeys.actions else 0
    return NextVisits(
        targets=targets,
        channel=np.asarray(journeys.channel[rows]).astype(np.int64) - 1,
        hour=np.floor(batches.hour[rows]).astype(np.int64),
        is_message=np.asarray(journeys.action[rows]) == sent,
    )


def prior_shares(journeys: Journeys, parts: JourneyParts, visits: NextVisits) -> VisitShares:
    """The same for all: shares of the visits before the test part, each counted once more."""
    earlier = next_visits(journeys, before_s=parts.test_from_s)
    channel = np.bincount(earlier.channel, minlength=len(journeys.channels)) + 1.0
    hour = np.bincount(earlier.hour, minlength=HOURS) + 1.0
    count = len(visits)
    return VisitShares(
        channel=np.broadcast_to(channel / channel.sum(), (count, len(channel))),
        hour=np.broadcast_to(hour / hour.sum(), (count, HOURS)),
    )


def network_shares(net: JourneyNet, journeys: Journeys, visits: NextVisits) -> VisitShares:
    """What the heads say after the events before each visit."""
    hidden = states_before(net, journeys, visits.targets).hidden
    return VisitShares(
        channel=shares_of(net.channel_logits, hidden), hour=shares_of(net.hour_logits, hidden)
    )


def true_shares(log: SimulatedLog, journeys: Journeys, visits: NextVisits) -> VisitShares:
    """About the best that can be reached, by who knows what no log tells; no strict bound.

    Known are the visitor's segment and preferred channel as they were drawn from, and how many of
    all her other visits, later ones included, were messages, and through which channel.
    """
    visitors = log.visitors()
    place = np.searchsorted(
        visitors["visitor_id"].to_numpy(), journeys.visitor_id[visits.targets.visitor]
    )
    names = [segment.name for segment in SEGMENTS]
    segment = np.array([names.index(name) for name in visitors["segment"].to_pylist()])[place]
    likes = np.array([CHANNELS.index(name) for name in visitors["channel"].to_pylist()])[place]
    message = _message_shares(journeys, visits)
    own = 1 - message.sum(axis=1, keepdims=True)
    visited = (1 - PREFERRED) * visited_shares()[segment]
    visited[np.arange(len(visits)), likes] += PREFERRED
    order = [CHANNELS.index(name) for name in journeys.channels]
    return VisitShares(
        channel=own * visited[:, order] + message,
        hour=own * hour_shares()[segment] + (1 - own) / HOURS,
    )


def _message_shares(journeys: Journeys, visits: NextVisits) -> Floats:
    """(T, C) share of messages through each channel among the visitor's other visits."""
    every = next_visits(journeys)
    kinds = len(journeys.channels)
    count = np.zeros((len(journeys), kinds))
    np.add.at(count, (every.targets.visitor, every.channel), every.is_message)
    total = np.bincount(every.targets.visitor, minlength=len(journeys)).astype(np.float64)
    mean = count.sum(axis=0) / total.sum()
    own = count[visits.targets.visitor]
    own[np.arange(len(visits)), visits.channel] -= visits.is_message
    others = total[visits.targets.visitor, None] - 1
    shares: Floats = (own + OTHER_VISITS * mean) / (others + OTHER_VISITS)
    return shares


def visit_losses(shares: VisitShares, visits: NextVisits) -> VisitLosses:
    """Mean logloss of both."""
    each = np.arange(len(visits))
    return VisitLosses(
        channel=float(-np.log(shares.channel[each, visits.channel]).mean()),
        hour=float(-np.log(shares.hour[each, visits.hour]).mean()),
    )
