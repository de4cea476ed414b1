"""What ``penchant recommend`` writes: a table with a row for each visitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from penchant.clients.journey_contract import JourneyContract
from penchant.clients.recommendations import Recommendations

LIST_MARK: Final = "|"
"""Stands between the items of a row where a file has no lists."""


@dataclass(frozen=True, kw_only=True)
class RecommendedTable:
    """The columns of a file of recommendations."""

    contract: JourneyContract
    """Of the model that is asked."""
    visitor: str
    """Column of the visitor."""
    is_flat: bool
    """Whether lists are written as text, for CSV."""

    def __post_init__(self) -> None:
        """Refuse a visitor column that is called as one that is made.

        Raises:
            ValueError: naming it.
        """
        if self.visitor in self._made():
            raise ValueError(
                f"columns.visitor: {self.visitor!r} is also a column that is made; rename it in "
                "the input"
            )

    def table(self, visitor: Any, answer: Recommendations) -> Any:
        """The output's rows for B visitors, a ``pyarrow.Table``.

        Args:
            visitor: B ids.
            answer: to them.

        Raises:
            ValueError: if the answer is of another contract, so that its columns would differ.
        """
        self._check(answer)
        columns = {self.visitor: visitor, **self._items(answer)}
        if answer.intent is not None and answer.intent_score is not None:
            columns["intent"] = pa.array(answer.intent[:, 0], pa.string())
            columns["intent_score"] = pa.array(answer.intent_score[:, 0])
        if answer.channel_score is not None:
            columns["channel"] = pa.array(answer.best_channels(), pa.string())
            columns["channel_score"] = pa.array(answer.channel_score.max(axis=1))
        if answer.hour_score is not None:
            columns["hour"] = pa.array(answer.best_hours(1)[:, 0].astype(np.int32))
            columns["hour_score"] = pa.array(answer.hour_score.max(axis=1))
        if answer.purchase is not None:
            columns["purchase"] = pa.array(answer.purchase)
        columns["unknown"] = pa.array(answer.unknown)
        columns["version"] = pa.array(answer.version)
        return pa.table(columns)

    def _check(self, answer: Recommendations) -> None:
        """Refuse the answer of a version with other columns than those of the finished parts."""
        contract = self.contract
        item_dtype = "BYTES" if answer.item is None or answer.item.dtype == object else "INT64"
        num_intents = 0 if answer.intent is None else answer.intent.shape[1]
        for name, expected, got in (
            ("channels", contract.channels, answer.channels),
            ("item_dtype", contract.item_dtype, item_dtype),
            ("num_intents", contract.num_intents, num_intents),
            ("has_hours", contract.has_hours, answer.hour_score is not None),
            ("has_purchase", contract.has_purchase, answer.purchase is not None),
        ):
            if got != expected:
                raise ValueError(
                    f"{name}: a version of model {answer.model!r} went live during the run that "
                    f"has {got!r}, expected {expected!r} as at its begin; delete the .parts folder "
                    "to begin anew with it"
                )

    def _items(self, answer: Recommendations) -> dict[str, Any]:
        assert answer.item is not None
        assert answer.score is not None
        assert answer.count is not None
        offsets = pa.array(np.append(0, np.cumsum(answer.count)), pa.int32())
        is_answer = np.arange(answer.item.shape[1]) < answer.count[:, None]
        item, score = answer.item[is_answer], answer.score[is_answer]
        kind = pa.string() if self.contract.item_dtype == "BYTES" else pa.int64()
        lists = {
            "items": pa.ListArray.from_arrays(offsets, pa.array(item, kind)),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(score)),
        }
        if self.is_flat:
            texts = {
                "items": [LIST_MARK.join(map(str, row)) for row in lists["items"].to_pylist()],
                "scores": [
                    LIST_MARK.join(f"{score:.6g}" for score in row)
                    for row in lists["scores"].to_pylist()
                ],
            }
            lists = {name: pa.array(values, pa.string()) for name, values in texts.items()}
        return {**lists, "count": pa.array(answer.count)}

    @staticmethod
    def _made() -> tuple[str, ...]:
        pairs = ("intent", "channel", "hour")
        scores = tuple(f"{name}_score" for name in pairs)
        return ("items", "scores", "count", *pairs, *scores, "purchase", "unknown", "version")
