"""What the clients of all kinds of model share: options, the contract, readiness, closing.

Both faces, for threads and for asyncio, are thin ones of the same
:class:`~penchant.clients.endpoint.Endpoint`.

A client holds one connection; make one and keep it. A client for threads may be used from any
number of them, one for asyncio from one event loop. gRPC does not survive ``os.fork``: make the
client after forking, in each process (``multiprocessing`` with "spawn" or "forkserver", gunicorn in
its workers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Final, Generic, Self

from penchant.clients.endpoint import C, Endpoint, Question
from penchant.clients.exchange import Deadline
from penchant.clients.steps import run, run_async
from penchant.clients.transport import GrpcTransport, Tls, Transport, is_loopback
from penchant.clients.wire import A

DEFAULT_IN_FLIGHT: Final = 4
"""Requests that one call sends at a time when its rows need several."""


class ModelClient(Generic[C]):
    """Options, and the endpoint they make; a kind of model adds its contract and its question."""

    _contract_type: type[C]
    _least_question: Question[C, Any]
    """What a model of this kind always has an answer to."""

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float,
        model: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        in_flight: int = DEFAULT_IN_FLIGHT,
        transport: Transport | None = None,
    ) -> None:
        """Connects lazily: an unreachable server shows at the first call.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            deadline_s: most a call may take, in seconds; a call can be given another.
            model: name under which the model is served; by default its kind, as in propensity.
            tls: encrypt the connection.
            token: sent as ``authorization: Bearer …``; needs TLS, but on this machine.
            in_flight: most requests sent at a time for one call's rows.
            transport: another way to the server, instead of gRPC to ``url``.

        Raises:
            ValueError: an option that cannot be.
        """
        _check_url(url)
        if not isinstance(in_flight, int) or in_flight < 1:
            raise ValueError(f"in_flight: expected at least 1 request, got {in_flight!r}")
        if token is not None and tls is None and not is_loopback(url):
            raise ValueError(f"token: would go to {url} in the clear; give tls=Tls(...) with it")
        self.url: Final = url
        self.model: Final = model if model is not None else str(self._contract_type.kind)
        self.deadline_s: Final = Deadline.after(deadline_s).total_s
        self._endpoint = Endpoint(
            transport or GrpcTransport(url, tls=tls, token=token),
            model=self.model,
            url=url,
            window=in_flight,
            contract_type=self._contract_type,
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self.url!r}, model={self.model!r}, deadline_s={self.deadline_s})"

    def _limit_s(self, deadline_s: float | None) -> float:
        return self.deadline_s if deadline_s is None else deadline_s


class ThreadClient(ModelClient[C]):
    """The face for threads; safe to share between them."""

    @property
    def contract(self) -> C:
        """The model's contract, read from the server at first use.

        Raises:
            PenchantError: if it cannot be read within the deadline.
        """
        return run(self._endpoint.contract(self.deadline_s))

    def ready(self, *, deadline_s: float | None = None) -> bool:
        """Whether the model answers: asks it about one row of which everything is missing.

        Raises:
            AccessDenied: if the server refuses the credentials.
        """
        return run(self._endpoint.ready(self._least_question, self._limit_s(deadline_s)))

    def close(self) -> None:
        """Give the connection up; calls under way get a few seconds."""
        self._endpoint.close()

    def _ask(self, question: Question[C, A], deadline_s: float | None) -> A:
        return run(self._endpoint.ask(question, deadline_s=self._limit_s(deadline_s)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(ModelClient[C]):
    """The face for one event loop."""

    @property
    def contract(self) -> Awaitable[C]:
        """The model's contract, to be awaited; see :attr:`ThreadClient.contract`."""
        return run_async(self._endpoint.contract(self.deadline_s))

    async def ready(self, *, deadline_s: float | None = None) -> bool:
        """Whether the model answers; see :meth:`ThreadClient.ready`."""
        steps = self._endpoint.ready(self._least_question, self._limit_s(deadline_s))
        return await run_async(steps)

    async def close(self) -> None:
        """Give the connection up; calls under way get a few seconds."""
        await asyncio.to_thread(self._endpoint.close)

    async def _ask(self, question: Question[C, A], deadline_s: float | None) -> A:
        return await run_async(self._endpoint.ask(question, deadline_s=self._limit_s(deadline_s)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _check_url(url: str) -> None:
    text = url if isinstance(url, str) else ""
    host, colon, port = text.rpartition(":")
    if "://" in text or not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"url: expected host:port of the gRPC endpoint, got {url!r}")
