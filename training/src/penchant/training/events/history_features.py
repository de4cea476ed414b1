"""What is known of a visitor just before a moment, as one Ibis query over her events.

A row stands for a visitor at a cut-off time t. Everything in it is made of events strictly before
t: the one place where events are taken is :func:`_past`. Expressions are tested to give the same on
DuckDB and on Spark: group-bys with conditional aggregates; a window costs a column, not a pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ibis
import ibis.expr.types as ir

VISITOR: Final = "visitor_id"
CUTOFF: Final = "cutoff_s"
KEYS: Final = (VISITOR, CUTOFF)
"""A row's key: who, and the cut-off in seconds since 1970 UTC."""
DAY_S: Final = 86_400
PLURALS: Final = {
    "category": "categories",
    "brand": "brands",
    "channel": "channels",
    "device": "devices",
    "source": "sources",
    "campaign": "campaigns",
    "query": "queries",
}
"""Columns whose values are counted, and the word for several of them."""
_QUERY: Final = "query"
"""The column whose values are too many to be categories: only counted."""
_OF_A_VISIT: Final = ("device", "source", "campaign")
"""Columns of which the newest value is told, too: what brought her last, and what she holds now."""
_TOGETHER: Final = (("category", "brand"), ("channel", "device", "source", "campaign"))
"""Columns for which events are read once: a visitor has few combinations of their values."""
_DAY_PARTS: Final = (("night", 0), ("morning", 6), ("afternoon", 12), ("evening", 18))
"""Parts of the day, six hours each, and the hour at which each begins."""


@dataclass(frozen=True, kw_only=True)
class HistoryConfig:
    """Which features are made; each list and flag has a fixed set of columns."""

    actions: tuple[str, ...]
    """Actions that are counted one by one."""
    windows_days: tuple[int, ...] = (1, 7, 30, 90, 365)
    """Lengths of the windows before the cut-off."""
    purchase_actions: tuple[str, ...] = ("purchase",)
    """Actions that are purchases, for orders and what they were worth; none: no such features."""
    with_value: bool = True
    """Whether events have a value."""
    with_items: bool = True
    """Whether events have items."""
    columns: tuple[str, ...] = ("channel",)
    """Which of `PLURALS` events have; category and brand are joined from the items."""
    with_hours: bool = True
    """Whether events have an hour of the week."""

    def __post_init__(self) -> None:
        """Refuse actions whose columns would have one name."""
        words = Counter(map(_word, self.actions))
        twice = [action for action in self.actions if words[_word(action)] > 1]
        if twice:
            raise ValueError(
                f"actions: the feature columns of {', '.join(map(repr, twice))} would have the "
                "same names; map one onto the other in events.actions of the log recipe"
            )

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric features, in their order."""
        windows = [*(f"{days}d" for days in self.windows_days), "ever"]
        names = [f"events_{window}" for window in windows]
        for word in map(_word, self.actions):
            names += [*(f"{word}_{window}" for window in windows), f"days_since_{word}"]
        names += ["days_since_first_event", "days_since_last_event", "active_days", "mean_gap_days"]
        if self.purchase_actions:
            names += [f"orders_{window}" for window in windows]
            names += ["days_since_first_order", "days_since_last_order", "mean_order_gap_days"]
        if self.purchase_actions and self.with_value:
            names += [f"value_{window}" for window in windows]
            names += ["basket_mean", "basket_max", "basket_last"]
        names += ["distinct_items"] * self.with_items
        names += [f"distinct_{PLURALS[column]}" for column in self.columns]
        if self.with_hours:
            names += ["share_weekend", *(f"share_{part}" for part, _ in _DAY_PARTS)]
        return tuple(names)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical features, in their order."""
        favourites = (f"favourite_{name}" for name in self.columns if name != _QUERY)
        return (*favourites, *(f"last_{name}" for name in self.columns if name in _OF_A_VISIT))


