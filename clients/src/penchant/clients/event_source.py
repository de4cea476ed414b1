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

from penchant.clients.column_names import nearest
from penchant.clients.event_columns import (
    UNIT_S,
    check_kinds,
    ids,
    is_far,
    seconds,
    texts,
    written_ids,
)
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.row_source import RowSource, csv_categories
from penchant.clients.spelling import nearest_word

READ_ROWS: Final = 1 << 16
"""Events read at a time."""


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

    A table of events has ``visitor`` (text or int64), ``item`` (as the model has them), ``action``
    and ``channel`` (text), all null for none, and ``time_s`` (float64, seconds since 1970 UTC).
    """

    rows: RowSource
    """The file."""
    contract: JourneyContract
    """Of the model that is asked."""
    columns: dict[str, str]
    """Column of the file by meaning: visitor and time, and of item, action, channel what it has."""
    time_unit: str
    """Unit of times that are numbers: s, ms, us or ns."""
    skip_unknown: bool
    """Whether events of actions that the model does not know are left out."""
    until_s: float | None
    """Time after which events are left out, if any."""
    only: str | None = None
    """The visitor whose events alone are wanted, if any."""
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
            meaning: self._values(meaning, raw.column(name), first_row)
            for meaning, name in self.columns.items()
        }
        table = pa.table(columns).rename_columns({"time": "time_s"})
        if self.only is not None:
            chosen = pc.equal(table["visitor"].cast(pa.string()), self.only)
            table = table.filter(chosen)
        table, self.dropped.no_visitor = _kept(
            table, pc.is_valid(table["visitor"]), self.dropped.no_visitor
        )
        if self.until_s is not None:
            is_past = pc.less_equal(table["time_s"], self.until_s)
            table, self.dropped.later_than_now = _kept(table, is_past, self.dropped.later_than_now)
        return self._known(table)

    def _values(self, meaning: str, column: Any, first_row: int) -> Any:
        place = f"{meaning}: column {self.columns[meaning]!r} of {self.rows.path}"
        try:
            if meaning == "time":
                return self._time_s(column, place, first_row)
            if meaning in ("action", "channel"):
                return texts(column)
            if not self.rows.is_csv:
                return ids(column)
            if meaning == "visitor":
                return texts(csv_categories(column))
            return written_ids(column, self.contract, lambda at: f"{place} in row {first_row + at}")
        except pa.ArrowInvalid as error:
            expected = "times or numbers" if meaning == "time" else "text in UTF-8 or integers"
            raise ValueError(
                f"{place}, in its rows from {first_row} on: expected {expected} ({error}); mend "
                "them, or leave those rows out"
            ) from error

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

    def _time_s(self, column: Any, place: str, first_row: int) -> Any:
        time_s = seconds(column, self.contract.timezone, self.time_unit)
        is_none = pc.is_null(time_s, nan_is_null=True)
        if pc.any(is_none).as_py():
            at = first_row + int(pc.index(is_none, True).as_py())
            raise ValueError(f"{place} has none in row {at}; give it one, or leave that row out")
        far = is_far(time_s)
        if pc.any(far).as_py():
            at = int(pc.index(far, True).as_py())
            raise ValueError(
                f"{place} has {column[at].as_py()} in row {first_row + at}, before the year 2 or "
                "beyond 5138; say the unit of numbers, as in --time_unit ms, or leave that row out"
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
    only: str | None = None,
) -> EventSource:
    """Look at a file of events, Parquet or CSV; for the rest see :class:`EventSource`.

    Raises:
        ValueError: no such file, no such column, or one of a type that cannot have its meaning.
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
    if not rows.is_csv:
        check_kinds(rows.schema, needed, contract, path)
    return EventSource(
        rows=rows,
        contract=contract,
        columns=needed,
        time_unit=time_unit,
        skip_unknown=skip_unknown,
        until_s=until_s,
        only=only,
    )


def _kept(table: Any, mask: Any, num_dropped: int) -> tuple[Any, int]:
    kept = table.filter(mask)
    return kept, num_dropped + table.num_rows - kept.num_rows
