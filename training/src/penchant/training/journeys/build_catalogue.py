"""From an event log's items to a catalogue: each id once, and codes for what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penchant.training.events.event_log import EventLog
from penchant.training.journeys.catalogue import (
    FIRST_CODE,
    UNKNOWN_CODE,
    Catalogue,
    Codes,
    price_codes,
)

LEAST_ITEMS: Final = 3
"""Items of a brand with a code of its own; a brand of fewer says little more than their ids do."""
_COLUMNS: Final = ("item_id", "category", "brand", "price", "title")


def build_catalogue(log: EventLog, events: ir.Table | None = None) -> Catalogue:
    """The items of the log's item table, or else of `events` (all when None), by their ids."""
    if log.items is not None:
        items = log.items.filter(log.items.item_id.notnull())
        return _catalogue(items.select(*_COLUMNS).to_pyarrow())
    seen = log.events if events is None else events
    rows = seen.filter(seen.item_id.notnull()).select("item_id").distinct().to_pyarrow()
    ids, _ = _distinct(rows)
    return Catalogue(item_id=ids, category=np.zeros(len(ids), np.int32))


def _catalogue(rows: pa.Table) -> Catalogue:
    ids, rows = _distinct(rows)
    titles = rows["title"].to_pylist()
    category, brand = rows["category"].combine_chunks(), rows["brand"].combine_chunks()
    categories, brands = _names(category), _names(brand, least=LEAST_ITEMS)
    category_code = list_codes(category, categories, FIRST_CODE)
    prices = rows["price"].to_numpy()  # null becomes NaN
    price = price_codes(prices, category_code)
    return Catalogue(
        item_id=ids,
        category=category_code,
        categories=categories,
        brand=_brand_codes(brand, brands) if brands else None,
        brands=brands,
        price=price if price.any() else None,
        title=tuple(title or "" for title in titles) if any(titles) else (),
    )


def _distinct(rows: pa.Table) -> tuple[npt.NDArray[Any], pa.Table]:
    """The ids in their order, each once, and their rows."""
    is_integer = pa.types.is_integer(rows.schema.field("item_id").type)
    rows = rows.filter(pc.not_equal(rows["item_id"], -1 if is_integer else ""))
    # Of doubled ids the first by its other columns: the choice does not hang on the rows' order.
    rows = rows.sort_by([(name, "ascending") for name in rows.column_names])
    ids, first = np.unique(rows["item_id"].to_numpy(), return_index=True)
    return ids, rows.take(first)


def _names(column: pa.Array, *, least: int = 1) -> tuple[str, ...]:
    """The different values of at least so many items, sorted."""
    counted = pc.value_counts(column.drop_null())
    often = counted.field("values").filter(pc.greater_equal(counted.field("counts"), least))
    return tuple(sorted(often.to_pylist()))


def _brand_codes(brand: pa.Array, brands: Sequence[str]) -> Codes:
    code = list_codes(brand, brands, FIRST_CODE)
    rare = brand.is_valid().to_numpy(zero_copy_only=False) & (code == 0)
    return np.where(rare, UNKNOWN_CODE, code).astype(np.int32)


def list_codes(names: pa.Array, values: Sequence[str], first: int) -> Codes:
    """Place of each name among the values, from `first`; 0 for null and for other names."""
    known = pa.array(values, pa.string()).cast(names.type)
    place = pc.fill_null(pc.index_in(names, value_set=known), -first)
    code: Codes = place.to_numpy(zero_copy_only=False).astype(np.int32) + first
    return code