def history_features(events: ir.Table, cutoffs: Sequence[int], config: HistoryConfig) -> ir.Table:
    """Features of every visitor with at least one event before a cut-off, a row each.

    Windows reach from the cut-off back, its own moment left out: [t - days, t). Recency is in days
    and missing where the action never was; days with events are those of UTC. A basket is an
    order, else a session (with a column `session`), else a moment. The favourite category, channel
    and so on is that of most events, the last device, source and campaign that of the newest event
    that has one; of several it is the first by name. Of two baskets at one moment the more valuable
    is the last.

    Several cut-offs are a union of one query each; events that are joined with all cut-offs at
    once took longer and more memory. To write the rows of many, ask for one after the other.

    Args:
        events: Canonical events, perhaps with `session`, `category` and `brand`.
        cutoffs: Moments in seconds since 1970 UTC, no two the same.
        config: Which features.

    Returns:
        `visitor_id`, `cutoff_s`, then the numeric (int64 or float64) and the categorical features
        (string) in the configuration's order.
    """
    tables = [_at(events, int(cutoff_s), config) for cutoff_s in cutoffs]
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def _at(events: ir.Table, cutoff_s: int, config: HistoryConfig) -> ir.Table:
    past = _past(events, cutoff_s)
    table = _by_action(past, config)
    parts = [_by_day(past)]
    if config.purchase_actions:
        parts.append(_by_basket(past, config))
    if config.with_items:
        parts.append(_distinct(past, "item_id", "distinct_items"))
    parts += _of_values(past, config.columns)
    for part in parts:
        table = left_join(table, part)
    # No such event is a count of nothing; a time since it stays missing.
    zero: dict[str, float] = {
        name: 0 for name in config.numeric if name.startswith(("orders_", "distinct_"))
    }
    zero |= {name: 0.0 for name in config.numeric if name.startswith("value_")}
    table = table.mutate(**{name: table[name].fill_null(value) for name, value in zero.items()})
    return table.select(*KEYS, *config.numeric, *config.categorical)


def left_join(table: ir.Table, part: ir.Table) -> ir.Table:
    """The table with the part's columns beside it, by visitor and cut-off."""
    return table.left_join(part, list(KEYS)).drop(*(f"{key}_right" for key in KEYS))


def _past(events: ir.Table, cutoff_s: int) -> ir.Table:
    """Events before a cut-off, with their age in seconds, which is above 0."""
    past = events.filter(events.time_s < cutoff_s)
    moment = ibis.literal(cutoff_s).cast("int64")
    return past.mutate(**{CUTOFF: moment}, age_s=moment - past.time_s)


def _by_action(past: ir.Table, config: HistoryConfig) -> ir.Table:
    """Counts by action and window, first by visitor and action, then a row for each visitor.

    The first step is over all events and has a dozen aggregates; the second, which has one for
    each column, is over the few actions of a visitor.
    """
    weekday, hour = past.hour // 24, past.hour % 24
    hours = {"weekend": past.count(where=weekday >= 5), "clock": past.hour.count()} | {
        part: past.count(where=(hour >= begin) & (hour < begin + 6)) for part, begin in _DAY_PARTS
    }
    grouped = past.group_by(*KEYS, "action").aggregate(
        **{
            f"n_{days}d": past.count(where=past.age_s <= days * DAY_S)
            for days in config.windows_days
        },
        n_ever=past.count(),
        youngest_s=past.age_s.min(),
        oldest_s=past.age_s.max(),
        **(hours if config.with_hours else {}),
    )
    windows = [*(f"{days}d" for days in config.windows_days), "ever"]
    found = {f"events_{w}": grouped[f"n_{w}"].sum().cast("int64") for w in windows}
    for action in config.actions:
        same, word = grouped.action == action, _word(action)
        for w in windows:
            found[f"{word}_{w}"] = grouped[f"n_{w}"].max(where=same).fill_null(0)
        found[f"days_since_{word}"] = grouped.youngest_s.max(where=same) / DAY_S
    found["days_since_first_event"] = grouped.oldest_s.max() / DAY_S
    found["days_since_last_event"] = grouped.youngest_s.min() / DAY_S
    if config.with_hours:
        clock = grouped.clock.sum().nullif(0)
        for part in ("weekend", *(part for part, _ in _DAY_PARTS)):
            found[f"share_{part}"] = grouped[part].sum().cast("float64") / clock.cast("float64")
    return grouped.group_by(*KEYS).aggregate(**found)


