"""Association statistics of a log up to a moment: tables to serve, and pairs to read.

Letters: V visitors, E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from penchant.training.events.associations import association_pairs, popular_items
from penchant.training.events.event_log import EventLog
from penchant.training.events.sessions import EVENT_ORDER, with_sessions
from penchant.training.journeys.association_tables import (
    POPULAR,
    AssociationTables,
    association_tables,
)
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_recipe import AssociationConfig
from penchant.training.journeys.journey_split import events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Places

SHOWN_PAIRS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What the events up to a moment say of pairs of items, and of each alone."""

    tables: AssociationTables
    """To be blended and served."""
    strongest: dict[str, list[dict[str, Any]]]
    """Statistic -> its pairs that are seen most often, as item_id, other_id, weight, support."""


def learn_statistics(
    log: EventLog,
    journeys: Journeys,
    catalogue: Catalogue,
    until: Places,
    config: AssociationConfig,
    *,
    by_time: bool,
) -> Statistics:
    """Count the pairs of the oldest events of each visitor.

    Args:
        log: The opened log.
        journeys: Its events as journeys, in the same order.
        catalogue: Items by code.
        until: (V,) events of each visitor that may be counted, the oldest.
        config: Which statistics, half-life, weights, limits.
        by_time: Whether `until` ends at one moment for all visitors, which is quicker to query.
    """
    learnt = events_before(journeys, until)
    reference_s = int(np.asarray(journeys.time_s)[learnt].max()) if journeys.has_clock else None
    gap = log.recipe.session_gap_minutes if log.has_clock else None
    if by_time and reference_s is not None:
        events = with_sessions(log.events.filter(log.events.time_s <= reference_s), gap)
    else:
        events = with_sessions(_oldest(log.events, journeys, until), gap)
    names = dict.fromkeys((*config.use, *([config.alone] if config.alone else [])))
    pairs: dict[str, pa.Table] = {
        name: association_pairs(events, config, name, reference_s=reference_s).to_pyarrow()
        for name in names
        if name != POPULAR
    }
    popular = None
    if POPULAR in names:
        popular = popular_items(events, config, reference_s=reference_s).to_pyarrow()
    tables = association_tables(pairs, catalogue, neighbours=config.neighbours, popular=popular)
    return Statistics(
        tables=tables, strongest={name: _strongest(rows) for name, rows in pairs.items()}
    )


def _oldest(events: ir.Table, journeys: Journeys, until: Places) -> ir.Table:
    """The `until` (V,) oldest events of each visitor."""
    counts = ibis.memtable(
        pa.table({"_visitor": np.asarray(journeys.visitor_id).tolist(), "_until": until})
    )
    window = ibis.window(
        group_by=events.visitor_id, order_by=[events[name] for name in EVENT_ORDER]
    )
    numbered = events.mutate(_place=ibis.row_number().over(window))
    joined = numbered.join(counts, numbered.visitor_id == counts["_visitor"])
    return joined.filter(joined["_place"] < joined["_until"]).select(*events.columns)


def _strongest(pairs: pa.Table) -> list[dict[str, Any]]:
    """Pairs seen most often of those that say most; of both directions the heavier one."""
    seen = set()
    rows: list[dict[str, Any]] = []
    order = [("support", "descending"), ("weight", "descending"), ("item_id", "ascending")]
    for row in pairs.sort_by(order).slice(0, 20 * SHOWN_PAIRS).to_pylist():
        key = frozenset((row["item_id"], row["other_id"]))
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return rows[:SHOWN_PAIRS]
