"""A user's columns as the columns every later step knows, in Ibis that any backend runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from penchant.training.events.clock import (
    Offsets,
    check_zone,
    clock_seconds,
    hour_of_week,
    utc_seconds,
    zone_offsets,
)
from penchant.training.events.log_recipe import CustomersConfig, EventsConfig, ItemsConfig

EVENT_COLUMNS: Final = (
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
    "quantity",
    "order_id",
    "hour",
)
"""Columns of the canonical event table, in their order."""
PRICE: Final = "_price"
CANCELLED: Final = "_cancelled"
_WORDS: Final = ("channel", "device", "source", "campaign", "query", "order_id")
_MOST_INT64: Final = 2**63 - 1
_MOST_FLOAT: Final = 2**53
_TRUE_WORDS: Final = ("true", "t", "yes", "y", "1")


def offsets_of(rows: ir.Table, config: EventsConfig) -> Offsets | None:
    """Offsets of the log's zone over the span of its events; None where time has no clock."""
    if config.time_unit == "order":
        return None
    zone = check_zone(config.timezone)
    if config.timezone == "UTC":
        return [(0, 0)]
    seconds, _ = clock_seconds(rows[config.columns.time], config.time_unit)
    span = rows.aggregate(low=seconds.min(), high=seconds.max()).to_pyarrow().to_pylist()[0]
    return zone_offsets(zone, span["low"] or 0, span["high"] or 0)


def canonical_events(
    rows: ir.Table, config: EventsConfig, offsets: Offsets | None, *, keep: Sequence[str] = ()
) -> ir.Table:
    """The event table with canonical columns, the hour left out, and two for the cleaning rules.

    Args:
        rows: The user's table.
        config: What its columns mean.
        offsets: Of its zone, from :func:`offsets_of`.
        keep: Further columns of the table that stay.

    Returns:
        EVENT_COLUMNS without `hour`, the price of a piece as `_price` and whether the order is a
        cancellation as `_cancelled`.

    Raises:
        ValueError: A column's type is not what it is said to be.
    """
    columns = config.columns
    seconds, is_utc = clock_seconds(rows[columns.time], config.time_unit)
    if offsets is not None and is_utc is not True:
        local = utc_seconds(seconds, offsets)
        seconds = local if is_utc is False else is_utc.ifelse(seconds, local)
    words = {name: _text(rows, getattr(columns, name)) for name in _WORDS}
    price, value, quantity = (
        number_column(rows, getattr(columns, name), f"events.columns.{name}")
        for name in ("price", "value", "quantity")
    )
    if columns.value is None and columns.price is not None:
        value = price * quantity.coalesce(1.0)
    cancelled = ibis.literal(False)
    if config.cancelled_order is not None:
        cancelled = words["order_id"].re_search(config.cancelled_order).fill_null(False)
    return rows.select(
        visitor_id=id_column(rows, columns.visitor_id, "events.columns.visitor_id"),
        time_s=seconds,
        action=_action(rows, config),
        item_id=(
            ibis.null("string")
            if columns.item_id is None
            else id_column(rows, columns.item_id, "events.columns.item_id")
        ),
        **{name: words[name] for name in _WORDS[:-1]},
        value=value,
        quantity=quantity,
        order_id=words["order_id"],
        **{PRICE: price, CANCELLED: cancelled},
        **{name: rows[name] for name in keep},
    )


def with_hour(events: ir.Table, offsets: Offsets | None) -> ir.Table:
    """Canonical events with the hour of the week, and nothing but EVENT_COLUMNS."""
    hour = ibis.null("int32") if offsets is None else hour_of_week(events.time_s, offsets)
    return events.mutate(hour=hour).select(*EVENT_COLUMNS)


def canonical_items(rows: ir.Table, config: ItemsConfig) -> ir.Table:
    """The item table with canonical columns; keys may still be missing or doubled."""
    columns = config.columns
    return rows.select(
        item_id=id_column(rows, columns.item_id, "items.columns.item_id"),
        category=_text(rows, columns.category),
        brand=_text(rows, columns.brand),
        price=number_column(rows, columns.price, "items.columns.price"),
        title=ibis.null("string")
        if columns.title is None
        else rows[columns.title].cast("string").strip().nullif(""),
    )


