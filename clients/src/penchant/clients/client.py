"""Clients of a served propensity model, for threads and for asyncio.

Both are thin faces of the same :class:`~penchant.clients.endpoint.Endpoint`.

A client holds one connection; make one and keep it. :class:`PropensityClient` may be used from any
number of threads, :class:`AsyncPropensityClient` from one event loop. gRPC does not survive
``os.fork``: make the client after forking, in each process (``multiprocessing`` with "spawn" or
"forkserver", gunicorn in its workers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Final, Self

from penchant.clients.contract import Contract
from penchant.clients.endpoint import Endpoint
from penchant.clients.exchange import Deadline
from penchant.clients.rows import Rows
from penchant.clients.scores import Scores
from penchant.clients.steps import run, run_async
from penchant.clients.transport import GrpcTransport, Tls, Transport, is_loopback

DEFAULT_IN_FLIGHT: Final = 4
"""Requests that one call sends at a time when its rows need several."""


class _Client:
    """What both clients share: options, and the endpoint they make."""

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float,
        model: str = "propensity",
        tls: Tls | None = None,
        token: str | None = None,
        in_flight: int = DEFAULT_IN_FLIGHT,
        transport: Transport | None = None,
    ) -> None:
        """Connects lazily: an unreachable server shows at the first call.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            deadline_s: most a call may take, in seconds; a call can be given another.
            model: name under which the model is served.
            tls: encrypt the connection.
            token: sent as ``authorization: Bearer …``; needs TLS, but on this machine.
            in_flight: most requests sent at a time for one call's rows.
            transport: another way to the server, instead of gRPC to ``url``.

        Raises:
            ValueError: an option that cannot be.
        """
        _check_url(url)
        if in_flight < 1:
            raise ValueError(f"in_flight: expected at least 1, got {in_flight}")
        if token is not None and tls is None and not is_loopback(url):
            raise ValueError(f"token: would go to {url} in the clear; give tls=Tls(...) with it")
        self.url: Final = url
        self.model: Final = model
        self.deadline_s: Final = Deadline.after(deadline_s).total_s
        self._endpoint = Endpoint(
            transport or GrpcTransport(url, tls=tls, token=token),
            model=model,
            url=url,
            window=in_flight,
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self.url!r}, model={self.model!r}, deadline_s={self.deadline_s})"

    def _deadline_s(self, deadline_s: float | None) -> float:
        return self.deadline_s if deadline_s is None else deadline_s


class PropensityClient(_Client):
    """Scores rows, in the calling thread; safe to share between threads.

    Example:
        >>> with PropensityClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     scores = client.score([{"PageValues": 12.5, "Month": "Nov"}])
        ...     scores.for_goal("purchase"), scores.reasons(0)
    """

    @property
    def contract(self) -> Contract:
        """The model's contract, read from the server at first use.

        Raises:
            PenchantError: if it cannot be read within the deadline.
        """
        return run(self._endpoint.contract(self.deadline_s))

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
        limit_s = self._deadline_s(deadline_s)
        return run(self._endpoint.score(rows, reasons=reasons, deadline_s=limit_s))

    def ready(self, *, deadline_s: float | None = None) -> bool:
        """Whether the model answers: scores one row of which everything is missing.

        Raises:
            AccessDenied: if the server refuses the credentials.
        """
        return run(self._endpoint.ready(self._deadline_s(deadline_s)))

    def close(self) -> None:
        """Give the connection up; calls under way get a few seconds."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncPropensityClient(_Client):
    """Scores rows, in an event loop; as :class:`PropensityClient`, awaited.

    Example:
        >>> async with AsyncPropensityClient("127.0.0.1:8001", deadline_s=0.1) as client:
        ...     scores = await client.score([{"PageValues": 12.5, "Month": "Nov"}])
    """

    @property
    def contract(self) -> Awaitable[Contract]:
        """The model's contract, to be awaited; see :attr:`PropensityClient.contract`."""
        return run_async(self._endpoint.contract(self.deadline_s))

    async def score(
        self, rows: Rows, *, reasons: bool = True, deadline_s: float | None = None
    ) -> Scores:
        """Score rows; see :meth:`PropensityClient.score`. Cancelling drops the answer."""
        limit_s = self._deadline_s(deadline_s)
        return await run_async(self._endpoint.score(rows, reasons=reasons, deadline_s=limit_s))

    async def ready(self, *, deadline_s: float | None = None) -> bool:
        """Whether the model answers; see :meth:`PropensityClient.ready`."""
        return await run_async(self._endpoint.ready(self._deadline_s(deadline_s)))

    async def close(self) -> None:
        """Give the connection up; calls under way get a few seconds."""
        await asyncio.to_thread(self._endpoint.close)

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
    host, colon, port = url.rpartition(":")
    if "://" in url or not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"url: expected host:port of the gRPC endpoint, got {url!r}")
