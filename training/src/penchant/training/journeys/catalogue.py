"""The items that a journey model knows, and the codes that stand for them.

Item codes: 0 no item (and padding), 1 an unknown item, 2 and up the catalogue in its order.
Category codes: 0 no category, 1 an unknown one, 2 and up `categories` in their order. Brand codes:
0 no brand, 1 a brand of too few items, 2 and up `brands` in their order. Price codes: 0 no known
price, 1 and up from the cheapest to the dearest of its category; see `price_codes`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NO_CODE: Final = 0
UNKNOWN_CODE: Final = 1
FIRST_CODE: Final = 2
"""Code of the first item, of the first category and of the first brand."""
PRICE_BUCKETS: Final = 10
"""Price codes above 0: as many items of a category in each, as far as it has as many prices."""
CATALOGUE: Final = "catalogue.parquet"

Codes = npt.NDArray[np.int32]


def price_codes(price: npt.NDArray[np.float64], category: Codes) -> Codes:
    """Price codes (M,) of prices (M,): the price's rank among the items of its category.

    A category's usual price is told by the category already. What a rank adds is whether she buys
    the cheap or the dear ones of whatever she buys, which holds for coats as for socks, in any
    currency, and however far apart prices lie. Equal prices have one code. Items without a category
    are compared with each other; the only one of its kind is middling.

    Args:
        price: Prices; NaN, infinite and not above 0: unknown.
        category: (M,) category codes.
    """
    known = np.isfinite(price) & (price > 0)
    code = np.zeros(len(price), np.int32)
    for each in np.unique(category[known]):
        rows = np.flatnonzero(known & (category == each))
        _, place, count = np.unique(price[rows], return_inverse=True, return_counts=True)
        middle = (np.cumsum(count) - 0.5 * count) / len(rows)  # in (0, 1)
        code[rows] = 1 + np.floor(middle[place] * PRICE_BUCKETS).astype(np.int32)
    return code


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """Items with their category, brand, price and title, in the order of their codes."""

    item_id: npt.NDArray[Any]
    """(M,) distinct ids: int64, or text as objects."""
    category: Codes
    """(M,) category code of each item."""
    categories: tuple[str, ...] = ()
    """Names of the categories with codes 2 and up."""
    brand: Codes | None = None
    """(M,) brand code of each item; None where items have none."""
    brands: tuple[str, ...] = ()
    """Names of the brands with codes 2 and up."""
    price: Codes | None = None
    """(M,) price code of each item; None where items have none."""
    title: tuple[str, ...] = ()
    """(M,) titles, or empty where items have none."""

    @property
    def has_integer_ids(self) -> bool:
        """Whether ids are integers (INT64 on the wire) rather than text."""
        return self.item_id.dtype.kind == "i"

    @property
    def num_codes(self) -> int:
        """N: items and the two codes before them."""
        return len(self.item_id) + FIRST_CODE

    @property
    def num_category_codes(self) -> int:
        """Categories and the two codes before them."""
        return len(self.categories) + FIRST_CODE

    @property
    def num_brand_codes(self) -> int:
        """Brands and the two codes before them; 0 where items have none."""
        return 0 if self.brand is None else len(self.brands) + FIRST_CODE

    @property
    def num_price_codes(self) -> int:
        """Buckets and the code before them; 0 where items have no prices."""
        return 0 if self.price is None else PRICE_BUCKETS + 1

    @cached_property
    def category_of_code(self) -> Codes:
        """(N,) category code by item code; 0 for the first two."""
        return _by_item_code(self.category)

    @cached_property
    def brand_of_code(self) -> Codes | None:
        """(N,) brand code by item code; 0 for the first two."""
        return None if self.brand is None else _by_item_code(self.brand)

    @cached_property
    def price_of_code(self) -> Codes | None:
        """(N,) price code by item code; 0 for the first two."""
        return None if self.price is None else _by_item_code(self.price)

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.item_id, kind="stable")

    @cached_property
    def _texts(self) -> pa.Array:
        return pa.array(self.item_id, pa.string())

    def encode(self, item_id: npt.NDArray[Any]) -> Codes:
        """Codes of ids of any shape; None, "" and -1 are no item.

        Raises:
            ValueError: The ids are text and the catalogue's are integers, or the other way round.
        """
        flat = item_id.ravel()
        if flat.dtype.kind not in "iu":
            flat = pa.array(flat.tolist() if flat.dtype.kind == "U" else flat, from_pandas=True)
        else:
            flat = pa.array(flat)
        return self.encode_arrow(flat).reshape(item_id.shape)

    def encode_arrow(self, item_id: pa.Array) -> Codes:
        """The same for an Arrow array of ids (B,), whose nulls are no item.

        Raises:
            ValueError: As :meth:`encode`.
        """
        kind = item_id.type
        if pa.types.is_null(kind):
            return np.zeros(len(item_id), np.int32)
        if pa.types.is_integer(kind) != self.has_integer_ids:
            expected = "integers" if self.has_integer_ids else "text"
            raise ValueError(
                f"item_id: expected {expected} as in the catalogue, got {kind}; cast the column"
            )
        if self.has_integer_ids:
            return self._encode_integers(pc.fill_null(item_id, -1).to_numpy(zero_copy_only=False))
        place = pc.index_in(item_id, value_set=self._texts.cast(kind))
        code = pc.fill_null(place, -1).to_numpy(zero_copy_only=False) + FIRST_CODE
        none = pc.fill_null(pc.equal(item_id, ""), True).to_numpy(zero_copy_only=False)
        return np.where(none, NO_CODE, code).astype(np.int32)

    def _encode_integers(self, item_id: npt.NDArray[np.int64]) -> Codes:
        if not len(self.item_id):
            return np.where(item_id == -1, NO_CODE, UNKNOWN_CODE).astype(np.int32)
        ordered = self.item_id[self._order]
        at = np.minimum(np.searchsorted(ordered, item_id), len(ordered) - 1)
        code = np.where(ordered[at] == item_id, self._order[at] + FIRST_CODE, UNKNOWN_CODE)
        return np.where(item_id == -1, NO_CODE, code).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the catalogue as one Parquet file; the folder is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        kind = pa.int64() if self.has_integer_ids else pa.string()
        columns = {"item_id": pa.array(self.item_id, kind), "category": pa.array(self.category)}
        for name, codes in (("brand", self.brand), ("price", self.price)):
            if codes is not None:
                columns[name] = pa.array(codes)
        if self.title:
            columns["title"] = pa.array(self.title, pa.string())
        lists = {"categories": self.categories, "brands": self.brands}
        names = {name: json.dumps(each, ensure_ascii=False) for name, each in lists.items()}
        pq.write_table(pa.table(columns).replace_schema_metadata(names), folder / CATALOGUE)

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Read what :meth:`save` wrote."""
        table = pq.read_table(folder / CATALOGUE)
        has, metadata = set(table.column_names), table.schema.metadata
        return cls(
            item_id=table["item_id"].to_numpy(),
            category=table["category"].to_numpy(),
            categories=tuple(json.loads(metadata[b"categories"])),
            brand=table["brand"].to_numpy() if "brand" in has else None,
            brands=tuple(json.loads(metadata[b"brands"])),
            price=table["price"].to_numpy() if "price" in has else None,
            title=tuple(table["title"].to_pylist()) if "title" in has else (),
        )


def _by_item_code(codes: Codes) -> Codes:
    """Codes of items (M,) by item code (N,); 0 for the first two."""
    return np.concatenate([np.zeros(FIRST_CODE, np.int32), codes.astype(np.int32)])
