"""The catalogue of the simulated shop: items with prices, brands, titles, and how popular each is.

Letters: N items, C categories, 3 price levels (cheap, middling, dear).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.simulation.draws import Flags, Floats, Ints, WeightedLists
from penchant.training.simulation.product_words import (
    BRANDS,
    CATEGORIES,
    CATEGORY_NAMES,
    COLOURS,
    LANGUAGE_SHARES,
    LANGUAGES,
    title,
)
from penchant.training.simulation.simulation_config import SimulationConfig

LEVELS: Final = 3
"""Price levels of items and of visitors."""
_LEVEL_PRICES: Final = (0.55, 1.0, 2.0)  # times the category's usual price
_LEVEL_LIKING: Final = (1.0, 0.2, 0.04)  # by how many levels item and visitor are apart


@dataclass(frozen=True, kw_only=True, eq=False)
class ShopItems:
    """Everything there is to buy, by the item's number; each row is (N,)."""

    category: Ints
    level: Ints
    brand: Ints
    language: Ints
    price: Floats
    titles: tuple[str, ...]
    popularity: Floats
    """Weight in what visitors look at; 0 for a cold item."""
    liked: WeightedLists
    """Items by category and price level of the visitor; see `draw`."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Item ids, as in the events."""
        return tuple(
            f"{CATEGORY_NAMES[category][:3]}{number:06d}"
            for number, category in enumerate(self.category.tolist())
        )

    @property
    def warm(self) -> Ints:
        """Numbers of the items that visitors may come upon."""
        return np.flatnonzero(self.popularity)

    def draw(self, category: Ints, level: Ints, rng: np.random.Generator) -> Ints:
        """An item of each category, for visitors of each price level; all (B,)."""
        return self.liked.draw(category * LEVELS + level, rng)

    def most_popular(self, category: int, count: int) -> Ints:
        """The items of a category that are looked at most, the most popular first."""
        rows = np.flatnonzero(self.category == category)
        return rows[np.argsort(-self.popularity[rows], kind="stable")[:count]]

    def write(self, path: Path) -> None:
        """Write the item table."""
        columns = {
            "item_id": self.ids,
            "category": np.array(CATEGORY_NAMES)[self.category],
            "brand": np.array(BRANDS)[self.brand],
            "price": self.price,
            "title": self.titles,
        }
        pq.write_table(pa.table(columns), path, compression="zstd")


def make_items(config: SimulationConfig, rng: np.random.Generator) -> ShopItems:
    """Draw the catalogue: categories of equal size, popularity as 1 / (rank + 2) within each."""
    count = config.items
    category = np.arange(count) % len(CATEGORIES)
    brand = rng.integers(0, len(BRANDS), count)
    level = brand * LEVELS // len(BRANDS)
    usual = np.array([each.price for each in CATEGORIES])[category]
    price = usual * np.array(_LEVEL_PRICES)[level] * np.exp(rng.normal(0, 0.15, count))
    language = rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES)
    rank = np.empty(count)
    for number in range(len(CATEGORIES)):
        rows = np.flatnonzero(category == number)
        rank[rows] = rng.permutation(len(rows))
    # The same share of each category is cold: those that would have been the least popular.
    size = np.bincount(category)[category]
    popularity = np.where(rank < np.floor(size * (1 - config.cold_items)), 1 / (rank + 2), 0.0)
    colours = rng.integers(0, len(COLOURS), count)
    drawn = zip(*(row.tolist() for row in (category, language, brand, colours)), strict=True)
    return ShopItems(
        category=category,
        level=level,
        brand=brand,
        language=language,
        price=np.round(price, 2),
        titles=tuple(
            title(each, speech, brand=BRANDS[maker], colour=colour, model=number)
            for number, (each, speech, maker, colour) in enumerate(drawn)
        ),
        popularity=popularity,
        liked=_liked(category, level, popularity > 0, popularity),
    )


def _liked(category: Ints, level: Ints, warm: Flags, popularity: Floats) -> WeightedLists:
    lists = []
    for number in range(len(CATEGORIES)):
        rows = np.flatnonzero(warm & (category == number))
        for visitor in range(LEVELS):
            liking = np.array(_LEVEL_LIKING)[np.abs(level[rows] - visitor)]
            lists.append((rows, popularity[rows] * liking))
    return WeightedLists.of(lists)
