"""What `penchant demo` shows of a real shop's customers: what next, how likely, and why."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table as RichTable

from penchant.clients import JourneyClient, PropensityClient
from penchant.clients.histories import History
from penchant.clients.recommendations import Recommendation
from penchant.training.demo_sessions import spread
from penchant.training.events.example_maker import example_maker
from penchant.training.events.examples import write_examples
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.catalogue import Codes
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.raw_histories import raw_ids, title_of
from penchant.training.journeys.train import TrainedJourneys
from penchant.training.recipe import Recipe

SHOWN_CUSTOMERS: Final = 10
SHOWN_ITEMS: Final = 3


@dataclass(frozen=True)
class Customers:
    """Customers of a log as they are at its end."""

    data: JourneyData
    """What they did."""
    rows: pa.Table
    """What the repeat-purchase model is asked with: a row a customer, with visitor_id."""
    now_s: int
    """The end of the log, in seconds since 1970 UTC."""

    def history(self, row: int, *, length: int) -> Codes:
        """Item codes of the newest events of the customer in a row, newest last."""
        start, stop = self._events(row)
        return np.asarray(self.data.journeys.item[max(start, stop - length) : stop])

    def as_caller(self, row: int, *, length: int) -> History:
        """The same as a caller of the endpoint has it."""
        journeys = self.data.journeys
        items = raw_ids(self.history(row, length=length), self.data.catalogue).tolist()
        _, stop = self._events(row)
        return History(
            [
                {
                    "item": item,
                    "action": journeys.actions[int(journeys.action[at]) - 1],
                    "time": float(journeys.time_s[at]),
                }
                for at, item in enumerate(items, stop - len(items))
            ]
        )

    def _events(self, row: int) -> tuple[int, int]:
        journeys = self.data.journeys
        visitor = self.rows["visitor_id"][row].as_py()
        (place,) = np.flatnonzero(np.asarray(journeys.visitor_id) == visitor)
        return int(journeys.offsets[place]), int(journeys.offsets[place + 1])


def customers_at_the_end(data: JourneyData, repeat: Recipe) -> Customers:
    """All customers, with what is known of them a second after the log's last event."""
    assert repeat.examples is not None
    now_s = int(np.asarray(data.journeys.time_s).max()) + 1
    with tempfile.TemporaryDirectory(prefix="penchant-demo-") as folder:
        path = Path(folder) / "customers.parquet"
        write_examples(example_maker(repeat.examples), [now_s], path)
        return Customers(data, pq.read_table(path), now_s)


def customer_table(
    customers: Customers,
    trained: TrainedJourneys,
    *,
    repeat: PropensityClient,
    wanted: JourneyClient,
) -> RichTable:
    """Ten customers from the likeliest to the least likely to order again, asked over gRPC.

    Args:
        customers: All of them.
        trained: The journey model, for what ties its answers to what was bought.
        repeat: Client of the repeat-purchase model.
        wanted: Client of the journey model.
    """
    every = repeat.score(customers.rows)
    goal = every.goals[0]
    shown = spread(every.for_goal(goal), SHOWN_CUSTOMERS)
    scores = repeat.score(customers.rows.take(shown), reasons=True)
    length = trained.package.contract.inputs[0].shape[0]
    answers = wanted.recommend(
        [customers.as_caller(row, length=length) for row in shown],
        k=SHOWN_ITEMS,
        now=customers.now_s,
    )
    title = f"{len(every):,} real customers scored over gRPC, {len(shown)} shown"
    table = RichTable(title=title)
    table.add_column("customer", no_wrap=True)
    for head in ("what next", "because of", "why again"):
        table.add_column(head)
    for place, row in enumerate(shown):
        history = customers.history(row, length=length)
        who = [
            str(customers.rows["visitor_id"][row].as_py()),
            f"again {scores.for_goal(goal)[place]:.0%}",
            answers[place].hours[0][0],
        ]
        reasons = [
            f"{reason.effect:+.1f} {reason.feature}"
            for reason in scores.reasons(place, goal, top=SHOWN_ITEMS)
        ]
        wanted_items = _what_next(answers[place], history, trained)
        for name, item, reason in zip_longest(who, wanted_items, reasons):
            table.add_row(name or "", *(item or ("", "")), reason or "")
        table.add_section()
    return table


def tie_of(item: int, history: Codes, tables: AssociationTables) -> int | None:
    """The item of a history (L,) that goes together most with an item, by code; None if none does.

    Args:
        item: Code of the item that is answered.
        history: Codes of items, newest last.
        tables: Pairs by statistic; the strongest of any of them counts.
    """
    known = np.unique(history)
    ties = np.where(tables.code[:, known] == item, tables.weight[:, known], 0)  # (P, L, T)
    strength = ties.max(axis=(0, 2), initial=0)
    return int(known[strength.argmax()]) if strength.any() else None


def _what_next(
    answer: Recommendation, history: Codes, trained: TrainedJourneys
) -> list[tuple[str, str]]:
    """Titles of the items answered, with their scores, and what speaks for each."""
    catalogue = trained.data.catalogue
    lines = []
    for item, score in zip(answer.items, answer.scores, strict=True):
        code = int(catalogue.encode(np.array([item], object))[0])
        tie = tie_of(code, history, trained.model.tables)
        because = "her journey as a whole"
        if code in history:
            because = "bought before"
        elif tie is not None:
            because = _spoken(title_of(tie, catalogue))
        lines.append((f"{score:.3f} {_spoken(title_of(code, catalogue))}", because))
    return lines


def _spoken(title: str) -> str:
    """A title that shouts, in letters that do not."""
    return " ".join(title.split()).capitalize()