def _by_day(past: ir.Table) -> ir.Table:
    """Days with events, and the mean number of days from one to the next."""
    days = past.mutate(day=(past.time_s // DAY_S).cast("int64")).select(*KEYS, "day").distinct()
    count = days.count()
    gaps = (count - 1).nullif(0)
    return days.group_by(*KEYS).aggregate(
        active_days=count, mean_gap_days=(days.day.max() - days.day.min()) / gaps
    )


def _by_basket(past: ir.Table, config: HistoryConfig) -> ir.Table:
    """Orders by window, the time between them, and what they were worth."""
    bought = past.filter(past.action.isin(config.purchase_actions))
    else_basket = (
        ibis.literal("session ") + bought.session.cast("string")
        if "session" in bought.columns
        else ibis.literal("time ") + bought.time_s.cast("string")
    )
    bought = bought.mutate(basket=ibis.coalesce(bought.order_id, else_basket))
    inside = {days: bought.age_s <= days * DAY_S for days in config.windows_days}
    baskets = bought.group_by(*KEYS, "basket").aggregate(
        youngest_s=bought.age_s.min(),
        v_ever=bought["value"].sum(),
        **{f"v_{days}d": bought["value"].sum(where=inside[days]) for days in inside},
    )
    count = baskets.count()
    gaps = (count - 1).nullif(0)
    oldest_s, youngest_s = baskets.youngest_s.max(), baskets.youngest_s.min()
    found = {
        f"orders_{days}d": baskets.count(where=baskets.youngest_s <= days * DAY_S)
        for days in config.windows_days
    }
    found |= {
        "orders_ever": count,
        "days_since_first_order": oldest_s / DAY_S,
        "days_since_last_order": youngest_s / DAY_S,
        "mean_order_gap_days": (oldest_s - youngest_s) / (gaps * DAY_S),
    }
    orders = baskets.group_by(*KEYS).aggregate(**found)
    return left_join(orders, _worth(baskets, config)) if config.with_value else orders


def _worth(baskets: ir.Table, config: HistoryConfig) -> ir.Table:
    """Money by window, and the value of baskets that have one: mean, highest, last."""
    windows = [*(f"{days}d" for days in config.windows_days), "ever"]
    # One basket a moment first, so that the last one is the same on every backend.
    valued = baskets.filter(baskets.v_ever.notnull())
    moments = valued.group_by(*KEYS, "youngest_s").aggregate(
        **{f"v_{w}": valued[f"v_{w}"].sum() for w in windows},
        largest=valued.v_ever.max(),
        num_baskets=valued.count(),
    )
    return moments.group_by(*KEYS).aggregate(
        **{f"value_{w}": _money(moments[f"v_{w}"].sum()) for w in windows},
        basket_mean=_money(moments.v_ever.sum()) / moments.num_baskets.sum().cast("float64"),
        basket_max=_money(moments.largest.max()),
        basket_last=_money(moments.largest.argmin(moments.youngest_s)),
    )


def _money(total: ir.NumericValue) -> ir.NumericValue:
    """A sum without what the order of its parts left in it, so that rows are the same each time."""
    return total.round(4)


def _distinct(past: ir.Table, column: str, name: str) -> ir.Table:
    """How many different values of a column."""
    seen = past.filter(past[column].notnull()).select(*KEYS, column).distinct()
    return seen.group_by(*KEYS).aggregate(**{name: seen.count()})


def _of_values(past: ir.Table, columns: Sequence[str]) -> list[ir.Table]:
    """What is told of the values of each column."""
    parts = [_distinct(past, _QUERY, f"distinct_{PLURALS[_QUERY]}")] if _QUERY in columns else []
    for group in _TOGETHER:
        names = [name for name in group if name in columns]
        if names:
            seen = past.group_by(*KEYS, *names).aggregate(n=past.count(), age_s=past.age_s.min())
            parts += [_values(seen, name) for name in names]
    return parts


def _values(seen: ir.Table, column: str) -> ir.Table:
    """How many different values of a column, that of most events, and that of the newest."""
    known = seen.filter(seen[column].notnull())
    counted = known.group_by(*KEYS, column).aggregate(n=known.n.sum(), age_s=known.age_s.min())
    # One value for each count first: then the highest count has one value, whatever the backend.
    tied = counted.group_by(*KEYS, "n").aggregate(
        first=counted[column].min(), values=counted.count()
    )
    found = tied.group_by(*KEYS).aggregate(
        **{
            f"distinct_{PLURALS[column]}": tied["values"].sum().cast("int64"),
            f"favourite_{column}": tied["first"].argmax(tied.n),
        }
    )
    if column not in _OF_A_VISIT:
        return found
    newest = counted.group_by(*KEYS, "age_s").aggregate(first=counted[column].min())
    last = newest["first"].argmin(newest.age_s)
    return left_join(found, newest.group_by(*KEYS).aggregate(**{f"last_{column}": last}))


def _word(action: str) -> str:
    """An action as part of a column's name: letters and digits of any script, else _."""
    return re.sub(r"\W+", "_", action)
