"""Carts, purchases and returns.

Letters: T visits, P lines of orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.browsing import Browsing
from penchant.training.simulation.draws import Flags, Floats, Ints, happens, rank_within
from penchant.training.simulation.event_rows import (
    CART,
    NOTHING,
    PURCHASE,
    RETURN,
    EventRows,
    rows_of,
)
from penchant.training.simulation.scene import Scene
from penchant.training.simulation.simulation_config import SimulationConfig

_DAY_S: Final = 24 * 3600
_TO_CART_S: Final = 10
_CHANNEL_LOGIT: Final = (0.0, 0.2, 0.3, 0.0, 0.0, -0.4)  # web, app, email, push, store, ad
_FILLED_AND_LEFT: Final = 0.12  # share of sessions without a purchase that fill a cart
_ONE_MORE: Final = 0.3  # share of orders with a further item of the same category
_MOST_VISITS: Final = 100_000  # of one visitor; keeps numbers of orders apart


@dataclass(frozen=True, kw_only=True, eq=False)
class Orders:
    """What was bought in some visits."""

    chance: Floats
    """Probability of a purchase before it was drawn (T,); 1 in a store, 0 without a session."""
    bought: Flags
    """Whether there is a purchase (T,)."""
    number: Ints
    """Number of the order, -1 where there is none (T,)."""
    events: tuple[EventRows, ...]
    """All of it as events."""


def place_orders(scene: Scene, browsing: Browsing, rng: np.random.Generator) -> Orders:
    """Draw who buys, what goes into the order, what stays in a cart and what is sent back."""
    visits, visitors = scene.visits, scene.visitors
    chance = purchase_chance(scene, browsing.searched)
    bought = happens(chance, len(visits), rng)
    number = visitors.visitor_id[visits.visitor] * _MOST_VISITS + rank_within(visits.visitor)
    main = _main_item(scene, browsing, rng)
    left = happens(_FILLED_AND_LEFT, len(visits), rng)
    cart = np.flatnonzero((browsing.num_views > 0) & (bought | left))
    purchases = _purchases(np.flatnonzero(bought), main, number, scene, browsing, rng)
    carts = rows_of(
        visits,
        cart,
        time_s=browsing.done_s[cart] + _TO_CART_S,
        action=CART,
        item=main[cart],
        price=scene.shop.items.price[main[cart]],
        quantity=np.ones(len(cart), dtype=np.int64),
    )
    return Orders(
        chance=chance,
        bought=bought,
        number=np.where(bought, number, NOTHING),
        events=(carts, purchases, _returns(purchases, scene.config, rng)),
    )


def purchase_chance(scene: Scene, searched: Flags) -> Floats:
    """Probability that each visit leads to a purchase (T,).

    A logistic function of what can be read from the history: the visitor's taste for the
    category and her appetite, whether the session goes on with the category of the one before,
    whether it begins with a search, and the channel.
    """
    visits, visitors = scene.visits, scene.visitors
    logit = (
        -2.9
        + 1.5 * visitors.taste[visits.visitor, visits.intent]
        + visitors.appetite[visits.visitor]
        + 0.6 * visits.continued
        + 0.5 * searched
        + np.array(_CHANNEL_LOGIT)[visits.channel]
    )
    online = np.where(visits.is_session, 1 / (1 + np.exp(-logit)), 0.0)
    return np.where(visits.in_store, 1.0, online)


def _main_item(scene: Scene, browsing: Browsing, rng: np.random.Generator) -> Ints:
    """The item that each visit would be for: one of those viewed, or in a store any (T,)."""
    every = np.arange(len(scene.visits))
    category = np.maximum(scene.visits.intent, 0)
    any_item = scene.shop.items.draw(category, scene.level(every), rng)
    viewed = browsing.first_view + (rng.random(len(every)) * browsing.num_views).astype(np.int64)
    views = np.append(browsing.item, NOTHING)  # a visit without views may begin after the last one
    return np.where(browsing.num_views > 0, views[viewed], any_item)


def _purchases(
    visit: Ints,
    main: Ints,
    number: Ints,
    scene: Scene,
    browsing: Browsing,
    rng: np.random.Generator,
) -> EventRows:
    """The lines of one order for each of `visit`, paid all at once; no item twice in an order."""
    shop, pair_rate = scene.shop, scene.config.pair_rate
    follower = np.full(len(main), NOTHING)
    np.maximum.at(follower, browsing.visit, shop.follower[browsing.item])
    further = shop.items.draw(scene.visits.intent[visit], scene.level(visit), rng)
    rates = (
        (main[visit], 1.0),
        (shop.partner[main[visit]], pair_rate),
        (follower[visit], pair_rate),
        (further, _ONE_MORE),
    )
    items = [np.where(happens(rate, len(visit), rng), item, NOTHING) for item, rate in rates]
    num_items = len(shop.items.category)
    lines = np.concatenate([visit * num_items + item for item in items])
    lines = np.unique(lines[np.concatenate(items) != NOTHING])
    paid_s = browsing.done_s + _TO_CART_S + rng.integers(20, 80, len(main))
    of, item = np.divmod(lines, num_items)
    return rows_of(
        scene.visits,
        of,
        time_s=paid_s[of],
        action=PURCHASE,
        item=item,
        price=shop.items.price[item],
        quantity=1 + happens(0.12, len(of), rng) + happens(0.04, len(of), rng),
        order=number[of],
    )


def _returns(purchases: EventRows, config: SimulationConfig, rng: np.random.Generator) -> EventRows:
    """Lines sent back 2 to 25 days later, if the log lasts that long."""
    later_s = purchases.time_s + rng.integers(2 * _DAY_S, 25 * _DAY_S, len(purchases))
    back = happens(config.returns, len(purchases), rng) & (later_s < config.end_s)
    lines = purchases.take(back)
    nothing = np.full(len(lines), NOTHING)
    return EventRows(
        **(
            vars(lines)
            | {
                "visit": nothing,
                "campaign": nothing,
                "time_s": later_s[back],
                "action": np.full(len(lines), RETURN),
                "quantity": -lines.quantity,
            }
        )
    )
