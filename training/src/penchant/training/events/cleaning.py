"""The cleaning rules of a log: each a named step whose rows are counted, none silent.

Rules are tried in the order of :data:`RULES`; a row that one of them drops is not counted again by
a later one. All counts come from one query; a rule that found nothing costs nothing later on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from penchant.training.events.canonical import CANCELLED, PRICE
from penchant.training.events.log_recipe import Cleaning
from penchant.training.events.sessions import EVENT_ORDER

KNOWN_ITEM: Final = "_known_item"
CONSENT: Final = "_consent"
_FLAG: Final = "_f_"
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

Faults = Callable[[ir.Table], dict[str, ir.Value]]
"""Rule to whether a row is at fault; :func:`row_faults` with all but the table bound."""


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
        """Rows it leaves out; what it refuses it would leave out, too, if it were not refused."""
        return 0 if self.setting == "keep" else self.rows


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
    def compares_rows(self) -> bool:
        """Whether a rule that looks at several rows at once drops any."""
        return any(
            each.dropped for each in self.rules if each.rule in ("duplicates", "most_events")
        )

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


def count_faults(staged: ir.Table, cleaning: Cleaning, faults: Faults) -> CleaningCounts:
    """Count what each rule finds, in one query.

    Args:
        staged: Events from :func:`with_references`.
        cleaning: The rules.
        faults: :func:`row_faults`, with all but the table bound.
    """
    rows = flag_rows(staged, faults)
    visitors = _per_visitor(rows, cleaning)
    doubled = _doubled(alive_rows(rows, cleaning, before="duplicates"))
    visitors = visitors.left_join(doubled, visitors.visitor_id == doubled.doubled_id)
    visitors = visitors.mutate(duplicates=visitors.num_doubled.fill_null(0))
    left = visitors.left
    if cleaning.duplicates != "keep":
        left = left - visitors.duplicates
    over = left - cleaning.most_events
    total = visitors.aggregate(
        read=visitors.read.sum(),
        **{rule: visitors[rule].sum() for rule in (*_ROW_RULES, "duplicates")},
        kept=left.sum(),
        most_events=(over > 0).ifelse(over, 0).sum(),
    )
    counted = {name: int(n or 0) for name, n in total.to_pyarrow().to_pylist()[0].items()}
    return CleaningCounts(
        num_read=counted["read"],
        num_kept=counted["kept"] - counted["most_events"],
        rules=tuple(
            RuleCount(rule=rule, setting=setting_of(cleaning, rule), rows=counted[rule])
            for rule in RULES
        ),
    )


def flag_rows(staged: ir.Table, faults: Faults) -> ir.Table:
    """Staged events with a truth value `_f_<rule>` for each rule that needs one row alone."""
    return staged.mutate(**{_FLAG + rule: flag for rule, flag in faults(staged).items()})


def alive_rows(flagged: ir.Table, cleaning: Cleaning, *, before: str) -> ir.Table:
    """The rows that no rule tried before this one drops or refuses, without their flags."""
    earlier = RULES[: RULES.index(before)]
    alive = flagged.filter(_none_of(flagged, _dropping(cleaning, earlier)))
    return alive.drop(*(name for name in flagged.columns if name.startswith(_FLAG)))


def _dropping(cleaning: Cleaning, rules: Sequence[str]) -> list[str]:
    return [rule for rule in rules if rule in _ROW_RULES and setting_of(cleaning, rule) != "keep"]


def _per_visitor(flagged: ir.Table, cleaning: Cleaning) -> ir.Table:
    """Counts of each rule for each visitor; `left` is what the rules for single rows leave."""
    counts = {}
    for place, rule in enumerate(_ROW_RULES):
        alive = _none_of(flagged, _dropping(cleaning, _ROW_RULES[:place]))
        counts[rule] = (flagged[_FLAG + rule] & alive).ifelse(1, 0).sum()
    left = _none_of(flagged, _dropping(cleaning, _ROW_RULES))
    return flagged.group_by("visitor_id").aggregate(
        read=flagged.count(), **counts, left=left.ifelse(1, 0).sum()
    )


def _doubled(rows: ir.Table) -> ir.Table:
    """For each visitor who has any, the rows that repeat an earlier one in every column."""
    moments = rows.group_by("visitor_id", "time_s").aggregate(_n=lambda t: t.count())
    moments = moments.filter(moments["_n"] > 1)
    # Most rows are alone in their second; only the others have to be compared in full.
    shared = rows.semi_join(moments, ["visitor_id", "time_s"])
    distinct = shared.group_by(list(rows.columns)).aggregate(_n=lambda t: t.count())
    distinct = distinct.filter(distinct["_n"] > 1)
    return distinct.group_by(doubled_id=distinct.visitor_id).aggregate(
        num_doubled=(distinct["_n"] - 1).sum()
    )


def _none_of(flagged: ir.Table, rules: Sequence[str]) -> Any:
    alive: Any = ibis.literal(True)
    for rule in rules:
        alive = alive & ~flagged[_FLAG + rule]
    return alive


def drop_faults(
    staged: ir.Table, cleaning: Cleaning, faults: Faults, counts: CleaningCounts
) -> ir.Table:
    """Staged events without the rows that rules drop, by those rules that found any."""
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


def unique_keys(table: ir.Table) -> tuple[ir.Table, int]:
    """An item or customer table with each key (its first column) once, and the rows left out.

    Rows without a key are left out too.
    """
    key, *others = table.columns
    total = table.aggregate(rows=table.count(), keys=table[key].nunique()).to_pyarrow()
    extra = int(total["rows"][0].as_py() - total["keys"][0].as_py())
    if extra:
        first = ibis.window(group_by=key, order_by=others)
        table = table.mutate(_place=ibis.row_number().over(first))
        table = table.filter(table["_place"] == 0, table[key].notnull()).drop("_place")
    return table, extra
