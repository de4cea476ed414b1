"""Clients of a served journey model, for threads and for asyncio.

What they have in common with the clients of other kinds of model is in
:mod:`~penchant.clients.model_client`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import UNKNOWN, VERSION
from penchant.clients.errors import InvalidRequest
from penchant.clients.gather import gather, num_events, read_once
from penchant.clients.histories import AnyHistories, AnyHistory, Histories, History
from penchant.clients.journey_contract import (
    CHANNEL_SCORE,
    COUNT,
    HOUR_SCORE,
    INTENT,
    INTENT_SCORE,
    NEXT_ITEM,
    PURCHASE,
    SCORE,
    VISITOR_EMBEDDING,
    JourneyContract,
)
from penchant.clients.journey_tensors import Wish, to_tensors
from penchant.clients.model_client import AsyncClient, ThreadClient
from penchant.clients.recommendations import Recommendations
from penchant.clients.spelling import nearest_word
from penchant.clients.wire import Messages

LONG_HISTORIES: Final = 32
"""Visitors from which an event loop should not wait for the conversion of their histories."""
LONG_EVENTS: Final = 2_000
"""Events of all of them from which it should not wait either."""

ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "items": (NEXT_ITEM, SCORE, COUNT),
    "intents": (INTENT, INTENT_SCORE),
    "channels": (CHANNEL_SCORE,),
    "hours": (HOUR_SCORE,),
    "purchase": (PURCHASE,),
    "embedding": (VISITOR_EMBEDDING,),
}
"""What may be wanted, and the outputs that hold it; others are not computed for the caller."""


@dataclass(frozen=True, eq=False)
class _Question:
    """What do these visitors want next?"""

    histories: Histories | Sequence[AnyHistory]
    """As :func:`~penchant.clients.histories.read_once` gives them."""
    wish: Wish
    k: int
    want: Iterable[str]

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer):
            raise InvalidRequest(f"k: expected a number of items, got {self.k!r}")
        if isinstance(self.want, str) or not isinstance(self.want, Iterable):
            raise InvalidRequest(f"want: expected a list of answers, got {self.want!r}")
        object.__setattr__(self, "want", tuple(self.want))  # an iterator is empty the second time
        for name in self.want:
            if not isinstance(name, str) or name not in ANSWERS:
                near = nearest_word(str(name), ANSWERS)
                hint = f"did you mean {near!r}?" if near else f"expected some of {list(ANSWERS)}"
                raise InvalidRequest(f"want: no answer is called {name!r}; {hint}")

    @property
    def is_long(self) -> bool:
        if len(self.histories) >= LONG_HISTORIES:
            return True
        return num_events(self.histories) >= LONG_EVENTS

    @cached_property
    def columns(self) -> Histories:
        return gather(self.histories)

    def messages(self, contract: JourneyContract, /) -> Messages[Recommendations]:
        if not 1 <= self.k <= contract.num_items:
            raise InvalidRequest(
                f"k: expected 1 to {contract.num_items}, which is the most items that model "
                f"{contract.model!r} answers, got {self.k}"
            )
        names = {UNKNOWN, VERSION}.union(*(ANSWERS[name] for name in self.want))
        firsts = {NEXT_ITEM: self.k, SCORE: self.k}
        return Messages(
            to_tensors(self.columns, contract, self.wish),
            contract,
            outputs={
                spec.name: firsts.get(spec.name) for spec in contract.outputs if spec.name in names
            },
            read=partial(_recommendations, contract, self.k),
        )

    def joined(self, parts: Sequence[Recommendations], /) -> Recommendations:
        return Recommendations.concatenate(parts)


_LEAST_QUESTION: Final = _Question([History()], Wish(), k=1, want=())


def _recommendations(
    contract: JourneyContract, k: int, found: Mapping[str, npt.NDArray[Any]]
) -> Recommendations:
    count = found.get(COUNT)
    purchase = found.get(PURCHASE)
    return Recommendations(
        model=contract.model,
        channels=contract.channels,
        unknown=found[UNKNOWN][:, 0],
        version=found[VERSION][:, 0],
        item=found.get(NEXT_ITEM),
        score=found.get(SCORE),
        count=None if count is None else count[:, 0].clip(max=k),
        intent=found.get(INTENT),
        intent_score=found.get(INTENT_SCORE),
        channel_score=found.get(CHANNEL_SCORE),
        hour_score=found.get(HOUR_SCORE),
        purchase=None if purchase is None else purchase[:, 0],
        visitor_embedding=found.get(VISITOR_EMBEDDING),
    )


class JourneyClient(ThreadClient[JourneyContract]):
    """Says what visitors want next, in the calling thread; safe to share between threads.

    Example:
        >>> boots = {"item": "boots-7", "action": "purchase", "age_s": 30 * 86400}
        >>> coat = {"item": "coat-1", "action": "view", "channel": "web", "age_s": 20}
        >>> with JourneyClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     answer = client.recommend([[boots, coat]], k=10, exclude=["coat-1"])
        ...     answer[0].items, answer[0].intents, answer.best_hours()
    """

    _contract_type = JourneyContract
    _least_question = _LEAST_QUESTION

    def recommend(
        self,
        histories: AnyHistories,
        *,
        k: int = 10,
        target_action: str | None = None,
        exclude: Iterable[str | int] = (),
        allow: Iterable[str] = (),
        now: Any = None,
        want: Iterable[str] = tuple(ANSWERS),
        deadline_s: float | None = None,
    ) -> Recommendations:
        """Say what each visitor wants next.

        More visitors than one request may hold are sent as several requests, concurrently.

        Args:
            histories: of B visitors: for each a list of events (dicts or
                :class:`~penchant.clients.histories.Event`), a dict or
                :class:`~penchant.clients.histories.History` with options of her own, or all as
                columns, :class:`~penchant.clients.histories.Histories`.
            k: items to answer, from 1 to the model's limit.
            target_action: action to recommend for, as in purchase; None is the model's own.
            exclude: items never to be answered, to none of them.
            allow: categories to keep to; none for all.
            now: when it is, as a datetime or seconds since 1970, or one a visitor; None is the
                current time.
            want: answers to ask for, some of :data:`ANSWERS`.
            deadline_s: most the whole call may take, in seconds; None means the client's.

        Returns:
            Answers to the B visitors, in their order.

        Raises:
            PenchantError: see :mod:`penchant.clients.errors`.
        """
        wish = Wish(now=now, target_action=target_action, exclude=exclude, allow=allow)
        return self._ask(_Question(read_once(histories), wish, k, want), deadline_s)


class AsyncJourneyClient(AsyncClient[JourneyContract]):
    """Says what visitors want next, in an event loop; as :class:`JourneyClient`, awaited.

    Example:
        >>> async with AsyncJourneyClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     answer = await client.recommend([[{"item": "coat-1", "action": "view"}]])
    """

    _contract_type = JourneyContract
    _least_question = _LEAST_QUESTION

    async def recommend(
        self,
        histories: AnyHistories,
        *,
        k: int = 10,
        target_action: str | None = None,
        exclude: Iterable[str | int] = (),
        allow: Iterable[str] = (),
        now: Any = None,
        want: Iterable[str] = tuple(ANSWERS),
        deadline_s: float | None = None,
    ) -> Recommendations:
        """Say what each visitor wants next; see :meth:`JourneyClient.recommend`.

        Cancelling drops the answer.
        """
        wish = Wish(now=now, target_action=target_action, exclude=exclude, allow=allow)
        return await self._ask(_Question(read_once(histories), wish, k, want), deadline_s)
