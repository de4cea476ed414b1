"""The shop: all that is the same for every visitor of a simulated log.

Letters: W weeks, A asking channels, C categories, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from penchant.training.simulation.campaigns import campaign_names, plan_campaigns, season_weights
from penchant.training.simulation.draws import Floats, Ints, WeightedLists
from penchant.training.simulation.event_rows import Names
from penchant.training.simulation.item_pairs import ItemPairs, plant_pairs
from penchant.training.simulation.product_words import CATEGORIES, LANGUAGES, queries
from penchant.training.simulation.shop_items import ShopItems, make_items
from penchant.training.simulation.simulation_config import SimulationConfig

_PLAIN_QUERY: Final = 3.0  # how often the plain word is searched for, against one with a colour


@dataclass(frozen=True, kw_only=True, eq=False)
class Shop:
    """Items, seasons, campaigns and what visitors search for."""

    items: ShopItems
    pairs: ItemPairs
    partner: Ints
    """What is bought together with each item, -1 for nothing (N,)."""
    follower: Ints
    """What is bought after a view of each item, -1 for nothing (N,)."""
    seasons: Floats
    """How much more than usual each category is wanted in each week (W, C)."""
    plan: Ints
    """Category of each week's campaign in each asking channel (W, A)."""
    searches: WeightedLists
    """Numbers of queries by category and language; see `queries`."""
    names: Names
    """What the numbers in event rows stand for."""

    def queries(self, category: Ints, language: Ints, rng: np.random.Generator) -> Ints:
        """A query for each category, in the visitor's language; all (B,)."""
        return self.searches.draw(category * len(LANGUAGES) + language, rng)


def open_shop(config: SimulationConfig) -> Shop:
    """Draw the shop of a log; it depends on the seed, not on the number of events."""
    rng = np.random.default_rng([0, config.seed])
    items = make_items(config, rng)
    pairs = plant_pairs(items, config.pairs)
    seasons = season_weights(config)
    plan = plan_campaigns(seasons, rng)
    words = [
        queries(category, language)
        for category in range(len(CATEGORIES))
        for language in range(len(LANGUAGES))
    ]
    # Two languages may share a word. Parquet files are the same byte for byte only where the
    # words of a dictionary differ; arrow writes others from memory it has not cleared.
    number = {query: place for place, query in enumerate(dict.fromkeys(chain(*words)))}
    return Shop(
        items=items,
        pairs=pairs,
        partner=pairs.partners(config.items),
        follower=pairs.followers(config.items),
        seasons=seasons,
        plan=plan,
        searches=WeightedLists.of(
            (
                np.array([number[query] for query in each]),
                np.array([_PLAIN_QUERY, *[1.0] * (len(each) - 1)]),
            )
            for each in words
        ),
        names=Names(
            items=items.ids,
            campaigns=campaign_names(plan),
            queries=tuple(number),
        ),
    )
