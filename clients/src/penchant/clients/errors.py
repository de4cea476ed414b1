"""What can go wrong between a caller and a model, as one small tree.

    PenchantError
    ├── InvalidRequest (ValueError)        the request is at fault; sending it again does not help
    │   └── InvalidRows                    the rows do not fit the contract; nothing was sent
    ├── ModelNotFound                      the server does not serve that model
    ├── AccessDenied                       the server, or a proxy before it, wants other credentials
    ├── ServerUnavailable                  no server answers there, or it is starting or stopping
    ├── Overloaded                         the server's queue is full, or the wait in it too long
    ├── DeadlineExceeded (TimeoutError)    no answer within the caller's deadline
    ├── ServerError                        the server failed while it handled the request
    │   └── InvalidAnswer                  the server's answer does not fit its own contract
    └── ClientClosed (RuntimeError)        the client was used after it was closed

:func:`from_rpc_error` is the only place where gRPC's errors become these; the cause is kept as
``__cause__``.
"""

# ruff: noqa: N818  (names say what happened, as httpx's do; "Error" would add nothing)

from __future__ import annotations


class PenchantError(Exception):
    """Any failure of a penchant client."""


class InvalidRequest(PenchantError, ValueError):
    """The request is at fault; the message says what to change."""


class InvalidRows(InvalidRequest):
    """The rows do not fit the model's contract; nothing was sent."""


class ModelNotFound(PenchantError):
    """The server does not serve that model."""


class AccessDenied(PenchantError):
    """The server, or a proxy before it, refused the credentials."""


class ServerUnavailable(PenchantError):
    """No server answers at that address, or it is starting or stopping."""


class Overloaded(PenchantError):
    """The server's queue is full, or the request waited in it for too long; send less, or later."""


class DeadlineExceeded(PenchantError, TimeoutError):
    """No answer came within the caller's deadline; a late one is dropped."""


class ServerError(PenchantError):
    """The server failed while it handled the request."""


class InvalidAnswer(ServerError):
    """The server's answer does not fit its own contract."""


class ClientClosed(PenchantError, RuntimeError):
    """The client was used after it was closed."""
