"""What can go wrong between a caller and a model, as one small tree.

    PenchantError
    ├── InvalidRequest (ValueError)        the request is at fault; sending it again does not help
    │   └── InvalidRows                    the rows do not fit the contract; none was scored
    ├── ModelNotFound                      the server does not serve that model
    ├── AccessDenied                       the server, or a proxy before it, wants other credentials
    ├── ServerUnavailable (ConnectionError)  no server answers, or it is starting or stopping
    ├── Overloaded                         the server's queue is full, or the wait in it too long,
    │                                      or too many of this client's requests have no answer yet
    ├── DeadlineExceeded (TimeoutError)    no answer within the caller's deadline
    ├── ServerError                        the server failed while it handled the request
    │   └── InvalidAnswer                  the server's answer does not fit its own contract
    └── ClientClosed (RuntimeError)        the client was used after it was closed

:func:`from_rpc_error` is the only place where gRPC's errors become these; the cause is kept as
``__cause__``.
"""

# ruff: noqa: N818  (names say what happened, as httpx's do; "Error" would add nothing)

from __future__ import annotations

import re
from typing import Any, Final, Protocol


class PenchantError(Exception):
    """Any failure of a penchant client."""


class InvalidRequest(PenchantError, ValueError):
    """The request is at fault; the message says what to change."""


class InvalidRows(InvalidRequest):
    """The rows do not fit the model's contract; none of them was scored.

    The contract may have been read from the server again, to see whether it is another by now.
    """


class ModelNotFound(PenchantError):
    """The server does not serve that model."""


class AccessDenied(PenchantError):
    """The server, or a proxy before it, refused the credentials."""


class ServerUnavailable(PenchantError, ConnectionError):
    """No server answers at that address, or it is starting or stopping."""


class Overloaded(PenchantError):
    """The server's queue is full, or the request waited in it for too long; send less, or later.

    Also where too many of this client's own requests have no answer yet.
    """


class DeadlineExceeded(PenchantError, TimeoutError):
    """No answer came within the caller's deadline; a late one is dropped."""


class ServerError(PenchantError):
    """The server failed while it handled the request."""


class InvalidAnswer(ServerError):
    """The server's answer does not fit its own contract."""


class ClientClosed(PenchantError, RuntimeError):
    """The client was used after it was closed."""


_QUEUE_REFUSALS: Final = ("Exceeds maximum queue size", "Request timeout expired")
_NOT_YET: Final = ("has no available versions", "is not ready", "Stub process")
"""Triton while it loads, stops, or has lost a model's process, under various status codes."""


class RpcError(Protocol):
    """What this module needs of ``grpc.RpcError`` as calls raise it."""

    def code(self) -> Any:
        """Status code, an enumeration member."""

    def details(self) -> str | None:
        """The server's text."""


def from_rpc_error(error: RpcError, *, model: str, url: str) -> PenchantError:
    """The error that gRPC's stands for.

    Triton gives UNAVAILABLE for a full queue as for a lost connection, so the text decides too.
    """
    status = error.code().name
    details = re.sub(r"^\[request id: \S+\] ", "", error.details() or status)
    at = f"model {model!r} at {url}"
    if details == "Channel closed!":
        return ClientClosed(f"{at}: the client was closed while the call was under way")
    if any(text in details for text in _QUEUE_REFUSALS):
        return Overloaded(f"{at}: {details}; send fewer rows at a time, or later")
    if "protocol is restricted" in details or status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDenied(f"{at}: {details}; check the token and the client certificate")
    if any(text in details for text in _NOT_YET):
        return ServerUnavailable(f"{at}: {details}; the server is starting, stopping or restarting")
    if status in ("UNAVAILABLE", "CANCELLED"):
        return ServerUnavailable(f"{at}: no server answers ({details}); start it: penchant serve")
    if status in ("INVALID_ARGUMENT", "OUT_OF_RANGE") or "message larger than max" in details:
        return InvalidRequest(f"{at}: {details}")
    return _ALIKE.get(status, ServerError)(f"{at}: {details} ({status})")


_ALIKE: Final[dict[str, type[PenchantError]]] = {
    "NOT_FOUND": ModelNotFound,
    "RESOURCE_EXHAUSTED": Overloaded,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}
