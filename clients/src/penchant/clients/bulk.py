"""Answers for a long row of pieces, a few pieces ahead of what is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from penchant.clients.parts import Parts

AHEAD: Final = 2
"""Pieces that are answered while another one is read or written."""

P = TypeVar("P")


@dataclass(frozen=True)
class Bar:
    """How far a run is."""

    progress: Progress
    task: TaskID

    @classmethod
    def of(cls, progress: Progress, what: str, total: int | None) -> Bar:
        """A bar of its own."""
        return cls(progress, progress.add_task(what, total=total))

    def advance(self, count: int) -> None:
        """So many more are done."""
        self.progress.advance(self.task, count)


def progress_of(unit: str) -> Progress:
    """Bars on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


async def answer_pieces(
    pieces: Iterator[P], answer: Callable[[P], Awaitable[Any]], parts: Parts, bar: Bar
) -> None:
    """Answer each piece and add its table to the parts, in order.

    Args:
        pieces: those that are not done yet; read in a thread.
        answer: makes a piece's ``pyarrow.Table``.
        parts: of the output.
        bar: told of rows that are done.
    """
    index = parts.num_done()
    under_way: deque[asyncio.Task[Any]] = deque()

    async def finish() -> None:
        nonlocal index
        table = await under_way.popleft()
        await asyncio.to_thread(parts.write, index, table)
        bar.advance(table.num_rows)
        index += 1

    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            under_way.append(asyncio.ensure_future(answer(piece)))
            if len(under_way) > AHEAD:
                await finish()
        while under_way:
            await finish()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def check_output(input: Path, output: Path) -> None:
    """Refuse a file that cannot be written.

    Raises:
        ValueError: naming it.
    """
    if output.suffix.lower() not in (".parquet", ".pq", ".csv"):
        raise ValueError(f"output: expected a .parquet or .csv file, got {output}")
    if not output.parent.is_dir():
        raise ValueError(f"output: there is no folder {output.parent}; make it first")
    if input.resolve() == output.resolve():
        raise ValueError(f"output: is the input {input} itself; name another file")
