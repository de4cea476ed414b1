"""``penchant recommend``: a file of events in, what each visitor wants next out.

Memory grows with the visitor who has most events, and with the file only beyond some hundred
million events. No interruption loses or doubles a visitor: finished parts stay beside the output
until it is whole, and the same command goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from penchant.clients.bulk import Bar, answer_pieces, check_output, progress_of
from penchant.clients.clock import open_zone
from penchant.clients.errors import InvalidRows
from penchant.clients.event_buckets import EventBuckets, Visitors, one_visitor
from penchant.clients.event_source import EventColumns, EventSource, open_events
from penchant.clients.histories import AnyHistories
from penchant.clients.home import Home
from penchant.clients.item_ids import read_ids
from penchant.clients.journey_client import AsyncJourneyClient
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.parts import Parts
from penchant.clients.patience import Patience
from penchant.clients.recommendations import Recommendations
from penchant.clients.recommended_table import RecommendedTable
from penchant.clients.recommended_text import visitor_text

WANTED: Final = ("items", "intents", "channels", "hours", "purchase")
LATEST: Final = "latest"
"""As `now`: when the newest event of the file was."""
USUAL_COLUMNS: Final = EventColumns()


def recommend(
    input: Path,
    output: Path | None = None,
    *,
    visitor: str | None = None,
    url: str | None = None,
    home: Path = Path(".penchant"),
    model: str = "journey",
    k: int = 10,
    target_action: str | None = None,
    exclude: Path | None = None,
    allow: str | None = None,
    now: str | None = None,
    columns: EventColumns = USUAL_COLUMNS,
    time_unit: str = "s",
    skip_unknown: bool = False,
    batch_visitors: int = 1024,
    deadline_s: float = 30.0,
    patience_s: float = 120.0,
) -> str:
    """Recommend to every visitor of a file of events, or show it for one, through a running server.

    The events may stand in any order. The output has a row for each visitor, in an order of its
    own: the visitor, `items` and `scores` (lists, best first; in a CSV with | between them),
    `count`, `intent` (category), `channel` and `hour` (the best of each; hours of the week from 0,
    Monday 00:00, in the model's zone) with their probabilities, `purchase` (probability in this
    session), `unknown` (events whose item the model does not know) and `version`; what the model
    does not answer has no column. An interrupted run goes on when the same command is given again.

    Args:
        input: file of events, .parquet or .csv.
        output: file to write, .parquet or .csv; needed unless `visitor` is given.
        visitor: show the answer for this visitor alone, and write nothing.
        url: host:port of the server's gRPC endpoint; by default the one that ``penchant serve``
            started for this home.
        home: folder in which penchant makes everything.
        model: name under which the model is served.
        k: items for each visitor.
        target_action: action to recommend for; by default the model's own.
        exclude: text file of item ids, one a line, that are never recommended.
        allow: categories to keep to, with commas between them.
        now: when it is, as 2011-12-01T09:00 (in the model's zone unless it names one), or latest
            for the time of the newest event; by default the current time. With a time, later events
            are left out and counted.
        columns: what the columns of the input are called.
        time_unit: unit of times that are numbers: s, ms, us or ns.
        skip_unknown: leave out events whose action the model does not know, and channels that it
            does not know, instead of refusing the file.
        batch_visitors: visitors read, asked for and written at a time.
        deadline_s: most that so many visitors may take, in seconds, before it is tried again.
        patience_s: how long to wait for a server that is down or overloaded, in seconds.

    Returns:
        A line that says what was written, or the answer for the one visitor.

    Raises:
        ValueError: an option, the input file, or parts of another run.
        PenchantError: the server, once patience is at an end; what is done is kept.
        OSError: the output cannot be written; what is done is kept.
    """
    if (output is None) == (visitor is None):
        raise ValueError("output, visitor: expected one of them; give --output, or --visitor")
    if batch_visitors < 1:
        raise ValueError(f"batch_visitors: expected at least 1, got {batch_visitors}")
    if output is not None:
        check_output(input, output)
    lines = _lines(exclude)
    address = url or Home(home).server_address()
    hint = f"run the same command again to go on with {output}" if output else "run it again"
    patience = Patience(patience_s, hint=hint)

    async def run() -> str:
        async with AsyncJourneyClient(address, model=model, deadline_s=deadline_s) as client:
            contract = await patience.until(lambda: _contract(client))
            options = _Options(
                k=k,
                target_action=target_action,
                exclude=_excluded(exclude, lines, contract),
                allow=tuple(name.strip() for name in (allow or "").split(",") if name.strip()),
                now=now,
            )
            source = open_events(
                input,
                contract,
                columns=columns,
                time_unit=time_unit,
                skip_unknown=skip_unknown,
                until_s=options.until_s(contract),
                only=visitor,
            )
            job = _Job(client, source, options, patience)
            await job.check()
            if output is None:
                return await job.show()
            return await job.write(output, batch_visitors)

    return asyncio.run(run())


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What is asked for all visitors."""

    k: int
    target_action: str | None
    exclude: tuple[str | int, ...]
    allow: tuple[str, ...]
    now: str | None

    def until_s(self, contract: JourneyContract) -> float | None:
        if self.now is None or self.now == LATEST:
            return None
        try:
            moment = datetime.fromisoformat(self.now)
        except ValueError as error:
            raise ValueError(
                f"now: expected a time as in 2011-12-01T09:00, or {LATEST}, got {self.now!r}"
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=open_zone(contract.timezone))
        return moment.timestamp()


@dataclass(frozen=True)
class _Job:
    client: AsyncJourneyClient
    source: EventSource
    options: _Options
    patience: Patience

    async def check(self) -> None:
        """Ask about a visitor of whom nothing is known, so that wrong options show at once."""
        await self.patience.until(lambda: self._recommend([[]], self.source.until_s))

    async def show(self) -> str:
        """The answer for one visitor, as text."""
        found, latest_s = await asyncio.to_thread(one_visitor, self.source)
        now_s = latest_s if self.options.now == LATEST else self.source.until_s
        answer = await self._ask(found, now_s)
        return visitor_text(
            answer[0],
            who=f"visitor {self.source.only}, {len(found.histories.item):,} events"
            f"{self.source.dropped}",
            num_sent=min(len(found.histories.item), self.source.contract.length),
            k=self.options.k,
            num_excluded=len(set(self.options.exclude)),
            allow=self.options.allow,
        )

    async def write(self, output: Path, batch_visitors: int) -> str:
        """Answer what is not done yet, and make the output."""
        made = RecommendedTable(
            contract=self.source.contract,
            visitor=self.source.columns["visitor"],
            is_flat=output.suffix.lower() == ".csv",
        )
        origin = self._origin(batch_visitors)
        # An interrupted run's buckets are of use only to a run of the same origin.
        digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]
        with Parts(output, of=origin) as parts, progress_of("") as progress:
            reading = Bar.of(progress, "reading events", self.source.rows.num_rows)
            buckets = await asyncio.to_thread(
                EventBuckets.fill, parts.folder / f"events-{digest}", self.source, reading.advance
            )
            now_s = {None: buckets.begun_s, LATEST: buckets.latest_s}.get(
                self.options.now, self.source.until_s
            )

            async def answer(piece: Visitors) -> Any:
                answers = await self._ask(piece, now_s)
                return await asyncio.to_thread(made.table, piece.visitor, answers)

            bar = Bar.of(progress, "recommending to visitors", None)
            num_done = parts.num_rows_done()
            bar.advance(num_done)
            pieces = buckets.visitors(batch_visitors, skip=num_done)
            await answer_pieces(pieces, answer, parts, bar)
            num_visitors = parts.num_rows_done()
            await asyncio.to_thread(parts.assemble)
        return (
            f"recommended to {num_visitors:,} visitors, by {buckets.num_events:,} events of "
            f"{self.source.rows.path}, into {output}{buckets.dropped}"
        )

    def _origin(self, batch_visitors: int) -> dict[str, Any]:
        """What parts have to have in common to be one output."""
        contract = self.source.contract
        return {
            **self.source.rows.fingerprint(),
            "model": contract.model,
            "actions": contract.actions,
            "channels": contract.channels,
            "item_dtype": contract.item_dtype,
            "columns": self.source.columns,
            "time_unit": self.source.time_unit,
            "skip_unknown": self.source.skip_unknown,
            "k": self.options.k,
            "target_action": self.options.target_action,
            "exclude": self.options.exclude,
            "allow": self.options.allow,
            "now": self.options.now,
            "batch_visitors": batch_visitors,
        }

    async def _ask(self, piece: Visitors, now_s: float | None) -> Recommendations:
        try:
            answer: Recommendations = await self.patience.until(
                lambda: self._recommend(piece.histories, now_s)
            )
        except InvalidRows as error:
            raise InvalidRows(
                f"{self.source.rows.path}, counting histories from visitor "
                f"{piece.visitor[0].as_py()!r}: {error}"
            ) from error
        return answer

    async def _recommend(self, histories: AnyHistories, now_s: float | None) -> Recommendations:
        options = self.options
        return await self.client.recommend(
            histories,
            k=options.k,
            target_action=options.target_action,
            exclude=options.exclude,
            allow=options.allow,
            now=now_s,
            want=WANTED,
        )


async def _contract(client: AsyncJourneyClient) -> JourneyContract:
    return await client.contract


def _lines(path: Path | None) -> dict[int, str]:
    """Lines of a file by their number, but for blank ones."""
    if path is None:
        return {}
    if not path.is_file():
        raise ValueError(f"exclude: expected a text file of item ids, found none at {path}")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}


def _excluded(
    path: Path | None, lines: dict[int, str], contract: JourneyContract
) -> tuple[str | int, ...]:
    numbers = list(lines)
    found = read_ids(lines.values(), contract, lambda at: f"exclude: line {numbers[at]} of {path}")
    return tuple(each for each in found if each is not None)
