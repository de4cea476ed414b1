"""Waiting for a server that is down or overloaded, up to a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from penchant.clients.errors import DeadlineExceeded, Overloaded, ServerUnavailable

PASSING: Final = (ServerUnavailable, Overloaded, DeadlineExceeded)
"""Errors that patience may cure."""
LONGEST_PAUSE_S: Final = 5.0
"""Longest wait between two tries, in seconds."""


class Patience:
    """Tries again while the server is away, up to a limit of time without any answer."""

    def __init__(self, limit_s: float, *, hint: str) -> None:
        self._limit_s = limit_s
        self._hint = hint

    async def until(self, ask: Callable[[], Any]) -> Any:
        """The first answer.

        Args:
            ask: gives something to be awaited, at each try.

        Raises:
            PenchantError: once the limit is reached, with the hint; at once if it is none of
                :data:`PASSING`.
        """
        since_s = time.monotonic()
        pause_s = 0.25
        while True:
            try:
                return await ask()
            except PASSING as error:
                waited_s = time.monotonic() - since_s
                if waited_s + pause_s > self._limit_s:
                    raise type(error)(f"{error} (waited {waited_s:.0f} s; {self._hint})") from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
