"""Small event logs on disk, with recipes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.events.event_log import EventLog, open_event_log
from penchant.training.events.log_recipe import (
    Cleaning,
    CustomerColumns,
    CustomersConfig,
    EventColumns,
    EventsConfig,
    ItemColumns,
    ItemsConfig,
    LogRecipe,
)
from penchant.training.recipe import TableSource

NOW_S = 1_700_000_000
DAY_S = 86_400

COLUMNS = {"visitor_id": "who", "time": "at", "action": "what", "item_id": "sku"}
"""Columns of `log_rows`."""


def log_rows(num: int = 4, **columns: Any) -> dict[str, Any]:
    """Rows a minute apart, each of a visitor and an item of its own, changed by `columns`."""
    rows: dict[str, Any] = {
        "who": [f"v{number}" for number in range(num)],
        "at": [NOW_S - DAY_S + 60 * number for number in range(num)],
        "what": ["view"] * num,
        "sku": [f"i{number}" for number in range(num)],
    }
    return {**rows, **columns}


def write(folder: Path, name: str, rows: dict[str, Any] | pa.Table) -> TableSource:
    """A Parquet file of these rows."""
    path = folder / f"{name}.parquet"
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.table(rows), path)
    return TableSource(path=str(path))


def log_recipe(
    folder: Path,
    rows: dict[str, Any] | pa.Table | TableSource | None = None,
    *,
    columns: dict[str, Any] | None = None,
    items: dict[str, Any] | None = None,
    customers: dict[str, Any] | None = None,
    cleaning: dict[str, Any] | None = None,
    **events: Any,
) -> LogRecipe:
    """A recipe for an event table; items have key sku, customers key who and consent agreed."""
    rows = log_rows() if rows is None else rows
    table = rows if isinstance(rows, TableSource) else write(folder, "events", rows)
    named = {**COLUMNS, **(columns or {})}
    events = {"time_unit": "s", **events}
    return LogRecipe(
        name="small",
        events=EventsConfig(table=table, columns=EventColumns(**named), **events),
        items=None if items is None else _items(folder, items),
        customers=None if customers is None else _customers(folder, customers),
        cleaning=Cleaning(**(cleaning or {})),
    )


def opened(*args: Any, **kwargs: Any) -> EventLog:
    """The log of :func:`log_recipe`, opened when NOW_S was now."""
    return open_event_log(log_recipe(*args, **kwargs), now_s=NOW_S)


def events_of(log: EventLog) -> list[dict[str, Any]]:
    """Its events, in a fixed order."""
    rows: list[dict[str, Any]] = (
        log.events.order_by("visitor_id", "time_s", "item_id").to_pyarrow().to_pylist()
    )
    return rows


def _items(folder: Path, rows: dict[str, Any]) -> ItemsConfig:
    names = {name: name for name in ("category", "brand", "price", "title") if name in rows}
    return ItemsConfig(
        table=write(folder, "items", rows), columns=ItemColumns(item_id="sku", **names)
    )


def _customers(folder: Path, rows: dict[str, Any]) -> CustomersConfig:
    consent = "agreed" if "agreed" in rows else None
    return CustomersConfig(
        table=write(folder, "customers", rows),
        columns=CustomerColumns(visitor_id="who", consent=consent),
    )
