"""Planted pairs of items: bought together, and viewed, then bought.

Letters: P pairs, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.draws import Ints
from penchant.training.simulation.product_words import CATEGORIES
from penchant.training.simulation.shop_items import ShopItems

_FIRST_RANK: Final = 1  # the most popular item of a category stays out: it meets everything anyway
_APART: Final = 7  # categories between the two items that are bought together


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemPairs:
    """Pairs of item numbers; no item is in two pairs."""

    together: Ints
    """Bought together, in either order (P, 2)."""
    after: Ints
    """Viewed, then bought: who views the first and buys also buys the second (P, 2)."""

    def partners(self, num_items: int) -> Ints:
        """What is bought together with each item, -1 for nothing (N,)."""
        partner = np.full(num_items, -1)
        partner[self.together[:, 0]] = self.together[:, 1]
        partner[self.together[:, 1]] = self.together[:, 0]
        return partner

    def followers(self, num_items: int) -> Ints:
        """What is bought after a view of each item, -1 for nothing (N,)."""
        follower = np.full(num_items, -1)
        follower[self.after[:, 0]] = self.after[:, 1]
        return follower


def plant_pairs(items: ShopItems, count: int) -> ItemPairs:
    """Choose `count` pairs of each kind among the popular items of every category in turn."""
    popular = np.stack(
        [items.most_popular(category, _FIRST_RANK + 8) for category in range(len(CATEGORIES))]
    )[:, _FIRST_RANK:]
    number = np.arange(count)
    category, lap = number % len(CATEGORIES), number // len(CATEGORIES)
    other = (category + _APART) % len(CATEGORIES)
    return ItemPairs(
        # Eight places of a category: two laps of a first item, a second one, a viewed one and
        # a bought one.
        together=np.stack([popular[category, 4 * lap], popular[other, 4 * lap + 1]], axis=1),
        after=np.stack([popular[category, 4 * lap + 2], popular[category, 4 * lap + 3]], axis=1),
    )
