"""What happens in a chunk of a log depends on: the shop, the visitors, their visits."""

from __future__ import annotations

from dataclasses import dataclass

from penchant.training.simulation.draws import Ints
from penchant.training.simulation.shop import Shop
from penchant.training.simulation.simulation_config import SimulationConfig
from penchant.training.simulation.visitors import Visitors
from penchant.training.simulation.visits import Visits


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Some visitors in the shop."""

    config: SimulationConfig
    shop: Shop
    visitors: Visitors
    visits: Visits

    def level(self, visit: Ints) -> Ints:
        """Price level of the visitor of each visit."""
        return self.visitors.level[self.visits.visitor[visit]]
