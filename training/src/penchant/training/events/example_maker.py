"""What makes example rows of one cut-off: an opened log and the features that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import ibis
import ibis.expr.types as ir

from penchant.training.events.event_log import (
    EventLog,
    open_event_log,
    read_log_recipe,
    stored,
)
from penchant.training.events.examples_config import ExamplesConfig
from penchant.training.events.goal_labels import with_goal_labels
from penchant.training.events.history_features import (
    PLURALS,
    VISITOR,
    HistoryConfig,
    history_features,
)
from penchant.training.events.sessions import EVENT_ORDER, with_sessions
from penchant.training.recipe import Columns
from penchant.training.recipe_checks import nearest

MOST_ACTIONS: Final = 50
"""Most actions that get columns of their own without being named."""
_NO_LIMIT: Final = 2**62
_NEEDED: Final = (
    "visitor_id",
    "time_s",
    "action",
    "item_id",
    "channel",
    "device",
    "source",
    "campaign",
    "query",
    "value",
    "order_id",
    "hour",
)


@dataclass(frozen=True, kw_only=True)
class ExampleMaker:
    """A log, and what is to be made of it."""

    log: EventLog
    """The cleaned log."""
    config: ExamplesConfig
    """What the recipe says."""
    history: HistoryConfig
    """Features, as far as the log has what they are made of."""
    events: ir.Table
    """The log's events with what features need besides: session, category and brand."""
    first_s: int
    """Time of the log's first event."""
    end_s: int
    """Time of its last event, up to which horizons can be over."""
    most_events: int | None = None
    """Most events of a visitor before a cut-off that count, the newest; None where nobody has more.
    The log's own rule would drop what was known at a cut-off because of what came later."""

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
        rows = history_features(self._past(cutoff_s), [cutoff_s], self.history)
        rows = self._population(rows, cutoff_s)
        if self.config.customer_columns and self.log.customers is not None:
            customers = self.log.customers.select(VISITOR, *self.config.customer_columns)
            rows = rows.left_join(customers, VISITOR).drop(f"{VISITOR}_right")
        rows = with_goal_labels(rows, self.events, cutoff_s, self.config.goals, end_s=self.end_s)
        return rows.order_by(VISITOR)

    def is_labelled(self, cutoff_s: int) -> bool:
        """Whether the horizon of at least one goal is over."""
        return any(cutoff_s + goal.horizon_s <= self.end_s for goal in self.config.goals)

    def _past(self, cutoff_s: int) -> ir.Table:
        """Events before a cut-off; of a visitor with too many, the newest of those."""
        past = self.events.filter(self.events.time_s < cutoff_s)
        if self.most_events is None:
            return past
        newest = ibis.window(
            group_by=VISITOR, order_by=[ibis.desc(name) for name in (*EVENT_ORDER, "channel")]
        )
        past = past.mutate(_place=ibis.row_number().over(newest))
        return past.filter(past["_place"] < self.most_events).drop("_place")

    def _population(self, rows: ir.Table, cutoff_s: int) -> ir.Table:
        if self.config.having_done:
            is_past = self.events.time_s < cutoff_s
            done = self.events.filter(is_past, self.events.action.isin(self.config.having_done))
            rows = rows.semi_join(done, VISITOR)
        if self.config.active_within_days is not None:
            rows = rows.filter(rows.days_since_last_event <= self.config.active_within_days)
        return rows


def example_maker(config: ExamplesConfig, log: EventLog | None = None) -> ExampleMaker:
    """Open the log of a recipe and see what it has.

    Args:
        config: What the recipe says.
        log: Its log, where it is open already, with all events that a visitor has.

    Raises:
        ValueError: The log cannot be read, has no clock, or lacks an action or a column that the
            recipe names.
    """
    log = log or _opened(config.log)
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
    each = events.group_by(VISITOR).aggregate(n=events.count())
    most, busiest = log.recipe.cleaning.most_events, each.n.max().to_pyarrow().as_py()
    columns, of_items = log.recipe.events.columns, _item_columns(log)
    purchases = tuple(action for action in config.purchase_actions if action in actions)
    if columns.order_id is None and purchases:
        # Stored, because sessions sort all events, and each cut-off asks for them.
        with_numbers = with_sessions(events, log.session_gap_minutes)
        events = stored(with_numbers.select(*_NEEDED, "session"))
    if of_items and log.items is not None:
        items = log.items.select("item_id", *of_items)
        events = events.left_join(items, "item_id").drop("item_id_right")
    return ExampleMaker(
        log=log,
        config=config,
        first_s=min(found["first_s"]),
        end_s=max(found["last_s"]),
        most_events=most if busiest > most else None,
        events=events,
        history=HistoryConfig(
            # Of a single action everything is said by the counts of all events.
            actions=config.actions or (tuple(actions) if len(actions) > 1 else ()),
            windows_days=config.windows_days,
            purchase_actions=purchases,
            with_value=columns.value is not None or columns.price is not None,
            with_items=columns.item_id is not None,
            columns=tuple(
                name for name in PLURALS if name in of_items or getattr(columns, name, None)
            ),
        ),
    )


def _opened(path: str) -> EventLog:
    """A log with all events of each visitor, however many: each cut-off takes its newest ones."""
    recipe = read_log_recipe(path)
    cleaning = replace(recipe.cleaning, most_events=_NO_LIMIT)
    return replace(open_event_log(replace(recipe, cleaning=cleaning)), recipe=recipe)


def _item_columns(log: EventLog) -> tuple[str, ...]:
    """What features need of the items, as far as they have it: category and brand."""
    config = log.recipe.items
    if config is None:
        return ()
    has_category = config.columns.category is not None or config.categories_from_titles > 0
    return ("category",) * has_category + ("brand",) * (config.columns.brand is not None)


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
