"""Which planted pairs of a simulated log the association tables find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.simulation.simulated_log import SimulatedLog


@dataclass(frozen=True, kw_only=True)
class FoundPairs:
    """Pairs of one kind that a statistic finds."""

    planted: int
    """Pairs there are; what is bought together counts both ways round."""
    first: float
    """Share of them whose second item is the first neighbour of the first one."""
    among_3: float
    """Share among the first three neighbours."""
    among_10: float
    """Share among the first ten neighbours."""


def found_pairs(
    log: SimulatedLog, catalogue: Catalogue, tables: AssociationTables
) -> dict[str, FoundPairs]:
    """Kind of pair (bought_together, bought_after_viewing) -> what the statistic finds."""
    pairs = log.pairs()
    kinds = np.array(pairs["kind"].to_pylist())
    first, second = (
        catalogue.encode_arrow(pairs[name].combine_chunks()) for name in ("item_id", "other_id")
    )
    found = {}
    for kind in dict.fromkeys(kinds.tolist()):
        item, other = first[kinds == kind], second[kinds == kind]
        if kind == "bought_together":
            item, other = np.concatenate([item, other]), np.concatenate([other, item])
        neighbours = tables.code[tables.names.index(kind), item]
        place = np.where(neighbours == other[:, None], np.arange(neighbours.shape[1]), np.inf)
        best = place.min(axis=1)
        found[kind] = FoundPairs(
            planted=len(item),
            first=float((best < 1).mean()),
            among_3=float((best < 3).mean()),
            among_10=float((best < 10).mean()),
        )
    return found
