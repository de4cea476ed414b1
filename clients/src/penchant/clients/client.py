"""Clients of a served propensity model, for threads and for asyncio.

What they have in common with the clients of other kinds of model is in
:mod:`~penchant.clients.model_client`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from penchant.clients.contract import Contract
from penchant.clients.model_client import AsyncClient, ThreadClient
from penchant.clients.rows import Rows, to_tensors
from penchant.clients.scores import Scores
from penchant.clients.wire import Batches

LONG_ROWS: Final = 1_000
"""Rows from which an event loop should not wait for their conversion."""


@dataclass(frozen=True, eq=False)
class _Question:
    """How likely is it for these rows, and perhaps why?"""

    rows: Rows
    reasons: bool

    @property
    def is_long(self) -> bool:
        return _num_rows_at_least(self.rows, LONG_ROWS)

    def messages(self, contract: Contract, /) -> Batches:
        return Batches(to_tensors(self.rows, contract), contract, reasons=self.reasons)

    def joined(self, parts: Sequence[Scores], /) -> Scores:
        return Scores.concatenate(parts)


_LEAST_QUESTION: Final = _Question([{}], reasons=False)


class PropensityClient(ThreadClient[Contract]):
    """Scores rows, in the calling thread; safe to share between threads.

    Example:
        >>> with PropensityClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     scores = client.score([{"PageValues": 12.5, "Month": "Nov"}])
        ...     scores.for_goal("purchase"), scores.reasons(0)
    """

    _contract_type = Contract
    _least_question = _LEAST_QUESTION

    def score(self, rows: Rows, *, reasons: bool = True, deadline_s: float | None = None) -> Scores:
        """Score rows: dicts, a data frame, or a mapping from column to values.

        More rows than one request may hold are sent as several, concurrently.

        Args:
            rows: B of them; see :func:`~penchant.clients.rows.to_tensors`.
            reasons: also say why; costs the server some time.
            deadline_s: most the whole call may take, in seconds; None means the client's.

        Returns:
            Scores of the B rows, in their order.

        Raises:
            PenchantError: see :mod:`penchant.clients.errors`.
        """
        return self._ask(_Question(rows, reasons), deadline_s)


class AsyncPropensityClient(AsyncClient[Contract]):
    """Scores rows, in an event loop; as :class:`PropensityClient`, awaited.

    Example:
        >>> async with AsyncPropensityClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     scores = await client.score([{"PageValues": 12.5, "Month": "Nov"}])
    """

    _contract_type = Contract
    _least_question = _LEAST_QUESTION

    async def score(
        self, rows: Rows, *, reasons: bool = True, deadline_s: float | None = None
    ) -> Scores:
        """Score rows; see :meth:`PropensityClient.score`. Cancelling drops the answer."""
        return await self._ask(_Question(rows, reasons), deadline_s)


def _num_rows_at_least(rows: Any, limit: int) -> bool:
    """Whether this may be ``limit`` rows or more; columns are not looked into."""
    return not isinstance(rows, list | tuple) or len(rows) >= limit
