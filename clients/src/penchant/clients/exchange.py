"""The requests of one call on their way: bounded, retried where safe, answered in order.

Triton 2.51 can crash when a client cancels a call or its gRPC deadline passes
(github.com/triton-inference-server/server/issues/7368). So the caller's deadline is kept on this
side: the RPC itself gets a much longer one, is never cancelled, and a late answer is dropped; the
endpoint limits how many are under way. In the server's queue a request waits for at most a part of
what is left of the deadline.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, Final

import grpc

from penchant.clients.errors import (
    DeadlineExceeded,
    Overloaded,
    PenchantError,
    ServerUnavailable,
    from_rpc_error,
)
from penchant.clients.steps import Mailbox, Steps
from penchant.clients.transport import Call

QUEUE_SHARE: Final = 0.8
"""Part of the remaining deadline that a request may wait in the server's queue."""
RPC_GRACE_S: Final = 60.0
"""By how much an RPC outlives the caller's deadline, in seconds."""
FIRST_BACKOFF_S: Final = 0.05
"""Longest wait before the first retry, in seconds; doubles from retry to retry."""
LAST_BACKOFF_S: Final = 1.0
"""Longest wait before any retry, in seconds."""


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, and how it came about."""

    at_s: float
    """When, in seconds."""
    total_s: float
    """How long the call was given, in seconds."""

    @classmethod
    def after(cls, total_s: float) -> Deadline:
        """The deadline of a call that starts now.

        Raises:
            ValueError: if the time is not a positive number.
        """
        is_number = isinstance(total_s, Real) and not isinstance(total_s, bool)
        if not is_number or not 0 < total_s < float("inf"):
            raise ValueError(f"deadline_s: expected a positive number of seconds, got {total_s!r}")
        return cls(time.monotonic() + total_s, total_s)

    def left_s(self) -> float:
        """What remains, in seconds."""
        return self.at_s - time.monotonic()

    def queue_timeout_us(self) -> int:
        """How long a request sent now may queue, in microseconds (0 would mean for ever)."""
        return max(1, int(self.left_s() * QUEUE_SHARE * 1e6))

    def rpc_timeout_s(self) -> float:
        """When gRPC itself gives a call up that starts now, in seconds."""
        return max(0.0, self.left_s()) + RPC_GRACE_S


@dataclass
class _Batch:
    """One request of the call."""

    index: int
    not_before_s: float = 0.0
    num_failures: int = 0
    window: int = 1

    def back_off(self) -> None:
        self.num_failures += 1
        longest_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (self.num_failures - 1))
        # Jitter, so that callers that failed together do not return together.
        self.not_before_s = time.monotonic() + longest_s * random.uniform(0.5, 1.0)


def _deliver(mailbox: Mailbox[tuple[_Batch, Call]], batch: _Batch, call: Call) -> None:
    mailbox.put((batch, call))


@dataclass
class Exchange:
    """Sends ``num_batches`` requests and collects their answers."""

    send: Callable[[int], Call]
    """Sends the request of that index."""
    num_batches: int
    """How many there are."""
    deadline: Deadline
    """Of all of them together."""
    model: str
    """Model name, for messages."""
    url: str
    """Server address, for messages."""
    window: int
    """Most requests in flight; narrowed when the server's queue refuses them."""
    _waiting: list[_Batch] = field(init=False, default_factory=list)
    _in_flight: int = field(init=False, default=0)
    _last_error: PenchantError | None = field(init=False, default=None)

    def steps(self) -> Steps[Sequence[Any]]:
        """The answers, in the order of the requests.

        Raises:
            PenchantError: the first failure that is not worth a retry, or that no time is left for.
        """
        self.window = min(self.window, self.num_batches)
        self._waiting = [_Batch(index) for index in reversed(range(self.num_batches))]
        answers: list[Any] = [None] * self.num_batches
        mailbox: Mailbox[tuple[_Batch, Call]] = Mailbox()
        num_answers = 0
        while num_answers < self.num_batches:
            self._send_due(mailbox)
            yield mailbox.wait(self._next_event_s())
            for batch, call in mailbox.take():
                self._in_flight -= 1
                try:
                    answers[batch.index] = call.result()
                    num_answers, self._last_error = num_answers + 1, None
                except grpc.RpcError as error:
                    self._on_failure(batch, error)
            if num_answers < self.num_batches and self.deadline.left_s() <= 0:
                raise self._out_of_time()
        return answers

    def _send_due(self, mailbox: Mailbox[tuple[_Batch, Call]]) -> None:
        now_s = time.monotonic()
        while self._waiting and self._in_flight < self.window:
            if self._waiting[-1].not_before_s > now_s:
                break
            batch = self._waiting.pop()
            batch.window = self.window
            self._in_flight += 1
            call = self.send(batch.index)
            call.add_done_callback(partial(_deliver, mailbox, batch))

    def _next_event_s(self) -> float:
        if self._waiting and self._in_flight < self.window:
            return min(self.deadline.at_s, self._waiting[-1].not_before_s)
        return self.deadline.at_s

    def _on_failure(self, batch: _Batch, error: grpc.RpcError) -> None:
        failure = from_rpc_error(error, model=self.model, url=self.url)
        failure.__cause__ = error
        is_self_inflicted = isinstance(failure, Overloaded) and batch.window > 1
        if not (is_self_inflicted or isinstance(failure, ServerUnavailable)):
            raise failure
        if is_self_inflicted:
            # What fills the queue may be this call's own other requests: send fewer at a time.
            self.window = max(1, min(self.window, batch.window // 2))
        batch.back_off()
        self._last_error = failure
        if batch.not_before_s >= self.deadline.at_s:
            raise self._out_of_time()
        self._waiting.append(batch)
        self._waiting.sort(key=lambda waiting: (-waiting.not_before_s, -waiting.index))

    def _out_of_time(self) -> PenchantError:
        if self._last_error is not None:
            return self._last_error
        return DeadlineExceeded(
            f"model {self.model!r} at {self.url}: no answer within {self.deadline.total_s} s"
        )