def canonical_customers(rows: ir.Table, config: CustomersConfig) -> ir.Table:
    """The customer table with canonical columns; keys may still be missing or doubled."""
    columns = config.columns
    return rows.select(
        visitor_id=id_column(rows, columns.visitor_id, "customers.columns.visitor_id"),
        consent=_truth(rows, columns.consent),
        **{
            name: number_column(rows, name, "customers.columns.numeric") for name in columns.numeric
        },
        **{name: _text(rows, name) for name in columns.categorical},
    )


def id_column(rows: ir.Table, name: str, field: str) -> ir.Value:
    """An id as int64 or text; empty text and NaN are no id.

    Raises:
        ValueError: Its type is neither, or numbers are among it that are not whole or too large.
    """
    column = rows[name]
    kind = column.type()
    if kind.is_uint64() or kind.is_decimal():
        return _whole(rows, column, field, most=_MOST_INT64)
    if kind.is_integer():
        return column.cast("int64")
    if kind.is_string():
        return column.nullif("")
    if kind.is_uuid():
        return column.cast("string")
    if kind.is_floating():
        number = column.cast("float64")
        given = number.isnan().ifelse(ibis.null("float64"), number)
        return _whole(rows, given, field, most=_MOST_FLOAT)
    raise ValueError(f"{field}: expected text or integers in '{name}', got {kind}; cast the column")


def _whole(rows: ir.Table, number: Any, field: str, *, most: int) -> ir.Value:
    """Whole numbers that are not stored as int64, as pandas stores integers with gaps.

    `most` is the largest that the type and int64 both hold exactly: beyond it two ids become one.
    """
    far = (number > most) | (number < -most)
    near = far.ifelse(ibis.null(number.type()), number)  # only these have a floor in int64
    whole = near if number.type().is_integer() else near.floor()
    wrong = far | (number != whole)
    broken = rows.filter(wrong).limit(1).select(id=number).to_pyarrow()
    if broken.num_rows:
        raise ValueError(
            f"{field}: expected text or whole numbers up to {most:,}, got "
            f"{broken['id'][0].as_py()}; store ids with a fraction, and larger ones, as text"
        )
    return whole.cast("int64")


def number_column(rows: ir.Table, name: str | None, field: str) -> Any:
    """A column as float64, NaN as null; nulls where the table has none.

    Raises:
        ValueError: It holds text that is no number.
    """
    if name is None:
        return ibis.null("float64")
    column = rows[name]
    if column.type().is_string():
        number = column.strip().nullif("").try_cast("float64")
        wrong = rows.filter(number.isnull() & (column.strip() != "")).select(name).limit(1)
        found = wrong.to_pyarrow()
        if found.num_rows:
            raise ValueError(
                f"{field}: expected numbers in '{name}', got {found[name][0].as_py()!r}; write "
                "numbers with a decimal point and no unit"
            )
    elif column.type().is_numeric():
        number = column.cast("float64")
    else:
        raise ValueError(f"{field}: expected numbers in '{name}', got {column.type()}")
    return number.isnan().ifelse(ibis.null("float64"), number)


def _text(rows: ir.Table, name: str | None) -> Any:
    if name is None:
        return ibis.null("string")
    return rows[name].cast("string").nullif("")


def _action(rows: ir.Table, config: EventsConfig) -> Any:
    if config.columns.action is None:
        return ibis.literal(config.default_action)
    action = _text(rows, config.columns.action).coalesce(ibis.literal(config.default_action))
    if not config.actions:
        return action
    return action.cases(*config.actions.items(), else_=action)


def _truth(rows: ir.Table, name: str | None) -> Any:
    if name is None:
        return ibis.null("boolean")
    column = rows[name]
    if column.type().is_string():
        return column.lower().isin(_TRUE_WORDS)
    return column.cast("boolean")
