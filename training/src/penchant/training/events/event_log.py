"""A customer event log, opened: cleaned canonical events, items and customers, as Ibis tables."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

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
    Faults,
    RuleCount,
    count_faults,
    drop_faults,
    row_faults,
    unique_keys,
    with_references,
)
from penchant.training.events.clock import Offsets
from penchant.training.events.log_recipe import LogRecipe
from penchant.training.events.log_tables import LogTables, open_tables
from penchant.training.events.refusal import check_keys, check_left, refuse_first
from penchant.training.source import quiet_ibis


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

    @property
    def session_gap_minutes(self) -> float | None:
        """The recipe's gap between sessions, as `with_sessions` takes it; None without a clock."""
        return self.recipe.session_gap_minutes if self.has_clock else None


@dataclass(frozen=True, kw_only=True)
class StagedLog:
    """A log before any row is dropped: what the cleaning rules look at."""

    recipe: LogRecipe
    """What is read."""
    tables: LogTables
    """The user's tables."""
    now_s: int
    """Now, in seconds since 1970 UTC."""
    offsets: Offsets | None
    """Of the log's zone; None without a clock."""
    items: ir.Table | None
    """Canonical, each item once."""
    customers: ir.Table | None
    """Canonical, each visitor once."""
    extra_keys: int
    """Rows of those two without a key, or with one that another row has."""

    def mapped(self, rows: ir.Table, *, keep: Sequence[str] = ()) -> ir.Table:
        """The user's events with canonical columns, in the order in which they are."""
        return canonical_events(rows, self.recipe.events, self.offsets, keep=keep)

    def stage(self, rows: ir.Table, *, keep: Sequence[str] = ()) -> ir.Table:
        """The same with what the cleaning rules need of items and customers."""
        config = self.recipe.customers
        asks = config is not None and config.columns.consent is not None
        customers = self.customers if asks else None
        return with_references(self.mapped(rows, keep=keep), self.items, customers)

    @property
    def faults(self) -> Faults:
        """The rules for single rows."""
        now_s = None if self.offsets is None else self.now_s
        return partial(row_faults, cleaning=self.recipe.cleaning, now_s=now_s)

    @cached_property
    def counts(self) -> CleaningCounts:
        """What each rule finds; nothing is refused."""
        cleaning = self.recipe.cleaning
        counts = count_faults(self.stage(self.tables.events), cleaning, self.faults)
        keys = RuleCount(
            rule="duplicate_keys", setting=cleaning.duplicate_keys, rows=self.extra_keys
        )
        return replace(counts, rules=(*counts.rules, keys))

    @cached_property
    def events(self) -> ir.Table:
        """Cleaned canonical events; where a rule compared rows, stored, so that it runs once."""
        staged = self.stage(self.tables.events)
        cleaned = drop_faults(staged, self.recipe.cleaning, self.faults, self.counts)
        events = with_hour(cleaned, self.offsets)
        return stored(events) if self.counts.compares_rows else events


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
            a rule that says refuse found a row, which is shown; or no row is left.
    """
    return build_event_log(recipe, open_tables(recipe), now_s=now_s)


def build_event_log(recipe: LogRecipe, tables: LogTables, *, now_s: int | None = None) -> EventLog:
    """The same, of tables that are open already, in whatever backend they are.

    Raises:
        ValueError: As :func:`open_event_log`.
    """
    staged = stage_log(recipe, tables, now_s=now_s)
    for count in staged.counts.refused:
        refuse_first(staged, count)
    check_left(staged)
    return EventLog(
        recipe=recipe,
        events=staged.events,
        items=staged.items,
        customers=staged.customers,
        counts=staged.counts,
    )


def stage_log(recipe: LogRecipe, tables: LogTables, *, now_s: int | None = None) -> StagedLog:
    """A log whose columns are mapped and whose rows are not cleaned yet.

    Raises:
        ValueError: A column is of another kind than the recipe says.
    """
    items = customers = None
    extra = 0
    if recipe.items is not None and tables.items is not None:
        items, more = unique_keys(canonical_items(tables.items, recipe.items))
        extra += more
        if recipe.items.categories_from_titles:
            # Loading scikit-learn takes a second, and most logs have categories.
            from penchant.training.events.title_categories import with_title_categories

            items = with_title_categories(items, recipe.items.categories_from_titles)
    if recipe.customers is not None and tables.customers is not None:
        customers, more = unique_keys(canonical_customers(tables.customers, recipe.customers))
        extra += more
    offsets = offsets_of(tables.events, recipe.events)
    events = canonical_events(tables.events, recipe.events, offsets)
    check_keys(recipe, events, items, customers)
    return StagedLog(
        recipe=recipe,
        tables=tables,
        now_s=int(time.time()) if now_s is None else now_s,
        offsets=offsets,
        items=items,
        customers=customers,
        extra_keys=extra,
    )


def stored(events: ir.Table) -> ir.Table:
    """The same rows as a temporary Parquet file, which goes when their connection does."""
    connection = events.get_backend()
    if connection.name != "duckdb":
        return events
    folder = tempfile.mkdtemp(prefix="penchant-log-")
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "events.parquet"
    with quiet_ibis():
        events.to_parquet(path)
        return connection.read_parquet(path)


def _take_recipe(recipe: LogRecipe) -> None:
    """Stand in for a verb that takes nothing but a recipe."""
