"""A tracking server that is down, slow or wrong when a test wants it so: a proxy before MLflow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

SLOW_S: Final = 12.0
"""How long a slow store takes to answer."""
Mood = Literal["well", "error", "empty", "garbage", "slow", "another model", "no aliases"]


@dataclass
class FaultyStore:
    """Passes requests on, or answers them as the mood is."""

    upstream: str
    """host:port of the real server."""
    mood: Mood = "well"
    num_requests: int = 0
    url: str = field(default="", init=False)


@contextmanager
def faulty_store(upstream: str) -> Iterator[FaultyStore]:
    """Run the proxy as long as the block runs."""
    store = FaultyStore(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            store.num_requests += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = 200, b"{}"
            if store.mood == "error":
                status = 500
            elif store.mood == "garbage":
                answer = b"<html>Welcome to the hotel's network</html>"
            elif store.mood == "slow":
                time.sleep(SLOW_S)
            elif store.mood != "empty":
                status, answer = self._pass_on(body)
                if store.mood == "another model":
                    answer = answer.replace(b'"tiny"', b'"other"')
                elif store.mood == "no aliases":
                    answer = answer.replace(b'"aliases"', b'"no_aliases"')
            with suppress(BrokenPipeError):  # the caller has given up
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def _pass_on(self, body: bytes) -> tuple[int, bytes]:
            connection = HTTPConnection(store.upstream, timeout=30)
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            return response.status, answer

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
