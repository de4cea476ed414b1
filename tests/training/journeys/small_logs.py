"""Event logs in memory, for tests."""

from collections.abc import Sequence
from typing import Any

import ibis
import pyarrow as pa

from penchant.training.events.event_log import EventLog, build_event_log
from penchant.training.events.log_recipe import (
    EventColumns,
    EventsConfig,
    ItemColumns,
    ItemsConfig,
    LogRecipe,
)
from penchant.training.events.log_tables import LogTables
from penchant.training.recipe import TableSource

SOURCE = TableSource(path="memory")


def log_of(
    rows: Sequence[tuple[Any, ...]],
    *,
    columns: tuple[str, ...] = ("visitor_id", "time", "action", "item_id"),
    items: Sequence[dict[str, Any]] | None = None,
    gap_minutes: float = 30.0,
    unit: str = "s",
) -> EventLog:
    """A log of these events; an item table with the columns of its first row where it is given."""
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns)})
    opened = {"events": ibis.memtable(table)}
    if items is not None:
        opened["items"] = ibis.memtable(pa.Table.from_pylist(list(items)))
    recipe = LogRecipe(
        name="shop",
        events=EventsConfig(
            table=SOURCE,
            columns=EventColumns(**{name: name for name in columns}),
            time_unit=unit,  # type: ignore[arg-type]
        ),
        items=None
        if items is None
        else ItemsConfig(
            table=SOURCE,
            columns=ItemColumns(**{name: name for name in items[0]}),
        ),
        session_gap_minutes=gap_minutes,
    )
    return build_event_log(recipe, LogTables(**opened, places={}))
