"""A Parquet or CSV file of events, as the columns that a journey model's client takes.

pyarrow is imported here; only the verbs that need it import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from penchant.clients.clock import MOST_S
from penchant.clients.column_names import nearest
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.row_source import RowSource, csv_categories
from penchant.clients.spelling import nearest_word

READ_ROWS: Final = 1 << 16
"""Events read at a time."""
UNIT_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
"""Units of times that are numbers, in seconds."""


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """What the columns of a file of events are called."""

    visitor: str = "visitor_id"
    """Who did it."""
    time: str = "time"
    """When: timestamps, text in ISO form, or numbers since 1970."""
    item: str = "item_id"
    """To which item."""
    action: str = "action"
    """What was done; needed where the model knows more than one action."""
    channel: str | None = None
    """Through which channel; by default `channel`, if the file has it."""


@dataclass
class Dropped:
    """Events that were left out, by reason."""

    no_visitor: int = 0
    unknown_action: int = 0
    later_than_now: int = 0

    def __str__(self) -> str:
        counts = {
            "without a visitor": self.no_visitor,
            "of an action that the model does not know": self.unknown_action,
            "later than now": self.later_than_now,
        }
        told = [f"{count:,} {reason}" for reason, count in counts.items() if count]
        return f"; left out: {', '.join(told)}" if told else ""


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """The events of a file, under one contract.

    A table of events has ``visitor`` (as in the file), ``item`` (likewise), ``action`` and
    ``channel`` (text, null for none) and ``time_s`` (float64, seconds since 1970 UTC).
    """

    rows: RowSource
    """The file."""
    contract: JourneyContract
    """Of the model that is asked."""
    columns: dict[str, str]
    """Column of the file by meaning: visitor and time, and of item, action, channel what it has."""
    time_unit: str
    """Unit of times that are numbers: s, ms or us."""
    skip_unknown: bool
    """Whether events of actions that the model does not know are left out."""
    until_s: float | None
    """Time after which events are left out, if any."""
    dropped: Dropped = field(default_factory=Dropped)
    """What was left out so far."""

    def tables(self) -> Iterator[Any]:
        """``pyarrow.Table`` after table of events, in the file's order.

        Raises:
            ValueError: an event without a readable time, or of an action or a channel that the
                model does not know; the message says where.
        """
        first_row = 0
        for raw in self.rows.tables([*self.columns.values()], num_rows=READ_ROWS):
            yield self._events(raw, first_row)
            first_row += raw.num_rows

    def _events(self, raw: Any, first_row: int) -> Any:
        columns = {
            meaning: self._values(raw.column(name)) for meaning, name in self.columns.items()
        }
        for name in ("action", "channel"):
            if name in columns:
                columns[name] = columns[name].cast(pa.string())
        time_s = self._time_s(columns.pop("time"), first_row)
        table = pa.table({**columns, "time_s": time_s})
        table, self.dropped.no_visitor = _kept(
            table, pc.is_valid(table["visitor"]), self.dropped.no_visitor
        )
        if self.until_s is not None:
            is_past = pc.less_equal(table["time_s"], self.until_s)
            table, self.dropped.later_than_now = _kept(table, is_past, self.dropped.later_than_now)
        return self._known(table)

    def _values(self, column: Any) -> Any:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not self.rows.is_csv:
            return column
        texts = csv_categories(column)
        return pc.if_else(pc.equal(texts, ""), None, texts)

    def _known(self, table: Any) -> Any:
        """Without what the model does not know, or refused because of it."""
        for name, known in (("action", self.contract.actions), ("channel", self.contract.channels)):
            if name not in table.column_names:
                continue
            nothing = [None] if name == "channel" or len(known) == 1 else []
            is_known = pc.is_in(table[name], pa.array([*known, *nothing], pa.string()))
            if pc.all(is_known, min_count=0).as_py():
                continue
            if not self.skip_unknown:
                first = table[name].filter(pc.invert(is_known))[0].as_py()
                self._refuse(name, first, known)
            if name == "action":
                table, self.dropped.unknown_action = _kept(
                    table, is_known, self.dropped.unknown_action
                )
            else:
                at = table.column_names.index(name)
                table = table.set_column(at, name, pc.if_else(is_known, table[name], None))
        return table

    def _refuse(self, name: str, value: str | None, known: tuple[str, ...]) -> None:
        near = nearest_word(value or "", known)
        hint = f"did you mean {near!r}?" if near else f"it knows {list(known)}"
        raise ValueError(
            f"{name}: column {self.columns[name]!r} of {self.rows.path} has {value!r}, which the "
            f"model does not know; {hint} --skip_unknown leaves such {name}s out"
        )

    def _time_s(self, column: Any, first_row: int) -> Any:
        try:
            time_s = _seconds(column, self.contract.timezone, self.time_unit)
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"time: column {self.columns['time']!r} of {self.rows.path}, in its rows from "
                f"{first_row} on: expected times or numbers ({error}); mend them, or leave those "
                "rows out"
            ) from error
        is_none = pc.is_null(time_s, nan_is_null=True)
        if pc.any(is_none).as_py():
            at = first_row + int(pc.index(is_none, True).as_py())
            raise ValueError(
                f"time: column {self.columns['time']!r} of {self.rows.path} has none in row {at}; "
                "give it one, or leave that row out"
            )
        if (most_s := pc.max(pc.abs(time_s)).as_py() or 0.0) > MOST_S:
            raise ValueError(
                f"time: column {self.columns['time']!r} of {self.rows.path} reaches {most_s:.0f} "
                "seconds from 1970, beyond the year 5138; say its unit, as in --time_unit ms"
            )
        return time_s


def open_events(
    path: Path,
    contract: JourneyContract,
    *,
    columns: EventColumns,
    time_unit: str,
    skip_unknown: bool,
    until_s: float | None,
) -> EventSource:
    """Look at a file of events, Parquet or CSV; for the rest see :class:`EventSource`.

    Raises:
        ValueError: no such file, or no such column.
    """
    if time_unit not in UNIT_S:
        raise ValueError(f"time_unit: expected one of {', '.join(UNIT_S)}, got {time_unit!r}")
    rows = RowSource.open(path)
    needed = {"visitor": columns.visitor, "time": columns.time, "item": columns.item}
    if len(contract.actions) > 1 or columns.action in rows.columns:
        needed["action"] = columns.action
    if contract.channels and (columns.channel or "channel" in rows.columns):
        needed["channel"] = columns.channel or "channel"
    for meaning, name in needed.items():
        if name not in rows.columns:
            near = nearest(name, rows.columns)
            hint = f"did you mean {near!r}?" if near else f"it has {list(rows.columns)};"
            raise ValueError(
                f"columns.{meaning}: {path} has no column {name!r}; {hint} "
                f"say which it is with --columns.{meaning}"
            )
    return EventSource(
        rows=rows,
        contract=contract,
        columns=needed,
        time_unit=time_unit,
        skip_unknown=skip_unknown,
        until_s=until_s,
    )


def _kept(table: Any, mask: Any, num_dropped: int) -> tuple[Any, int]:
    kept = table.filter(mask)
    return kept, num_dropped + table.num_rows - kept.num_rows


def _seconds(column: Any, timezone: str, unit: str) -> Any:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            column = _timestamps(column)
        kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        return pc.multiply(column.cast(pa.float64()), UNIT_S[unit])
    if kind.tz is None:
        column = pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")
    moments = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
    return pc.multiply(moments.cast(pa.float64()), 1e-6)


def _timestamps(texts: Any) -> Any:
    try:
        return texts.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # perhaps they name their zone
        return texts.cast(pa.timestamp("us", "UTC"))
