"""How a client reaches a server: a seam with gRPC behind it.

Tests and callers with a connection of their own may pass another :class:`Transport`.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Protocol

import grpc
from tritonclient.grpc import MAX_GRPC_MESSAGE_SIZE, KeepAliveOptions, service_pb2_grpc

_KEEPALIVE: Final = KeepAliveOptions()
CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_send_message_length", MAX_GRPC_MESSAGE_SIZE),
    ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_SIZE),
    ("grpc.keepalive_time_ms", _KEEPALIVE.keepalive_time_ms),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE.keepalive_timeout_ms),
    ("grpc.keepalive_permit_without_calls", _KEEPALIVE.keepalive_permit_without_calls),
    ("grpc.http2.max_pings_without_data", _KEEPALIVE.http2_max_pings_without_data),
    # gRPC waits up to 2 minutes between two tries to reconnect; a server is back in seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # The client retries by itself, within its deadline and never on a full queue.
    ("grpc.enable_retries", 0),
)
"""tritonclient's own options, which any given option would replace, and ours."""


def is_loopback(url: str) -> bool:
    """Whether the host of ``host:port`` is this machine: localhost or a loopback address."""
    host = url.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def channel_options(url: str) -> list[tuple[str, Any]]:
    """Options of a channel to ``host:port``; one to this machine never goes through a proxy."""
    options = list(CHANNEL_OPTIONS)
    if is_loopback(url):
        options.append(("grpc.enable_http_proxy", 0))
    return options


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Encryption of the connection; with a key and a certificate the client proves who it is."""

    root_certificates: Path | None = None
    """PEM file of the authorities that sign servers; None means gRPC's own."""
    client_key: Path | None = None
    """PEM file of the client's private key."""
    client_certificate: Path | None = None
    """PEM file of the client's certificate chain."""
    server_name: str | None = None
    """Name in the server's certificate, if it is not the host of the address."""

    def __post_init__(self) -> None:
        if (self.client_key is None) != (self.client_certificate is None):
            raise ValueError(
                "tls: expected client_key and client_certificate together, got one; give both"
            )
        for name in ("root_certificates", "client_key", "client_certificate"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise ValueError(f"tls.{name}: expected a PEM file, found none at {path}")

    def credentials(self) -> grpc.ChannelCredentials:
        """gRPC's credentials."""
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes(self.root_certificates),
            private_key=_bytes(self.client_key),
            certificate_chain=_bytes(self.client_certificate),
        )


class Call(Protocol):
    """An answer on its way; ``grpc.Future`` is one."""

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Have ``callback`` called with this call once it is over, from any thread."""

    def result(self) -> Any:
        """The answer, or raise ``grpc.RpcError``; called only once the call is over."""


class Transport(Protocol):
    """Sends KServe v2 messages to one server. Safe to use from several threads."""

    def infer(self, request: Any, *, timeout_s: float) -> Call:
        """Send a ``ModelInferRequest``."""

    def model_config(self, request: Any, *, timeout_s: float) -> Call:
        """Send a ``ModelConfigRequest``."""

    def close(self) -> None:
        """Give the connection up."""


NUM_CALLERS: Final = 2
"""Threads of a connection for calls that would find it idle."""


class GrpcTransport:
    """One gRPC channel."""

    def __init__(self, url: str, *, tls: Tls | None = None, token: str | None = None) -> None:
        options = channel_options(url)
        if tls is None:
            self._channel = grpc.insecure_channel(url, options=options)
        else:
            if tls.server_name is not None:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            self._channel = grpc.secure_channel(url, tls.credentials(), options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._callers = _Callers(NUM_CALLERS)
        self._metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()

    def infer(self, request: Any, *, timeout_s: float) -> Call:
        """Send a ``ModelInferRequest``."""
        blocking = partial(
            self._stub.ModelInfer, request, timeout=timeout_s, metadata=self._metadata
        )
        call = self._callers.call(blocking)
        if call is None:
            call = self._stub.ModelInfer.future(request, timeout=timeout_s, metadata=self._metadata)
        return call

    def model_config(self, request: Any, *, timeout_s: float) -> Call:
        """Send a ``ModelConfigRequest``."""
        call: Call = self._stub.ModelConfig.future(
            request, timeout=timeout_s, metadata=self._metadata
        )
        return call

    def close(self) -> None:
        """Close the channel."""
        self._callers.close()
        self._channel.close()

    def __del__(self) -> None:
        if hasattr(self, "_callers"):  # the threads of a client that nobody closed
            self._callers.close()


class _Callers:
    """A few threads that make blocking calls, while not all of them are busy.

    A gRPC future on an otherwise idle channel starts a thread for itself, which costs a lone
    caller a good tenth of a millisecond. Under load that thread is there already, so calls beyond
    these few are futures.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._num_threads = 0
        self._num_idle = 0
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    def call(self, blocking: Callable[[], Any]) -> Call | None:
        """Have a thread make the call, or None if none is free."""
        with self._lock:
            if self._num_idle > 0:
                self._num_idle -= 1
            elif self._num_threads < self._limit:
                self._num_threads += 1
                threading.Thread(target=self._work, name="penchant-client", daemon=True).start()
            else:
                return None
        call: Future[Any] = Future()
        self._jobs.put((blocking, call))
        return call

    def close(self) -> None:
        """End the threads once they are idle."""
        with self._lock:
            for _ in range(self._num_threads):
                self._jobs.put(None)
            self._num_threads = self._limit = self._num_idle = 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            blocking, call = job
            del job
            try:
                answer, error = blocking(), None
            except Exception as raised:  # the caller's to handle
                answer, error = None, raised
            with self._lock:  # before the answer, which may bring the next call at once
                self._num_idle += 1
            if error is None:
                call.set_result(answer)
            else:
                call.set_exception(error)
            del blocking, call, answer, error


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
