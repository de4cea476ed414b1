"""NetworkStates: what the network has made of histories, computed once for all that is read off it.

Letters: T targets, B targets at a time, V visitors, N item codes, Z hidden numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.history_batch import history_of
from penchant.training.journeys.journey_data_module import RANK_ROWS
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Places, Targets


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkStates:
    """Hidden states of a network before each of T targets."""

    net: JourneyNet
    """The network, in evaluation mode."""
    targets: Targets
    """The targets, by visitor and position."""
    hidden: Tensor
    """(T, Z) states after the events before each target."""
    action: npt.NDArray[np.int64]
    """(T,) codes of the actions that are asked for."""

    @torch.inference_mode()
    def scores(self, visitor: Places, position: Places) -> Scores:
        """Item logits (B, N), as a model to rank some of the targets by."""
        place = np.searchsorted(self._key, self._keys(visitor, position))
        query = self.net.query(self.hidden[place], torch.from_numpy(self.action[place]))
        logits: Scores = self.net.item_logits(query).numpy()
        return logits

    @cached_property
    def _longest(self) -> int:
        return int(self.targets.position.max(initial=0)) + 1

    @cached_property
    def _key(self) -> Places:
        return self._keys(self.targets.visitor, self.targets.position)

    def _keys(self, visitor: Places, position: Places) -> Places:
        return visitor * self._longest + position


def states_before(
    net: JourneyNet, journeys: Journeys, targets: Targets, *, action: int | None = None
) -> NetworkStates:
    """Let the network read the events before each target.

    Args:
        net: The network.
        journeys: Where the events are.
        targets: T targets, by visitor and position, each with an event before it; a position may be
            one behind a visitor's last event where `action` is given.
        action: Code of the action that is asked for, right after the last event of each history, so
            that nothing is told of the target; None asks at the moment of the target, for its
            action.
    """
    batches = JourneyBatches(
        journeys=journeys,
        stop=journeys.offsets[1:],
        window=net.config.window,
        profile=net.config.profile,
    )
    rows = targets.rows(journeys)
    is_told = action is None
    hidden = [torch.zeros((0, net.hidden_size))]
    with torch.inference_mode():
        for some in targets.chunks(RANK_ROWS):
            moment = some.rows(journeys) - (0 if is_told else 1)
            hidden.append(net.last(*history_of(batches, some, moment)))
    codes = journeys.action[rows] if is_told else np.full(len(targets), action)
    return NetworkStates(
        net=net,
        targets=targets,
        hidden=torch.cat(hidden),
        action=np.asarray(codes, np.int64),
    )
