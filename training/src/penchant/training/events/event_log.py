"""A customer event log, opened: cleaned canonical events, items and customers, as Ibis tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import ibis.expr.types as ir

from penchant.clients.command import bind
from penchant.training.events.canonical import (
    canonical_customers,
    canonical_events,
    canonical_items,
    offsets_of,
    with_hour,
)
from penchant.training.events.cleaning import (
    CleaningCounts,
    count_faults,
    drop_faults,
    row_faults,
    with_references,
)
from penchant.training.events.log_recipe import LogRecipe
from penchant.training.events.log_tables import LogTables, open_tables


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """A log whose rows are read only when an expression over them runs."""

    recipe: LogRecipe
    """What was read."""
    events: ir.Table
    """Cleaned events with the canonical columns; see `canonical.EVENT_COLUMNS`."""
    items: ir.Table | None
    """item_id, category, brand, price, title; each item once."""
    customers: ir.Table | None
    """visitor_id, consent, then the columns the recipe names; each visitor once."""
    counts: CleaningCounts
    """What cleaning found."""

    @property
    def has_clock(self) -> bool:
        """Whether times are seconds, not only an order."""
        return self.recipe.events.time_unit != "order"


def read_log_recipe(path: str | Path, overrides: Sequence[str] = ()) -> LogRecipe:
    """Read a log recipe file.

    Args:
        path: YAML (or JSON) file.
        overrides: Options that win over the file, as on the command line:
            ["--cleaning.most_events", "500"].

    Returns:
        The recipe, with the paths of tables resolved against the recipe's folder.

    Raises:
        ValueError: The file is missing, or a key or value in it is wrong; the message says which.
    """
    words = ["--config", str(path), *overrides]
    recipe = bind(_take_recipe, words, prog="read_log_recipe")["recipe"]
    assert isinstance(recipe, LogRecipe)
    return recipe


def open_event_log(recipe: LogRecipe, *, now_s: int | None = None) -> EventLog:
    """Open a log in DuckDB, count what the cleaning rules find and leave out what they drop.

    Args:
        recipe: Where the tables are and what they mean.
        now_s: Now, in seconds since 1970 UTC; the clock's when None.

    Raises:
        ValueError: A table cannot be opened or a column is of another kind than the recipe says;
            or a rule that says refuse found a row, which is shown.
    """
    return build_event_log(recipe, open_tables(recipe), now_s=now_s)


def build_event_log(recipe: LogRecipe, tables: LogTables, *, now_s: int | None = None) -> EventLog:
    """The same, of tables that are open already, in whatever backend they are.

    Raises:
        ValueError: As :func:`open_event_log`.
    """
    offsets = offsets_of(tables.events, recipe.events)
    items = customers = None
    if recipe.items is not None and tables.items is not None:
        items = canonical_items(tables.items, recipe.items)
    if recipe.customers is not None and tables.customers is not None:
        customers = canonical_customers(tables.customers, recipe.customers)
    staged = with_references(
        canonical_events(tables.events, recipe.events, offsets), items, customers
    )
    moment = int(time.time()) if now_s is None else now_s
    faults = partial(
        row_faults, cleaning=recipe.cleaning, now_s=None if offsets is None else moment
    )
    counts = count_faults(staged, recipe.cleaning, faults)
    events = drop_faults(staged, recipe.cleaning, faults, counts)
    return EventLog(
        recipe=recipe,
        events=with_hour(events, offsets),
        items=items,
        customers=customers,
        counts=counts,
    )


def _take_recipe(recipe: LogRecipe) -> None:
    """Stand in for a verb that takes nothing but a recipe."""
