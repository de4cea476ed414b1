"""From an event log to journeys: ordered by the database, streamed, written column by column.

The log may be larger than memory: what is held is one batch of rows, the visitors' ids and offsets,
and the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penchant.training.events.event_log import EventLog
from penchant.training.events.sessions import EVENT_ORDER
from penchant.training.journeys.build_catalogue import build_catalogue, list_codes
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.growing_column import GrowingColumn
from penchant.training.journeys.journeys import LISTS, Journeys
from penchant.training.journeys.ties import draw_order_of_ties

BATCH_ROWS: Final = 500_000
"""Events that are read at a time."""
MOST_NAMES: Final = 255
"""Most actions, and most channels: their codes are one byte."""


def build_journeys(
    log: EventLog,
    folder: Path,
    *,
    before_s: int | None = None,
    catalogue: Catalogue | None = None,
) -> tuple[Journeys, Catalogue]:
    """Write the journeys of a log, with the catalogue beside them.

    Args:
        log: The opened log.
        folder: Where the columns are written, one ``.npy`` file each; made if missing.
        before_s: Only events before this moment (`time_s`) are taken; None takes all.
        catalogue: Items to encode by; None makes one from the log's items, or from the items of
            the events taken where the log has no item table.

    Returns:
        The journeys, memory-mapped, visitors in the order of their ids and the events of each by
        time, those of one moment in an order that is drawn (see ties.py); and the catalogue.

    Raises:
        ValueError: There is no event, or there are more actions or channels than codes.
    """
    events = log.events if before_s is None else log.events.filter(log.events.time_s < before_s)
    actions = names_by_frequency(events, "action")
    if not actions:
        before = "" if before_s is None else f" before time {before_s}"
        raise ValueError(f"events: expected at least one{before}, got none; look at the cleaning")
    channels = names_by_frequency(events, "channel")
    if catalogue is None:
        catalogue = build_catalogue(log, events)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LISTS).unlink(missing_ok=True)  # a folder without lists is not whole
    gap_s = log.recipe.session_gap_minutes * 60 if log.has_clock else None
    writer = _Writer(folder, catalogue, actions, channels, gap_s)
    with closing(writer):
        for batch in _ordered(events):
            writer.write(batch)
    catalogue.save(folder)
    writer.finish()
    if log.has_clock:
        draw_order_of_ties(folder)
    Journeys.save_lists(
        folder,
        actions=actions,
        channels=channels,
        timezone=log.recipe.events.timezone,
        has_clock=log.has_clock,
    )
    return Journeys.open(folder), catalogue


def names_by_frequency(events: ir.Table, column: str) -> tuple[str, ...]:
    """The different values of a text column, the most frequent first.

    Raises:
        ValueError: There are more than one byte can tell apart.
    """
    counts = events.filter(events[column].notnull()).group_by(column).agg(count=ibis._.count())
    table = counts.order_by([ibis.desc("count"), column]).limit(MOST_NAMES + 1).to_pyarrow()
    names = tuple(table[column].to_pylist())
    if len(names) > MOST_NAMES:
        raise ValueError(
            f"events.columns.{column}: expected at most {MOST_NAMES} different values, got more "
            f"(as in {', '.join(map(repr, names[-3:]))}); map rare ones onto fewer"
        )
    return names


def _ordered(events: ir.Table) -> Iterator[pa.RecordBatch]:
    columns = ("visitor_id", *EVENT_ORDER, "channel")
    ordered = events.select(*columns).order_by(["visitor_id", *EVENT_ORDER])
    backend = ordered.get_backend()
    if backend.name != "duckdb" or hasattr(backend.con, "fetch_record_batch"):
        yield from ordered.to_pyarrow_batches(chunk_size=BATCH_ROWS)
        return
    # Ibis 12 streams by a method that connections of DuckDB 2 no longer have.
    with backend.con.sql(backend.compile(ordered)).to_arrow_reader(BATCH_ROWS) as reader:
        yield from reader


class _Writer:
    """Takes ordered batches and writes the columns of the journeys."""

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        actions: tuple[str, ...],
        channels: tuple[str, ...],
        gap_s: float | None,
    ) -> None:
        self.folder, self.catalogue, self.gap_s = folder, catalogue, gap_s
        self.actions, self.channels = actions, channels
        kinds = {"item": "i4", "action": "u1", "channel": "u1", "time_s": "i8", "session": "i4"}
        self.columns = {
            name: GrowingColumn(folder / f"{name}.npy", np.dtype(kind))
            for name, kind in kinds.items()
        }
        self.visitors: list[pa.Array] = []
        self.starts: list[npt.NDArray[np.int64]] = []
        self.last_visitor: Any = None
        self.last_time, self.last_session = 0, 0

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        visitor, time = batch["visitor_id"], batch["time_s"].to_numpy(zero_copy_only=False)
        begins = np.empty(len(time), np.bool_)
        begins[0] = visitor[0].as_py() != self.last_visitor
        changed = pc.not_equal(visitor.slice(1), visitor.slice(0, len(time) - 1))
        begins[1:] = changed.to_numpy(zero_copy_only=False)
        session = self._sessions(time, begins)
        self.visitors.append(visitor.filter(pa.array(begins)))
        self.starts.append(np.flatnonzero(begins) + self.columns["item"].length)
        self.columns["item"].append(self.catalogue.encode_arrow(batch["item_id"]))
        for name, names in (("action", self.actions), ("channel", self.channels)):
            self.columns[name].append(list_codes(batch[name], names, 1))
        self.columns["time_s"].append(time)
        self.columns["session"].append(session)
        self.last_visitor = visitor[len(time) - 1].as_py()
        self.last_time, self.last_session = int(time[-1]), int(session[-1])

    def _sessions(
        self, time: npt.NDArray[np.int64], begins: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Number of the session within the visitor, going on from the batch before."""
        if self.gap_s is None:
            return np.zeros(len(time), np.int64)
        pause = np.diff(time, prepend=self.last_time)
        so_far = np.cumsum(~begins & (pause > self.gap_s)) + self.last_session
        started = np.maximum.accumulate(np.where(begins, np.arange(len(time)), -1))
        return so_far - np.where(started >= 0, so_far[started], 0)

    def close(self) -> None:
        for column in self.columns.values():
            column.close()

    def finish(self) -> None:
        events = self.columns["item"].length
        np.save(self.folder / "visitor_id.npy", _plain(self.visitors), allow_pickle=False)
        np.save(self.folder / "offsets.npy", np.concatenate([*self.starts, [events]]))


def _plain(ids: list[pa.Array]) -> npt.NDArray[Any]:
    """Ids as int64 or ``<U``, one after another."""
    values: npt.NDArray[Any] = pa.concat_arrays(ids).to_numpy(zero_copy_only=False)
    return values.astype(np.int64) if values.dtype.kind in "iu" else values.astype(np.str_)
