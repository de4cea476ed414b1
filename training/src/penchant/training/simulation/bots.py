"""Programs among the visitors: bursts of quick views of any item, and never a purchase."""

from __future__ import annotations

from typing import Final

import numpy as np

from penchant.training.simulation.draws import Ints
from penchant.training.simulation.event_rows import NOTHING, VIEW, EventRows
from penchant.training.simulation.segments import WEB
from penchant.training.simulation.simulation_config import WEEK_S, SimulationConfig

_MOST_BURSTS: Final = 8
_MOST_VIEWS: Final = 400  # of a burst


def bot_events(
    bots: Ints, warm: Ints, config: SimulationConfig, rng: np.random.Generator
) -> EventRows:
    """What programs do.

    Args:
        bots: Places of the programs among the visitors (V,).
        warm: Numbers of the items that may be viewed.
        config: The log's.
        rng: What to draw from.
    """
    num_bursts = rng.integers(3, _MOST_BURSTS + 1, len(bots))
    burst_of = np.repeat(bots, num_bursts)
    number = np.concatenate([np.arange(count) for count in num_bursts.tolist()] or [bots])
    slot_s = config.weeks * WEEK_S // _MOST_BURSTS
    begun_s = config.start_s + number * slot_s + rng.integers(0, slot_s - 3600, len(burst_of))
    num_views = rng.integers(_MOST_VIEWS // 4, _MOST_VIEWS + 1, len(burst_of))
    burst = np.repeat(np.arange(len(burst_of)), num_views)
    passed_s = np.cumsum(rng.integers(1, 4, len(burst)))
    first = np.cumsum(num_views) - num_views
    nothing = np.full(len(burst), NOTHING)
    return EventRows(
        visit=nothing,
        visitor=burst_of[burst],
        time_s=begun_s[burst] + passed_s - passed_s[first[burst]],
        action=np.full(len(burst), VIEW),
        item=rng.choice(warm, len(burst)),
        channel=np.full(len(burst), WEB),
        device=np.zeros(len(burst), dtype=np.int64),
        source=np.zeros(len(burst), dtype=np.int64),
        campaign=nothing,
        query=nothing,
        price=np.full(len(burst), np.nan),
        quantity=np.zeros(len(burst), dtype=np.int64),
        order=nothing,
    )
