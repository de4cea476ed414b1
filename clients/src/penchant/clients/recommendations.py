"""What a journey model answers.

Letters: B visitors, k items asked for, I intents, C channels, D numbers of an embedding; hours are
those of the week in the model's zone, 0 is Monday 00:00.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.clock import hour_name


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer to one visitor; what was not asked for is empty, or None."""

    items: tuple[str | int, ...]
    """Item ids, best first; fewer than asked for where no more may be answered."""
    scores: tuple[float, ...]
    """Probability of each among the items that may be answered."""
    intents: tuple[tuple[str, float], ...]
    """Categories and their probabilities, best first."""
    channels: tuple[tuple[str, float], ...]
    """Channels and their probabilities, best first."""
    hours: tuple[tuple[str, float], ...]
    """The best hours of the week and their probabilities, best first, as in ``Mon 18:00``."""
    purchase: float | None
    """Probability of a purchase in this session."""
    unknown: int
    """Events of the history whose item the model does not know."""
    version: int
    """Package version that answered."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recommendations:
    """Answers to B visitors, in the order in which they were sent.

    An array is None if it was not asked for, or if the model does not answer it: it was trained on
    a log without categories, channels, clock or purchases.
    """

    model: str
    """Model name."""
    channels: tuple[str, ...]
    """Names along the axis C."""
    unknown: npt.NDArray[np.int32]
    """Events of a history whose item the model does not know, (B,)."""
    version: npt.NDArray[np.int64]
    """Package version that answered, (B,); two only while a new one is going live."""
    item: npt.NDArray[Any] | None = None
    """Item ids, best first, (B, k): text as objects, or int64; "" or -1 from ``count`` on."""
    score: npt.NDArray[np.float32] | None = None
    """Probability of each item among those that may be answered, (B, k); 0 from ``count`` on."""
    count: npt.NDArray[np.int32] | None = None
    """Items answered, (B,); fewer than k where no more may be."""
    intent: npt.NDArray[np.object_] | None = None
    """Likeliest categories of the next item, best first, (B, I); "" where there are no more."""
    intent_score: npt.NDArray[np.float32] | None = None
    """Their probabilities, (B, I)."""
    channel_score: npt.NDArray[np.float32] | None = None
    """Probability of each channel, (B, C)."""
    hour_score: npt.NDArray[np.float32] | None = None
    """Probability of each hour of the week, (B, 168)."""
    purchase: npt.NDArray[np.float32] | None = None
    """Probability of a purchase in this session, (B,)."""
    visitor_embedding: npt.NDArray[np.float32] | None = None
    """The visitor as the network has her, (B, D)."""

    def __len__(self) -> int:
        """Number of visitors B."""
        return len(self.version)

    def __getitem__(self, row: int) -> Recommendation:
        """The answer to one visitor."""
        count = 0 if self.count is None else int(self.count[row])
        return Recommendation(
            items=_some(self.item, row, count),
            scores=_some(self.score, row, count),
            intents=self._intents(row),
            channels=self._channels(row),
            hours=self._hours(row),
            purchase=None if self.purchase is None else float(self.purchase[row]),
            unknown=int(self.unknown[row]),
            version=int(self.version[row]),
        )

    def __iter__(self) -> Iterator[Recommendation]:
        """The answers, visitor after visitor."""
        return map(self.__getitem__, range(len(self)))

    def best_channels(self) -> list[str]:
        """The likeliest channel of each visitor.

        Raises:
            ValueError: if channels were not asked for.
        """
        if self.channel_score is None:
            raise ValueError(
                "channels: the answer holds none; the model knows no channels, or name 'channels' "
                "in recommend(..., want=...)"
            )
        return [self.channels[at] for at in self.channel_score.argmax(axis=1)]

    def best_hours(self, top: int = 3) -> npt.NDArray[np.int64]:
        """The likeliest hours of the week, best first, (B, top); see :func:`hour_name`.

        Raises:
            ValueError: if hours were not asked for.
        """
        if self.hour_score is None:
            raise ValueError(
                "hours: the answer holds none; the model knows no clock, or name 'hours' in "
                "recommend(..., want=...)"
            )
        return _best(self.hour_score, top)

    def to_rows(self) -> list[dict[str, Any]]:
        """A dict for each item answered: history, rank from 1, item, score, version.

        For a data frame, as in ``pandas.DataFrame(recommendations.to_rows())``.
        """
        return [
            {
                "history": row,
                "rank": rank,
                "item": item,
                "score": score,
                "version": each.version,
            }
            for row, each in enumerate(self)
            for rank, (item, score) in enumerate(zip(each.items, each.scores, strict=True), start=1)
        ]

    @classmethod
    def concatenate(cls, parts: Sequence[Recommendations]) -> Recommendations:
        """Answers of one model, to consecutive visitors, as one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in _ARRAYS
            if getattr(first, name) is not None
        }
        return cls(model=first.model, channels=first.channels, **columns)

    def _intents(self, row: int) -> tuple[tuple[str, float], ...]:
        if self.intent is None or self.intent_score is None:
            return ()
        pairs = zip(self.intent[row].tolist(), self.intent_score[row].tolist(), strict=True)
        return tuple((name, score) for name, score in pairs if name)

    def _channels(self, row: int) -> tuple[tuple[str, float], ...]:
        if self.channel_score is None:
            return ()
        scores = self.channel_score[row].tolist()
        pairs = zip(self.channels, scores, strict=True)
        return tuple(sorted(pairs, key=lambda pair: -pair[1]))

    def _hours(self, row: int, top: int = 3) -> tuple[tuple[str, float], ...]:
        if self.hour_score is None:
            return ()
        scores = self.hour_score[row]
        return tuple((hour_name(hour), float(scores[hour])) for hour in _best(scores, top).tolist())


_ARRAYS: Final = tuple(
    each.name for each in fields(Recommendations) if each.name not in ("model", "channels")
)


def _best(scores: npt.NDArray[np.float32], top: int) -> npt.NDArray[np.int64]:
    """Places of the highest scores along the last axis, best first; of equal ones the first."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :top]


def _some(values: npt.NDArray[Any] | None, row: int, count: int) -> tuple[Any, ...]:
    return () if values is None else tuple(values[row, :count].tolist())
