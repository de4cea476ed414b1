"""How visitors arrive: with which device, from where.

Letters: T visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from penchant.training.simulation.draws import Floats, Ints, choices
from penchant.training.simulation.segments import AD, APP, EMAIL, PUSH, STORE, WEB

DEVICES: Final = ("desktop", "phone", "tablet", "till")
"""What events are made with."""
SOURCES: Final = ("direct", "search", "social", "newsletter", "push", "banner")
"""Where visitors come from."""

_DEVICES_OF: Final = {  # channel -> share of each device
    WEB: (0.7, 0.2, 0.1, 0.0),
    APP: (0.0, 0.85, 0.15, 0.0),
    EMAIL: (0.5, 0.45, 0.05, 0.0),
    PUSH: (0.0, 0.9, 0.1, 0.0),
    STORE: (0.0, 0.0, 0.0, 1.0),
    AD: (0.4, 0.5, 0.1, 0.0),
}
_SOURCES_OF: Final = {  # channel -> share of each source
    WEB: (0.5, 0.35, 0.15, 0.0, 0.0, 0.0),
    APP: (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    EMAIL: (0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    PUSH: (0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    STORE: (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    AD: (0.0, 0.0, 0.3, 0.0, 0.0, 0.7),
}


def devices(channel: Ints, rng: np.random.Generator) -> Ints:
    """Place in `DEVICES` of what each visit is made with (T,)."""
    return choices(_by_channel(_DEVICES_OF)).draw(channel, rng)


def sources(channel: Ints, rng: np.random.Generator) -> Ints:
    """Place in `SOURCES` of where each visit comes from (T,)."""
    return choices(_by_channel(_SOURCES_OF)).draw(channel, rng)


def _by_channel(shares: Mapping[int, tuple[float, ...]]) -> Floats:
    return np.array([shares[channel] for channel in sorted(shares)])
