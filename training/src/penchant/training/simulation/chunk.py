"""One chunk of a log: some visitors with all they ever do.

A chunk is drawn from the seed and its number alone, so that a longer log begins with the shorter
one, and memory does not grow with the log. Letters: V visitors, T visits, E events, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from penchant.training.simulation.bots import bot_events
from penchant.training.simulation.browsing import Browsing, browse
from penchant.training.simulation.draws import Flags, Ints
from penchant.training.simulation.event_rows import EventRows, joined, order_ids
from penchant.training.simulation.orders import Orders, place_orders
from penchant.training.simulation.planted_errors import FlawedRows, plant_errors
from penchant.training.simulation.product_words import CATEGORY_NAMES
from penchant.training.simulation.scene import Scene
from penchant.training.simulation.segments import CHANNELS, HOURS
from penchant.training.simulation.shop import Shop
from penchant.training.simulation.simulation_config import SimulationConfig
from penchant.training.simulation.visitors import customer_rows, make_visitors, visitor_truth
from penchant.training.simulation.visits import make_visits

CHUNK_VISITORS: Final = 2_048
"""Visitors of a chunk; also of a row group, so that a reader finds a visitor in one of them."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Tables of some visitors, each by visitor and time."""

    events: pa.Table
    customers: pa.Table
    visitors: pa.Table
    """Truth of visitors."""
    sessions: pa.Table
    """Truth of sessions and messages."""
    errors: Ints
    """Number of wrong rows by kind."""


def simulate_chunk(number: int, *, shop: Shop, config: SimulationConfig, most_events: int) -> Chunk:
    """Draw chunk `number`, whole visitors until there are `most_events` events or more."""
    rng = np.random.default_rng([1, config.seed, number])
    visitors = make_visitors(number * CHUNK_VISITORS, CHUNK_VISITORS, config, rng)
    visits = make_visits(visitors, config, seasons=shop.seasons, plan=shop.plan, rng=rng)
    scene = Scene(config=config, shop=shop, visitors=visitors, visits=visits)
    browsing = browse(scene, rng)
    orders = place_orders(scene, browsing, rng)
    bots = bot_events(np.flatnonzero(visitors.bot), shop.items.warm, config, rng)
    rows = joined([*browsing.events, *orders.events, bots]).by_visitor_and_time()
    # What follows has draws of its own, so that it leaves the rest as it is.
    apart = np.random.default_rng([2, config.seed, number])
    flawed = plant_errors(rows, config.errors, apart)
    num_visitors = _enough(flawed.rows.visitor, most_events)
    flawed = flawed.take(flawed.rows.visitor < num_visitors)
    customers = customer_rows(visitors, np.random.default_rng([3, config.seed, number]))
    last_id = int(visitors.visitor_id[num_visitors - 1])
    return Chunk(
        events=_event_table(flawed, scene),
        customers=_up_to(customers, last_id),
        visitors=_up_to(visitor_truth(visitors), last_id),
        sessions=_up_to(_session_truth(scene, rows, browsing, orders), last_id),
        errors=flawed.counts(),
    )


def _enough(visitor: Ints, most_events: int) -> int:
    """How many visitors have `most_events` events together, or all of them."""
    if len(visitor) <= most_events:
        return CHUNK_VISITORS
    return int(visitor[most_events - 1]) + 1


def _up_to(table: pa.Table, last_id: int) -> pa.Table:
    """The first rows of a table in the order of visitors."""
    ids = table["visitor_id"].to_numpy()
    return table.slice(0, int(np.searchsorted(ids, last_id, side="right")))


def _event_table(flawed: FlawedRows, scene: Scene) -> pa.Table:
    return scene.shop.names.arrow(
        flawed.rows,
        visitor_id=scene.visitors.visitor_id,
        no_visitor=flawed.has("no_visitor"),
        no_time=flawed.has("missing_time"),
    )


def _session_truth(scene: Scene, rows: EventRows, browsing: Browsing, orders: Orders) -> pa.Table:
    """Each session and message, with what was drawn for it."""
    visits = scene.visits
    start_s, end_s = _first_and_last_s(rows, len(visits))
    no_session: Flags = ~visits.is_session
    never: Flags = np.zeros(len(visits), dtype=np.bool_)
    return pa.table(
        {
            "visitor_id": scene.visitors.visitor_id[visits.visitor],
            "start_s": start_s,
            "end_s": end_s,
            "channel": np.array(CHANNELS)[visits.channel],
            "hour": (start_s - scene.config.start_s) // 3600 % HOURS,
            "sent": visits.sent,
            "opened": visits.opened,
            "clicked": visits.clicked,
            "unsubscribed": visits.unsubscribed,
            "intent": pa.array(np.array(CATEGORY_NAMES)[visits.intent], mask=no_session),
            "continued": visits.continued,
            "searched": browsing.searched,
            "num_views": browsing.num_views,
            "purchase_probability": pa.array(orders.chance, mask=no_session),
            "purchased": orders.bought,
            "order_id": order_ids(orders.number, cancelled=never),
        }
    )


def _first_and_last_s(rows: EventRows, num_visits: int) -> tuple[Ints, Ints]:
    """When the first and the last event of each visit happen (T,)."""
    inside = rows.visit >= 0
    visit, time_s = rows.visit[inside], rows.time_s[inside]
    first_s, last_s = np.full(num_visits, np.iinfo(np.int64).max), np.zeros(num_visits, np.int64)
    np.minimum.at(first_s, visit, time_s)
    np.maximum.at(last_s, visit, time_s)
    return first_s, last_s
