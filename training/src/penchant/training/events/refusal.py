"""What is said of a log that is refused: the rule, the first row at fault, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import ibis
import ibis.expr.types as ir

from penchant.training.events.cleaning import RuleCount, alive_rows, flag_rows
from penchant.training.events.log_recipe import LogRecipe
from penchant.training.events.log_tables import column_names

if TYPE_CHECKING:
    from penchant.training.events.event_log import StagedLog

_ROW: Final = "_row"
_LONGEST_VALUE: Final = 60
_WHAT: Final = {
    "no_visitor": "without a visitor",
    "unparsable_time": "with a time that cannot be read",
    "future_time": "later than now, {now}",
    "duplicates": "equal to an earlier one in every mapped column, their times to the second",
    "negative_value": "with a negative price or value",
    "returns": "with a negative quantity or a cancelled order",
    "unknown_item": "with an item that is not in the item table",
    "no_consent": "of a visitor who did not consent",
    "duplicate_keys": "of the item or customer table without a key, or with one of another row",
}
_REMEDY: Final = {
    "unparsable_time": "set events.time_unit to what the column holds, mend those rows, or ",
    "future_time": "check events.time_unit (milliseconds as seconds?) and events.timezone, or ",
    "unknown_item": "add the missing items, or ",
    "duplicate_keys": "keep one row for each key, or ",
}
_KEEPS: Final = (
    "future_time",
    "duplicates",
    "negative_value",
    "returns",
    "unknown_item",
    "no_consent",
)


def refuse_first(log: StagedLog, count: RuleCount) -> NoReturn:
    """Refuse a log for what one rule found.

    Raises:
        ValueError: Always: rule, number of rows, the first of them, what to do.
    """
    now = datetime.fromtimestamp(log.now_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    what = _WHAT[count.rule].format(now=now)
    rows = f"{count.rows:,} rows" if count.rows != 1 else "1 row"
    first = "" if count.rule == "duplicate_keys" else f"; the first is {_first(log, count.rule)}"
    choices = "drop or keep" if count.rule in _KEEPS else "drop"
    remedy = _REMEDY.get(count.rule, "")
    raise ValueError(
        f"cleaning.{count.rule}: {rows} {what}{first}; {remedy}set cleaning.{count.rule} to "
        f"{choices}"
    )


def check_keys(
    recipe: LogRecipe, events: ir.Table, items: ir.Table | None, customers: ir.Table | None
) -> None:
    """Refuse keys of different types, of which no two would ever be equal.

    Raises:
        ValueError: Naming both columns and their types.
    """
    for name, key, table in (("items", "item_id", items), ("customers", "visitor_id", customers)):
        if table is None or getattr(recipe.events.columns, key) is None:
            continue
        kinds = events.schema()[key], table.schema()[key]
        if kinds[0] != kinds[1]:
            theirs = getattr(getattr(recipe, name).columns, key)
            raise ValueError(
                f"{name}.columns.{key}: expected {kinds[0]} in '{theirs}', as in the events' "
                f"'{getattr(recipe.events.columns, key)}', got {kinds[1]}; no text equals a number "
                "('007' is not 7), so store both as text or both as integers"
            )


def check_left(log: StagedLog) -> None:
    """Refuse a log without rows.

    Raises:
        ValueError: Saying whether the table is empty or which rules dropped all.
    """
    counts = log.counts
    if not counts.num_read:
        place = log.tables.places.get("events", "the event table")
        raise ValueError(f"events.table: expected rows in {place}, got an empty table")
    if not counts.num_kept:
        dropped = ", ".join(
            f"{each.rule} {each.dropped:,}" for each in counts.rules if each.dropped
        )
        raise ValueError(
            f"cleaning: no row of {counts.num_read:,} is left ({dropped}); check the columns that "
            "the recipe names and its cleaning rules"
        )


def _first(log: StagedLog, rule: str) -> str:
    """The first row at fault as people find it: its number, counted from 1, and its values."""
    if not log.tables.ordered:
        fault = _at_fault(log.stage(log.tables.events), log, rule).limit(1)
        return _values(fault.to_pyarrow().to_pylist()[0])
    rows = log.tables.events.mutate(**{_ROW: ibis.row_number()})
    faults = _at_fault(log.stage(rows, keep=[_ROW]), log, rule)
    number = int(faults[_ROW].min().to_pyarrow().as_py())
    named = column_names(log.recipe.events.columns)
    values = rows.filter(rows[_ROW] == number).select(*named).to_pyarrow().to_pylist()[0]
    place = log.tables.places.get("events")
    return f"row {number + 1:,}" + (f" of {place}" if place else "") + f": {_values(values)}"


def _at_fault(staged: ir.Table, log: StagedLog, rule: str) -> ir.Table:
    """Staged rows to which a rule applies, those dropped by an earlier rule left out."""
    cleaning = log.recipe.cleaning
    alive = alive_rows(flag_rows(staged, log.faults), cleaning, before=rule)
    if rule != "duplicates":
        return alive.filter(log.faults(alive)[rule])
    keys = [name for name in alive.columns if name != _ROW]
    # The second of equal rows is the first that repeats one: the smallest of those is wanted.
    if _ROW not in alive.columns:
        return (
            alive.group_by(keys).having(lambda t: t.count() > 1).aggregate(_n=lambda t: t.count())
        )
    place = ibis.row_number().over(ibis.window(group_by=keys, order_by=_ROW))
    numbered = alive.mutate(_place=place)
    return numbered.filter(numbered["_place"] > 0)


def _values(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value if isinstance(value, datetime) else repr(value)[:_LONGEST_VALUE]}"
        for name, value in row.items()
        if not name.startswith("_")
    )
