"""The events of a file put together by visitor, in bounded memory, whatever the file's order.

Events are dealt out to files by a hash of their visitor, so that all of a visitor's are in one, and
each file is small enough to be sorted in memory. What is made stays until the run is over, so that
a run that was interrupted finds the visitors in the same order.
"""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penchant.clients.event_source import EventSource
from penchant.clients.histories import Histories

BUCKET_EVENTS: Final = 500_000
"""Events of a bucket, about."""
EVENT_BYTES: Final = 30
"""Bytes of an event in a CSV, about."""
MOST_BUCKETS: Final = 256
"""Most files open at a time."""
_META: Final = "buckets.json"


@dataclass(frozen=True)
class Visitors:
    """Some visitors and their histories."""

    visitor: Any
    """``pyarrow`` array of B ids, as in the file."""
    histories: Histories
    """What they did."""


@dataclass(frozen=True)
class EventBuckets:
    """A folder of buckets."""

    folder: Path
    num_buckets: int
    num_events: int
    dropped: str
    """What was left out, for a message."""
    latest_s: float
    """Time of the newest event."""
    begun_s: float
    """When the run began."""

    @classmethod
    def fill(
        cls, folder: Path, source: EventSource, advance: Callable[[int], None]
    ) -> EventBuckets:
        """Deal the events of a file out, unless that was done.

        Args:
            folder: where to; it appears once all is done.
            source: the file.
            advance: told of events as they are read.

        Raises:
            ValueError: an event that cannot be taken, or no event at all.
        """
        if not (folder / _META).exists():
            temporary = folder.with_name(folder.name + ".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.mkdir(parents=True)
            meta = _deal(temporary, source, advance)
            (temporary / _META).write_text(json.dumps(meta))
            temporary.rename(folder)
        return cls(folder, **json.loads((folder / _META).read_text()))

    def visitors(self, num_visitors: int, *, skip: int) -> Iterator[Visitors]:
        """Pieces of ``num_visitors``, the last one of a bucket perhaps smaller.

        Args:
            num_visitors: of a piece.
            skip: visitors to leave out at the start.
        """
        for at in range(self.num_buckets):
            path = _path(self.folder, at)
            with pa.OSFile(str(path)) as file:
                table = pa.ipc.open_stream(file).read_all().combine_chunks()
            if table.num_rows == 0:
                continue
            table = table.take(pc.sort_indices(table["visitor"]))  # stable
            starts = _starts(table["visitor"])
            first, skip = min(skip, len(starts)), max(0, skip - len(starts))
            bounds = np.append(starts, table.num_rows)
            for begin in range(first, len(starts), num_visitors):
                end = min(begin + num_visitors, len(starts))
                yield _piece(table, bounds[begin : end + 1])


def one_visitor(source: EventSource) -> tuple[Visitors, float]:
    """The history of the one visitor of a source, and when its newest event was.

    Raises:
        ValueError: if the file has no event of that visitor.
    """
    tables = list(source.tables())
    found = pa.concat_tables(tables).combine_chunks() if tables else None
    if found is None or found.num_rows == 0:
        raise ValueError(
            f"visitor: {source.rows.path} has no event of {source.only!r} to go by{source.dropped}"
        )
    piece = _piece(found, np.array([0, found.num_rows]))
    return piece, float(pc.max(found["time_s"]).as_py())


def _deal(folder: Path, source: EventSource, advance: Callable[[int], None]) -> dict[str, Any]:
    num_events = source.rows.num_rows or source.rows.path.stat().st_size // EVENT_BYTES
    num_buckets = min(MOST_BUCKETS, 1 + num_events // BUCKET_EVENTS)
    num_events, latest_s = 0, -np.inf
    with ExitStack() as stack:
        writers: list[Any] = []
        for table in source.tables():
            if not writers:
                writers = [
                    _open(stack, _path(folder, at), table.schema) for at in range(num_buckets)
                ]
            bucket = _bucket(table["visitor"], num_buckets)
            for at, writer in enumerate(writers):
                chosen = table if num_buckets == 1 else table.filter(pa.array(bucket == at))
                writer.write_table(chosen.combine_chunks())
            num_events += table.num_rows
            if table.num_rows:
                latest_s = max(latest_s, pc.max(table["time_s"]).as_py())
            advance(table.num_rows)
    if num_events == 0:
        raise ValueError(
            f"input: {source.rows.path} has no events to go by{source.dropped}; there is nothing "
            "to recommend"
        )
    return {
        "num_buckets": num_buckets,
        "num_events": num_events,
        "dropped": str(source.dropped),
        "latest_s": latest_s,
        "begun_s": time.time(),
    }


def _open(stack: ExitStack, path: Path, schema: Any) -> Any:
    sink = stack.enter_context(pa.OSFile(str(path), "wb"))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    return stack.enter_context(pa.ipc.new_stream(sink, schema, options=options))


def _path(folder: Path, at: int) -> Path:
    return folder / f"bucket-{at:04d}.arrow"


def _bucket(visitor: Any, num_buckets: int) -> npt.NDArray[np.int64]:
    """Number of each event's bucket; the same for all of a visitor's events, in every run."""
    encoded = visitor.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    texts = encoded.dictionary.cast(pa.string()).to_pylist()
    of_distinct = np.array([zlib.crc32(text.encode()) % num_buckets for text in texts], np.int64)
    numbers: npt.NDArray[np.int64] = of_distinct[np.asarray(encoded.indices)]
    return numbers


def _starts(visitor: Any) -> npt.NDArray[np.int64]:
    """Where each visitor's events begin, in a sorted column."""
    changes = pc.not_equal(visitor.slice(1), visitor.slice(0, len(visitor) - 1))
    return np.append(0, 1 + np.flatnonzero(changes.to_numpy()))


def _piece(table: Any, bounds: npt.NDArray[np.int64]) -> Visitors:
    first, last = int(bounds[0]), int(bounds[-1])
    events = table.slice(first, last - first)
    names = set(table.column_names)
    histories = Histories(
        offsets=bounds - first,
        item=events["item"],
        action=events["action"] if "action" in names else None,
        channel=events["channel"] if "channel" in names else None,
        time=events["time_s"].to_numpy(),
    )
    return Visitors(table["visitor"].take(pa.array(bounds[:-1])), histories)
