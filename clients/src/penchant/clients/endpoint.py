"""One model on one server: its contract, and calls that notice when a new version goes live."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from tritonclient.grpc import service_pb2

from penchant.clients.contract import CONTRACT_PARAMETER
from penchant.clients.errors import (
    AccessDenied,
    ClientClosed,
    InvalidAnswer,
    InvalidRequest,
    InvalidRows,
    Overloaded,
    PenchantError,
    ServerError,
)
from penchant.clients.exchange import Deadline, Exchange
from penchant.clients.steps import Steps, Work
from penchant.clients.transport import Call, Transport
from penchant.clients.wire import A, Messages
from penchant.clients.wire_contract import WireContract, read_contract

MAX_CONTRACTS: Final = 3
"""How often a call starts anew because the model's contract changed meanwhile."""
FRESH_S: Final = 1.0
"""How long a contract needs no second look because of rows that do not fit it, in seconds."""
REREAD_S: Final = 1.0
"""How long a refused call may take to find out whether the contract changed, in seconds."""
MAX_OPEN: Final = 1024
"""Most requests of a client without an answer, those included that nobody waits for any more."""
DRAIN_S: Final = 5.0
"""How long closing waits for late answers, in seconds; cancelling them can crash Triton 2.51."""


C = TypeVar("C", bound=WireContract)
_C_contra = TypeVar("_C_contra", bound=WireContract, contravariant=True)


class Question(Protocol[_C_contra, A]):
    """What a call asks, to be put into the messages of whichever contract the model has."""

    @property
    def is_long(self) -> bool:
        """Whether an event loop should not wait for the messages to be made."""

    def messages(self, contract: _C_contra, /) -> Messages[A]:
        """The requests.

        Raises:
            InvalidRequest: if it cannot be asked under this contract.
        """

    def joined(self, parts: Sequence[A], /) -> A:
        """Answers to consecutive requests, as one."""


@dataclass
class _Known(Generic[C]):
    """A contract as read from the server, and the versions whose answers it was seen to fit."""

    contract: C
    read_s: float
    """When, on the monotonic clock."""
    versions: set[tuple[str, int]] = field(default_factory=set)


