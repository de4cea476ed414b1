from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest

from penchant.clients import errors


@dataclass
class _RpcError:
    status: grpc.StatusCode
    text: str

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.text


CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (CODE.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", errors.Overloaded),
        (CODE.UNAVAILABLE, "[request id: <id_unknown>] Request timeout expired", errors.Overloaded),
        (CODE.UNAVAILABLE, "failed to connect to all addresses", errors.ServerUnavailable),
        (CODE.UNAVAILABLE, "This protocol is restricted, expecting x", errors.AccessDenied),
        (CODE.CANCELLED, "CANCELLED", errors.ServerUnavailable),
        (CODE.CANCELLED, "Channel closed!", errors.ClientClosed),
        (CODE.NOT_FOUND, "unknown model: 'x' is not found", errors.ModelNotFound),
        (CODE.NOT_FOUND, "model: 'x' has no available versions", errors.ServerUnavailable),
        (CODE.INVALID_ARGUMENT, "unexpected shape", errors.InvalidRequest),
        (CODE.RESOURCE_EXHAUSTED, "Received message larger than max", errors.InvalidRequest),
        (CODE.RESOURCE_EXHAUSTED, "quota", errors.Overloaded),
        (CODE.UNAUTHENTICATED, "no token", errors.AccessDenied),
        (CODE.PERMISSION_DENIED, "no", errors.AccessDenied),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
        (CODE.INTERNAL, "Stub process 'x_0_0' is not healthy.", errors.ServerUnavailable),
        (CODE.INTERNAL, "boom", errors.ServerError),
        (CODE.UNIMPLEMENTED, "", errors.ServerError),
    ],
)
def test_each_status_has_its_error(
    status: grpc.StatusCode, text: str, expected: type[errors.PenchantError]
) -> None:
    error = errors.from_rpc_error(_RpcError(status, text), model="m", url="h:1")
    assert type(error) is expected
    assert "model 'm' at h:1" in str(error)
    assert "request id" not in str(error)


def test_errors_are_also_the_builtin_ones_that_callers_expect() -> None:
    assert issubclass(errors.InvalidRows, ValueError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
    assert issubclass(errors.ServerUnavailable, ConnectionError)
