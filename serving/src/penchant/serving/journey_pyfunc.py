"""A journey package as MLflow loads it: a table of visitors in, a table of answers out.

One row is one visitor, her events in list columns. What is asked for is an answer a visitor; with
one row an event, rows out would not be rows in, and a visitor could lie across two of the batches
in which MLflow, Spark and its scoring server cut a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final

from penchant.clients.contract import UNKNOWN, VERSION, is_missing
from penchant.clients.errors import InvalidRows
from penchant.clients.histories import EVENT_FIELDS, Histories, listed
from penchant.clients.journey_contract import (
    COUNT,
    EXCLUDE,
    ITEM,
    NEXT_ITEM,
    PURCHASE,
    SCORE,
    JourneyContract,
)
from penchant.clients.journey_tensors import Wish, to_tensors
from penchant.clients.values import objects
from penchant.serving.golden import Tensors
from penchant.serving.packaged_model import PackagedModel

if TYPE_CHECKING:
    import pandas as pd

NOW: Final = "now"
VISITOR_FIELDS: Final = (EXCLUDE, "allow", "target_action", NOW)
"""Columns that may be left out, with one value or one list a visitor."""

ONE_EACH: Final = (COUNT, PURCHASE, UNKNOWN)
"""Outputs with one number a visitor."""


class JourneyModel(PackagedModel[JourneyContract]):
    """A journey package ready to answer tables."""

    _contract_type = JourneyContract

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer visitors.

        Args:
            model_input: one row a visitor. Columns of lists, one value an event: ``item``,
                ``action``, and ``channel``, ``time`` or ``age_s``; without either of the last two
                events are in order, oldest first. Columns that may be left out: lists ``exclude``
                and ``allow``, ``target_action``, and ``now``, else the current time. Others are
                passed over.
            params: none are known.

        Returns:
            A column for each output but ``version``, with the index of the input: numbers, and
            lists, those of ``next_item`` and ``score`` as long as ``count`` says.

        Raises:
            ValueError: if there is no row or no ``item``, the lists of a row differ in length, or a
                value cannot be what its column is meant to hold.
        """
        return self._answers(model_input)

    def _tensors(self, table: pd.DataFrame) -> Tensors:
        now = table[NOW].to_numpy() if NOW in table else None
        return to_tensors(_histories(table), self._contract, Wish(now=now))

    def _columns(self, answers: Tensors) -> dict[str, Any]:
        counts = answers[COUNT][:, 0].tolist()
        columns: dict[str, Any] = {}
        for name, values in answers.items():
            if name in ONE_EACH:
                columns[name] = values[:, 0]
            elif name in (NEXT_ITEM, SCORE):
                pairs = zip(values.tolist(), counts, strict=True)
                columns[name] = [row[:count] for row, count in pairs]
            elif name != VERSION:
                columns[name] = values.tolist()
        return columns


def _histories(rows: pd.DataFrame) -> Histories:
    if ITEM not in rows or rows.empty:
        raise InvalidRows(
            f"rows: expected at least one, with a column {ITEM!r} of lists, one value an event, "
            f"got {len(rows)} with the columns {[*map(str, rows.columns)]}"
        )
    events = {name: _lists(rows[name], name) for name in EVENT_FIELDS if name in rows}
    lengths = list(map(len, events[ITEM]))
    for name, lists in events.items():
        for row, (values, length) in enumerate(zip(lists, lengths, strict=True)):
            if len(values) != length:
                raise InvalidRows(
                    f"{name}: expected as many values as {ITEM!r} has, {length}, got {len(values)} "
                    f"in row {row}; every list of a visitor needs one value an event"
                )
    wishes = {name: _lists(rows[name], name) for name in (EXCLUDE, "allow") if name in rows}
    targets = rows["target_action"].tolist() if "target_action" in rows else None
    return Histories(
        offsets=[0, *accumulate(lengths)],
        **{name: objects(list(chain.from_iterable(lists))) for name, lists in events.items()},
        exclude=wishes.get(EXCLUDE),
        allow=wishes.get("allow"),
        target_action=targets,
    )


def _lists(column: Iterable[Any], name: str) -> list[list[Any]]:
    """Each value as a list; a missing one is an empty list."""
    return [
        [] if is_missing(value) else listed(value, f"row {row}, {name}")
        for row, value in enumerate(column)
    ]