class Endpoint(Generic[C]):
    """The steps of every call of a client; safe to use from several threads."""

    def __init__(
        self, transport: Transport, *, model: str, url: str, window: int, contract_type: type[C]
    ) -> None:
        self._transport = transport
        self._model = model
        self._url = url
        self._window = window
        self._contract_type = contract_type
        self._known: _Known[C] | None = None
        self._idle = threading.Condition()
        self._num_open = 0
        self._is_closed = False

    def contract(self, deadline_s: float) -> Steps[C]:
        """The contract, read from the server once."""
        known = yield from self._current(Deadline.after(deadline_s))
        return known.contract

    def ready(self, question: Question[C, Any], deadline_s: float) -> Steps[bool]:
        """Whether the model answers a question to which it always has an answer."""
        try:
            yield from self.ask(question, deadline_s=deadline_s)
        except (AccessDenied, ClientClosed):
            raise
        except PenchantError:
            return False
        return True

    def ask(self, question: Question[C, A], *, deadline_s: float) -> Steps[A]:
        """The answer to all of a question, under one contract."""
        deadline = Deadline.after(deadline_s)
        known = yield from self._current(deadline)
        for _ in range(MAX_CONTRACTS):
            error: PenchantError | None = None
            try:
                answer, versions = yield from self._attempt(question, known.contract, deadline)
                if versions <= known.versions:
                    return answer
            except (InvalidRequest, ServerError) as refused:
                is_fresh = time.monotonic() - known.read_s < FRESH_S
                if isinstance(refused, InvalidRows) and is_fresh:
                    raise
                error = refused
            # A version not met before, or a failure: perhaps the contract is another one by now,
            # be it only in the order of its columns.
            fresh = yield from self._read_again(deadline, error)
            if fresh.contract == known.contract:
                known.read_s = fresh.read_s
                if error is not None:
                    raise error
                known.versions.update(versions)
                return answer
            self._known = known = fresh
        raise ServerError(
            f"model {self._model!r} at {self._url}: its contract changed {MAX_CONTRACTS} times "
            "during one call; ask again once publishing is over"
        )

    def close(self) -> None:
        """Refuse new calls, wait a while for answers under way, give the connection up."""
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: self._num_open == 0, timeout=DRAIN_S)
        self._transport.close()

    def _current(self, deadline: Deadline) -> Steps[_Known[C]]:
        if self._known is None:
            self._known = yield from self._read(deadline)
        return self._known

    def _read_again(self, deadline: Deadline, error: PenchantError | None) -> Steps[_Known[C]]:
        """Read the contract; ``error``, if any, says more than a failure to do so."""
        if error is None:
            return (yield from self._read(deadline))
        try:
            soon = Deadline.after(max(0.001, min(deadline.left_s(), REREAD_S)))
            return (yield from self._read(soon))
        except PenchantError:
            raise error from error.__cause__

    def _read(self, deadline: Deadline) -> Steps[_Known[C]]:
        request = service_pb2.ModelConfigRequest(name=self._model)
        (response,) = yield from self._exchange(
            lambda _: self._transport.model_config(request, timeout_s=deadline.rpc_timeout_s()),
            num_batches=1,
            deadline=deadline,
        )
        parameters = response.config.parameters
        if CONTRACT_PARAMETER not in parameters:
            raise InvalidAnswer(
                f"model {self._model!r} at {self._url}: its config has no parameter "
                f"{CONTRACT_PARAMETER!r}; publish it with penchant"
            )
        try:
            contract = read_contract(parameters[CONTRACT_PARAMETER].string_value)
        except ValueError as error:
            raise InvalidAnswer(f"model {self._model!r} at {self._url}: {error}") from error
        if not isinstance(contract, self._contract_type):
            raise InvalidAnswer(
                f"model {self._model!r} at {self._url}: it is a {contract.kind} model, for which "
                "this client is not made; use the client of its kind, or name another model"
            )
        return _Known(contract, time.monotonic())

    def _attempt(
        self, question: Question[C, A], contract: C, deadline: Deadline
    ) -> Steps[tuple[A, set[tuple[str, int]]]]:
        messages: Messages[A] = yield Work(lambda: question.messages(contract), question.is_long)
        responses = yield from self._exchange(
            lambda at: self._transport.infer(
                messages.request(at, queue_timeout_us=deadline.queue_timeout_us()),
                timeout_s=deadline.rpc_timeout_s(),
            ),
            num_batches=len(messages),
            deadline=deadline,
        )
        parts = [messages.answer(at, response) for at, response in enumerate(responses)]
        versions = {
            (response.model_version, int(version))
            for response, part in zip(responses, parts, strict=True)
            for version in set(part.version.tolist())
        }
        return question.joined(parts), versions

    def _exchange(self, send: Any, *, num_batches: int, deadline: Deadline) -> Steps[Sequence[Any]]:
        return Exchange(
            send=partial(self._open, send),
            num_batches=num_batches,
            deadline=deadline,
            model=self._model,
            url=self._url,
            window=self._window,
        ).steps()

    def _open(self, send: Any, batch: int) -> Call:
        with self._idle:
            if self._is_closed:
                raise ClientClosed("client: it is closed; make a new one")
            if self._num_open >= MAX_OPEN:
                raise Overloaded(
                    f"model {self._model!r} at {self._url}: {self._num_open} requests of this "
                    "client have no answer yet; send fewer at a time or later, and restart a "
                    "server that hangs"
                )
            self._num_open += 1
        try:
            call: Call = send(batch)
        except BaseException:
            self._on_over(None)
            raise
        call.add_done_callback(self._on_over)
        return call

    def _on_over(self, call: object) -> None:
        with self._idle:
            self._num_open -= 1
            if self._num_open == 0:
                self._idle.notify_all()
