"""One implementation for two kinds of caller: generators that say what to wait for.

A generator of :class:`Pause` and :class:`Work` holds the logic. :func:`run` drives it in the
calling thread, :func:`run_async` drives the same one in an event loop. Neither makes a thread per
request; answers arrive on gRPC's own thread, through a :class:`Mailbox`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Pause:
    """Wait until ``arrival`` is done or the monotonic clock shows ``until_s``."""

    arrival: Future[None]
    until_s: float


@dataclass(frozen=True)
class Work:
    """Compute something that may take long; its result is sent back, or its error thrown back."""

    function: Callable[[], Any]
    is_long: bool
    """Whether an event loop should not wait for it."""


Steps: TypeAlias = Generator[Pause | Work, Any, T]


class Mailbox(Generic[T]):
    """What other threads hand to a running generator."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[T] = []
        self._arrival: Future[None] | None = None

    def put(self, item: T) -> None:
        """Add an item, and wake the generator."""
        with self._lock:
            self._items.append(item)
            arrival = self._arrival
        if arrival is not None:
            with suppress(InvalidStateError):  # cancelled by an event loop that stopped waiting
                arrival.set_result(None)

    def take(self) -> list[T]:
        """All items so far."""
        with self._lock:
            items, self._items, self._arrival = self._items, [], None
        return items

    def wait(self, until_s: float) -> Pause:
        """Wait for the next item; over at once if there is one."""
        arrival: Future[None] = Future()
        with self._lock:
            self._arrival = arrival
            is_empty = not self._items
        return Pause(arrival, until_s if is_empty else 0.0)


def run(steps: Steps[T]) -> T:
    """Drive ``steps`` in this thread and return their result."""
    outcome: Any = None
    try:
        while True:
            step = _advance(steps, outcome)
            if isinstance(step, Pause):
                outcome = _wait(step.arrival, step.until_s)
            else:
                outcome = _outcome(step.function)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        steps.close()


async def run_async(steps: Steps[T]) -> T:
    """Drive ``steps`` in this event loop and return their result."""
    outcome: Any = None
    try:
        while True:
            step = _advance(steps, outcome)
            if isinstance(step, Pause):
                outcome = await _wait_async(step.arrival, step.until_s)
            elif step.is_long:
                outcome = await asyncio.to_thread(_outcome, step.function)
            else:
                outcome = _outcome(step.function)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        steps.close()


def _advance(steps: Steps[Any], outcome: Any) -> Pause | Work:
    return steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)


def _outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # handed to the generator, which knows what it means
        return error


def _wait(arrival: Future[None], until_s: float) -> Any:
    remaining_s = until_s - time.monotonic()
    if remaining_s > 0:
        with suppress(TimeoutError):
            arrival.result(timeout=remaining_s)


async def _wait_async(arrival: Future[None], until_s: float) -> Any:
    remaining_s = until_s - time.monotonic()
    if remaining_s <= 0:
        return
    wrapped = asyncio.wrap_future(arrival)
    try:
        await asyncio.wait([wrapped], timeout=remaining_s)
    finally:
        wrapped.cancel()
