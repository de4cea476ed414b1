"""Example rows of an event log: features before each cut-off, labels after it, in one file.

The file is an ordinary table: `penchant train propensity` makes it for a recipe with `examples`,
`penchant build examples` writes it for anything else, and `penchant score` reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.events.clock import check_zone
from penchant.training.events.event_log import EventLog, open_event_log, read_log_recipe
from penchant.training.events.examples_config import CUTOFF_COLUMN, DAY_S, ExamplesConfig
from penchant.training.events.goal_labels import with_goal_labels
from penchant.training.events.history_features import (
    CUTOFF,
    VISITOR,
    HistoryConfig,
    history_features,
)
from penchant.training.events.sessions import with_sessions
from penchant.training.recipe import Columns, Recipe, TableSource
from penchant.training.recipe_checks import nearest
from penchant.training.source import Source, open_source

MOST_ACTIONS: Final = 50
"""Most actions that get columns of their own without being named."""
_PARTS: Final = ("train", "validation", "calibration", "test")


@dataclass(frozen=True, kw_only=True)
class ExampleMaker:
    """A log, and what is to be made of it."""

    log: EventLog
    """The cleaned log."""
    config: ExamplesConfig
    """What the recipe says."""
    history: HistoryConfig
    """Features, as far as the log has what they are made of."""
    first_s: int
    """Time of the log's first event."""
    end_s: int
    """Time of its last event, up to which horizons can be over."""

    @property
    def columns(self) -> Columns:
        """The feature columns of the rows, by kind."""
        customers = self.log.recipe.customers
        own = customers.columns if customers is not None else None
        wanted = self.config.customer_columns
        return Columns(
            numeric=(*self.history.numeric, *(n for n in wanted if own and n in own.numeric)),
            categorical=(
                *self.history.categorical,
                *(name for name in wanted if own and name in own.categorical),
            ),
        )

    def rows(self, cutoff_s: int) -> ir.Table:
        """Rows of one cut-off, by visitor: key, features, labels."""
        events = self._events()
        rows = history_features(events, [cutoff_s], self.history)
        rows = self._population(rows, cutoff_s)
        if self.config.customer_columns and self.log.customers is not None:
            customers = self.log.customers.select(VISITOR, *self.config.customer_columns)
            rows = rows.left_join(customers, VISITOR).drop(f"{VISITOR}_right")
        rows = with_goal_labels(rows, events, cutoff_s, self.config.goals, end_s=self.end_s)
        return rows.order_by(VISITOR)

    def is_labelled(self, cutoff_s: int) -> bool:
        """Whether the horizon of at least one goal is over."""
        return any(cutoff_s + goal.horizon_s <= self.end_s for goal in self.config.goals)

    def _events(self) -> ir.Table:
        events = self.log.events
        if self.log.recipe.events.columns.order_id is None:
            events = with_sessions(events, self.log.session_gap_minutes)
        if self.history.with_categories and self.log.items is not None:
            items = self.log.items.select("item_id", "category")
            events = events.left_join(items, "item_id").drop("item_id_right")
        return events

    def _population(self, rows: ir.Table, cutoff_s: int) -> ir.Table:
        if self.config.having_done:
            events = self.log.events
            done = events.filter(
                events.time_s < cutoff_s, events.action.isin(self.config.having_done)
            )
            rows = rows.semi_join(done, VISITOR)
        if self.config.active_within_days is not None:
            rows = rows.filter(rows.days_since_last_event <= self.config.active_within_days)
        return rows


def example_maker(config: ExamplesConfig) -> ExampleMaker:
    """Open the log of a recipe and see what it has.

    Raises:
        ValueError: The log cannot be read, has no clock, or lacks an action or a column that the
            recipe names.
    """
    log = open_event_log(read_log_recipe(config.log))
    if not log.has_clock:
        raise ValueError(
            f"examples.log: {config.log} has an order of events but no clock "
            "(events.time_unit: order), and windows and horizons are days; give a log with times"
        )
    events = log.events
    counted = events.group_by("action").aggregate(
        n=events.count(), first_s=events.time_s.min(), last_s=events.time_s.max()
    )
    found = counted.to_pyarrow().to_pydict()
    actions = sorted(action for action in found["action"] if action is not None)
    _check_actions(config, actions)
    _check_customer_columns(config, log)
    columns, items = log.recipe.events.columns, log.recipe.items
    purchases = tuple(action for action in config.purchase_actions if action in actions)
    return ExampleMaker(
        log=log,
        config=config,
        first_s=min(found["first_s"]),
        end_s=max(found["last_s"]),
        history=HistoryConfig(
            actions=config.actions or tuple(actions),
            windows_days=config.windows_days,
            purchase_actions=purchases,
            with_value=columns.value is not None or columns.price is not None,
            with_items=columns.item_id is not None,
            with_categories=items is not None and items.columns.category is not None,
            with_channels=columns.channel is not None,
        ),
    )


