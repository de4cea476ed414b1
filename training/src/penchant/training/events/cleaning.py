"""The cleaning rules of a log: each a named step whose rows are counted, none silent.

Rules are tried in the order of :data:`RULES`; a row that one of them drops is not counted again by
a later one. All counts come from one query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from penchant.training.events.canonical import CANCELLED, PRICE
from penchant.training.events.log_recipe import Cleaning
from penchant.training.events.sessions import EVENT_ORDER

KNOWN_ITEM: Final = "_known_item"
CONSENT: Final = "_consent"
_ROW_RULES: Final = (
    "no_visitor",
    "unparsable_time",
    "future_time",
    "excluded_items",
    "returns",
    "negative_value",
    "unknown_item",
    "no_consent",
)
RULES: Final = (*_ROW_RULES, "duplicates", "most_events")
"""Names of the rules, as in the recipe, in the order in which they are tried."""


@dataclass(frozen=True, kw_only=True)
class RuleCount:
    """What one rule found."""

    rule: str
    """Name of the rule."""
    setting: str
    """drop, keep or refuse, as the recipe says."""
    rows: int
    """Rows it applies to, those dropped by an earlier rule left out."""

    @property
    def dropped(self) -> int:
        """Rows it left out."""
        return self.rows if self.setting == "drop" else 0


@dataclass(frozen=True, kw_only=True)
class CleaningCounts:
    """What cleaning found in a log."""

    num_read: int
    """Rows of the user's table."""
    num_kept: int
    """Rows that are left."""
    rules: tuple[RuleCount, ...]
    """Each rule, in the order in which they were tried."""

    def rows(self, rule: str) -> int:
        """Rows to which a rule applies."""
        return next(count.rows for count in self.rules if count.rule == rule)

    @property
    def refused(self) -> tuple[RuleCount, ...]:
        """Rules that say refuse and found a row."""
        return tuple(count for count in self.rules if count.setting == "refuse" and count.rows)


def setting_of(cleaning: Cleaning, rule: str) -> str:
    """drop, keep or refuse; a rule that has only a limit or a list drops."""
    value = getattr(cleaning, rule)
    return value if isinstance(value, str) else "drop"


def with_references(
    staged: ir.Table, items: ir.Table | None, customers: ir.Table | None
) -> ir.Table:
    """Staged events with whether the item is known and the visitor agreed; null: not asked."""
    known: Any = ibis.null("boolean")
    if items is not None:
        keys = items.select(known_key=items.item_id).distinct()
        staged = staged.left_join(keys, staged.item_id == keys.known_key)
        known = staged.item_id.isnull() | staged.known_key.notnull()
    staged = staged.mutate(**{KNOWN_ITEM: known})
    agreed: Any = ibis.null("boolean")
    if customers is not None:
        keys = customers.select(consent_key=customers.visitor_id, given=customers.consent)
        staged = staged.left_join(keys, staged.visitor_id == keys.consent_key)
        agreed = staged.given.fill_null(False)
    staged = staged.mutate(**{CONSENT: agreed})
    extra = {"known_key", "consent_key", "given"} & set(staged.columns)
    return staged.drop(*extra) if extra else staged


def row_faults(events: ir.Table, cleaning: Cleaning, now_s: int | None) -> dict[str, ir.Value]:
    """Rule to whether a row is at fault, never null, for the rules that need one row alone.

    Args:
        events: Staged events, from :func:`with_references`.
        cleaning: The rules.
        now_s: Now, in seconds since 1970 UTC; None for a log without a clock.
    """
    no = ibis.literal(False)
    returned = (events.quantity < 0).fill_null(False) | events[CANCELLED]
    negative = (events[PRICE] < 0).fill_null(False) | (events.value < 0).fill_null(False)
    excluded = no
    if cleaning.excluded_items:
        excluded = events.item_id.cast("string").isin(cleaning.excluded_items).fill_null(False)
    faults = {
        "no_visitor": events.visitor_id.isnull(),
        "unparsable_time": events.time_s.isnull(),
        "future_time": no if now_s is None else (events.time_s > now_s).fill_null(False),
        "excluded_items": excluded,
        "returns": returned,
        "negative_value": negative & ~returned,
        "unknown_item": ~events[KNOWN_ITEM].fill_null(True),
        "no_consent": ~events[CONSENT].fill_null(True),
    }
    assert tuple(faults) == _ROW_RULES
    return faults


