"""``penchant score``: a file of rows in, a file of scores out, however long it takes.

Memory does not grow with the file, and no interruption loses or doubles a row: finished parts stay
beside the output until it is whole, and the same command goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penchant.clients.bulk import Bar, answer_pieces, check_output, progress_of
from penchant.clients.client import AsyncPropensityClient
from penchant.clients.column_names import check_columns, nearest
from penchant.clients.contract import Contract
from penchant.clients.errors import InvalidRows
from penchant.clients.home import Home
from penchant.clients.parts import Parts
from penchant.clients.patience import Patience
from penchant.clients.row_source import RowSource
from penchant.clients.scored_table import ScoredTable


def score(
    input: Path,
    output: Path,
    *,
    url: str | None = None,
    home: Path = Path(".penchant"),
    model: str = "propensity",
    reasons: int = 3,
    keep: str | None = None,
    batch_rows: int = 8192,
    deadline_s: float = 30.0,
    patience_s: float = 120.0,
) -> str:
    """Score a Parquet or CSV file through a running server.

    The output has a row for each row of the input, in its order: ``row`` (from 0), the columns
    kept, ``propensity_<goal>``, ``reason_<goal>_1`` and so on (feature and what it adds to the
    score's logit, strongest first), ``unknown`` (values the model had never seen) and ``version``.
    An interrupted run goes on when the same command is given again.

    Args:
        input: file of rows, .parquet or .csv.
        output: file to write, .parquet or .csv.
        url: host:port of the server's gRPC endpoint; by default the one that ``penchant serve``
            started for this home.
        home: folder in which penchant makes everything.
        model: name under which the model is served.
        reasons: number of reasons for each score; 0 for none, which is faster.
        keep: columns to copy to the output, with commas between them; by default all that are not
            features of the model.
        batch_rows: rows read, scored and written at a time.
        deadline_s: most that scoring so many rows may take, in seconds, before it is tried again.
        patience_s: how long to wait for a server that is down or overloaded, in seconds.

    Returns:
        A line that says what was written.

    Raises:
        ValueError: an option, the input file, or parts of another run.
        PenchantError: the server, once patience is at an end; what is done is kept.
        OSError: the output cannot be written; what is done is kept.
    """
    if reasons < 0 or batch_rows < 1:
        raise ValueError(
            f"reasons, batch_rows: expected at least 0 and 1, got {reasons} and {batch_rows}"
        )
    check_output(input, output)
    source = RowSource.open(input)
    address = url or Home(home).server_address()
    patience = Patience(patience_s, hint=f"run the same command again to go on with {output}")

    async def run() -> int:
        async with AsyncPropensityClient(address, model=model, deadline_s=deadline_s) as client:
            contract = await patience.until(lambda: _contract(client))
            scored = _scored_table(source, output, contract, keep=keep, num_reasons=reasons)
            origin = _origin(source, scored, batch_rows)
            with Parts(output, of=origin) as parts, progress_of("rows") as progress:
                job = _Job(source, parts, client, scored, patience)
                num_rows = await job.run(batch_rows, Bar.of(progress, "scoring", source.num_rows))
                await asyncio.to_thread(parts.assemble)
        return num_rows

    return f"scored {asyncio.run(run()):,} rows of {source.path} into {output}"


def _scored_table(
    source: RowSource, output: Path, contract: Contract, *, keep: str | None, num_reasons: int
) -> ScoredTable:
    """What to write; refused before the first row if input or output do not allow it."""
    check_columns(source.columns, contract.features)
    kept = _kept(keep, source, contract)
    scored = ScoredTable(contract=contract, keep=kept, num_reasons=num_reasons)
    scored.check(source.schema, output)
    return scored


def _origin(source: RowSource, scored: ScoredTable, batch_rows: int) -> dict[str, Any]:
    """What parts have to have in common to be one output."""
    return {
        **source.fingerprint(),
        "model": scored.contract.model,
        "goals": scored.contract.goals,
        "features": scored.contract.features,
        "keep": scored.keep,
        "reasons": scored.num_reasons,
        "batch_rows": batch_rows,
    }


async def _contract(client: AsyncPropensityClient) -> Contract:
    return await client.contract


@dataclass(frozen=True)
class _Job:
    source: RowSource
    parts: Parts
    client: AsyncPropensityClient
    scored: ScoredTable
    patience: Patience

    async def run(self, batch_rows: int, bar: Bar) -> int:
        """Score what is not done yet; the number of rows in the end."""
        row = self.parts.num_rows_done()
        bar.advance(row)
        pieces = self.source.pieces(
            self.scored.contract, keep=self.scored.keep, num_rows=batch_rows, skip_rows=row
        )
        numbered = _numbered(pieces, row)
        await answer_pieces(numbered, lambda piece: self._score(*piece), self.parts, bar)
        num_rows = self.parts.num_rows_done()
        if num_rows == 0:
            raise ValueError(f"input: {self.source.path} has no rows; there is nothing to score")
        return num_rows

    async def _score(self, piece: Any, first_row: int) -> Any:
        try:
            rows = await asyncio.to_thread(self.source.rows, piece, self.scored.contract)
            scores = await self.patience.until(
                lambda: self.client.score(rows, reasons=self.scored.num_reasons > 0)
            )
        except InvalidRows as error:
            raise InvalidRows(
                f"{self.source.path}, counting rows from its row {first_row}: {error}"
            ) from error
        return await asyncio.to_thread(self.scored.table, piece, scores, first_row)


def _numbered(pieces: Iterator[Any], row: int) -> Iterator[tuple[Any, int]]:
    """Pieces, and the number of their first row."""
    for piece in pieces:
        yield piece, row
        row += piece.num_rows


def _kept(keep: str | None, source: RowSource, contract: Contract) -> tuple[str, ...]:
    if keep is None:
        return tuple(name for name in source.columns if name not in contract.features)
    names = tuple(name.strip() for name in keep.split(",") if name.strip())
    for name in names:
        if name not in source.columns:
            near = nearest(name, source.columns)
            hint = f"did you mean {near!r}?" if near else f"it has {list(source.columns)}"
            raise ValueError(f"keep: {source.path} has no column {name!r}; {hint}")
    return names