def cutoff_moments(maker: ExampleMaker) -> list[int]:
    """The recipe's cut-offs, oldest first, in seconds since 1970 UTC.

    Raises:
        ValueError: A date cannot be read, or the horizons of two cut-offs overlap.
    """
    cutoffs, horizon_s = maker.config.cutoffs, maker.config.horizon_s
    if cutoffs.dates:
        zone = maker.log.recipe.events.timezone
        field = "examples.cutoffs.dates"
        moments = sorted(moment_s(date, zone, field=field) for date in cutoffs.dates)
    else:
        step_s = horizon_s if cutoffs.every_days is None else round(cutoffs.every_days * DAY_S)
        newest = maker.end_s - horizon_s
        moments = [newest - step_s * number for number in reversed(range(cutoffs.count))]
        moments = [moment for moment in moments if moment > maker.first_s]
    for before, after in pairwise(moments):
        if after - before < horizon_s:
            raise ValueError(
                f"examples.cutoffs: {_shown(before)} and {_shown(after)} are "
                f"{(after - before) / DAY_S:g} days apart, less than the longest horizon of "
                f"{horizon_s / DAY_S:g} days, so that what is learnt at one tells what is tested "
                "at the other; take cut-offs further apart, or goals with shorter within_days"
            )
    return moments


def moment_s(text: str, zone: str, *, field: str) -> int:
    """Seconds since 1970 UTC of a date (its midnight) or a time in ISO form; `zone` if it has none.

    Raises:
        ValueError: It is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{field}: expected a date or time as in 2011-12-09 or 2011-12-09T12:30:00, "
            f"got {text!r}"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=check_zone(zone))
    return int(moment.timestamp())


def write_examples(maker: ExampleMaker, cutoffs: Sequence[int], path: Path) -> int:
    """Write the rows of all cut-offs, oldest first, each by visitor; one cut-off at a time.

    The columns are `visitor_id`, `cutoff` (UTC), the features, then a label a goal. A database
    holds the groups of one cut-off only, so that memory does not grow with their number.

    Returns:
        The number of rows.

    Raises:
        ValueError: There is none.
    """
    num_rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for cutoff_s in cutoffs:
            for batch in maker.rows(cutoff_s).to_pyarrow_batches():
                table = _with_time(pa.Table.from_batches([batch]))
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                num_rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    if not num_rows:
        shown = ", ".join(map(_shown, cutoffs)) or "none"
        raise ValueError(
            f"examples: no visitor to look at; cut-offs: {shown}; the log reaches from "
            f"{_shown(maker.first_s)} to {_shown(maker.end_s)}, so that its newest cut-off with a "
            f"label is {_shown(maker.end_s - maker.config.horizon_s)}; take cut-offs between, or "
            "goals with shorter within_days, and look at having_done and active_within_days"
        )
    return num_rows


@contextmanager
def opened_examples(recipe: Recipe) -> Iterator[tuple[Recipe, Source]]:
    """Make the labelled examples of a recipe in a temporary file, for as long as it is read.

    Yields:
        The recipe with the columns that the examples have, and the rows.

    Raises:
        ValueError: The examples cannot be made, or are too few moments to be divided by time.
    """
    assert recipe.examples is not None
    maker = example_maker(recipe.examples)
    moments = [moment for moment in cutoff_moments(maker) if maker.is_labelled(moment)]
    _check_enough(recipe, moments)
    recipe = replace(
        recipe, columns=replace(maker.columns, ignored=recipe.columns.ignored).without_ignored()
    )
    with tempfile.TemporaryDirectory(prefix="penchant-examples-") as folder:
        path = Path(folder) / "examples.parquet"
        write_examples(maker, moments, path)
        yield recipe, replace(open_source(TableSource(path=str(path))), place=recipe.place)


def _check_enough(recipe: Recipe, moments: Sequence[int]) -> None:
    """Refuse fewer cut-offs than a split by time has parts."""
    split = recipe.split
    parts = [part for part in _PARTS if part == "train" or getattr(split, part)]
    if split.by == "time" and len(moments) < len(parts):
        raise ValueError(
            f"examples.cutoffs: expected at least {len(parts)} with a label, because the split is "
            f"by time into {', '.join(parts)}, got {len(moments)}"
            f"{': ' if moments else ''}{', '.join(map(_shown, moments))}; take more cut-offs, "
            "goals with shorter within_days, split.calibration 0, or split.by group with "
            f"split.column {VISITOR}"
        )


def _check_actions(config: ExamplesConfig, known: Sequence[str]) -> None:
    named = {
        "examples.actions": config.actions,
        "examples.having_done": config.having_done,
    } | {f"examples.goals: actions of {goal.name}": goal.actions for goal in config.goals}
    for place, actions in named.items():
        for action in actions:
            if action not in known:
                raise ValueError(
                    f"{place}: the log has no action {action!r}{nearest(action, known)}; "
                    f"it has {', '.join(known[:MOST_ACTIONS])}"
                )
    if not config.actions and len(known) > MOST_ACTIONS:
        raise ValueError(
            f"examples.actions: the log has {len(known):,} actions, more than {MOST_ACTIONS}; name "
            "those to be counted, or map them in events.actions of the log recipe"
        )


def _check_customer_columns(config: ExamplesConfig, log: EventLog) -> None:
    customers = log.recipe.customers
    known = (*customers.columns.numeric, *customers.columns.categorical) if customers else ()
    for name in config.customer_columns:
        if name not in known:
            raise ValueError(
                f"examples.customer_columns: no column {name!r}{nearest(name, known)}; the log "
                f"recipe names {', '.join(known) or 'none'} in customers.columns"
            )


def _with_time(rows: pa.Table) -> pa.Table:
    """The rows with their cut-off as a time (UTC), not as seconds."""
    place = rows.schema.get_field_index(CUTOFF)
    times = rows[CUTOFF].cast(pa.timestamp("s"))
    return rows.set_column(place, CUTOFF_COLUMN, times.cast(pa.timestamp("ms")))


def _shown(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