def count_faults(
    staged: ir.Table, cleaning: Cleaning, faults: Callable[[ir.Table], dict[str, ir.Value]]
) -> CleaningCounts:
    """Count what each rule finds, in one query.

    Args:
        staged: Events from :func:`with_references`.
        cleaning: The rules.
        faults: :func:`row_faults`, with all but the table bound.
    """
    flags = {f"_f_{rule}": flag for rule, flag in faults(staged).items()}
    keys = list(staged.columns)
    rows = staged.mutate(**flags)
    dropping = [rule for rule in _ROW_RULES if setting_of(cleaning, rule) != "keep"]
    rows = rows.mutate(_alive=_none_of(rows, dropping))
    if cleaning.duplicates == "keep":
        rows = rows.mutate(_n=ibis.literal(1, type="int64"))
    else:
        rows = rows.group_by([*keys, *flags, "_alive"]).aggregate(_n=lambda t: t.count())
    found = _per_visitor(rows, cleaning)
    most = cleaning.most_events
    total = found.aggregate(
        read=found.read.sum(),
        **{rule: found[rule].sum() for rule in (*_ROW_RULES, "duplicates")},
        kept=found.left.sum(),
        most_events=(found.left > most).ifelse(found.left - most, 0).sum(),
    )
    counted = {name: int(n or 0) for name, n in total.to_pyarrow().to_pylist()[0].items()}
    counts = [
        RuleCount(rule=rule, setting=setting_of(cleaning, rule), rows=counted[rule])
        for rule in RULES
    ]
    return CleaningCounts(
        num_read=counted["read"],
        num_kept=counted["kept"] - counted["most_events"],
        rules=tuple(counts),
    )


def _per_visitor(rows: ir.Table, cleaning: Cleaning) -> ir.Table:
    """Counts of each rule for each visitor; `left` is what the row rules and duplicates leave."""
    counts, before = {}, []
    for rule in _ROW_RULES:
        at_fault = rows[f"_f_{rule}"] & _none_of(rows, before)
        counts[rule] = at_fault.ifelse(rows["_n"], 0).sum()
        if setting_of(cleaning, rule) != "keep":
            before.append(rule)
    alive = rows["_alive"]
    return rows.group_by("visitor_id").aggregate(
        read=rows["_n"].sum(),
        **counts,
        duplicates=alive.ifelse(rows["_n"] - 1, 0).sum(),
        left=alive.ifelse(1, 0).sum(),
    )


def _none_of(rows: ir.Table, rules: list[str]) -> Any:
    alive: Any = ibis.literal(True)
    for rule in rules:
        alive = alive & ~rows[f"_f_{rule}"]
    return alive


def drop_faults(
    staged: ir.Table,
    cleaning: Cleaning,
    faults: Callable[[ir.Table], dict[str, ir.Value]],
    counts: CleaningCounts,
) -> ir.Table:
    """Staged events without the rows that rules drop; a rule that found nothing costs nothing."""
    flags = faults(staged)
    found = {count.rule for count in counts.rules if count.dropped}
    wrong = [flags[rule] for rule in _ROW_RULES if rule in found]
    if wrong:
        staged = staged.filter(*(~flag for flag in wrong))
    if "duplicates" in found:
        staged = staged.distinct()
    if "most_events" in found:
        place = ibis.row_number().over(
            ibis.window(group_by="visitor_id", order_by=[ibis.desc(name) for name in EVENT_ORDER])
        )
        staged = staged.mutate(_place=place)
        staged = staged.filter(staged["_place"] < cleaning.most_events).drop("_place")
    return staged
