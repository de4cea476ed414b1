"""Keep one tritonserver answering: start it, have it watched, restart it, drain it.

``penchant serve``, the demo and the tests run the same code: ``running_server`` is the whole of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from penchant.clients.home import Home
from penchant.serving.canary import CanaryError
from penchant.serving.endpoint_file import EndpointFile
from penchant.serving.health import Watch
from penchant.serving.process import free_port
from penchant.serving.repository import Repository
from penchant.serving.server_plan import ServerPlan
from penchant.serving.tritonserver import LOOPBACK, find_tritonserver
from penchant.serving.watched_server import WatchedServer

_logger: Final = logging.getLogger(__name__)


class Supervisor:
    """One server and the thread that watches it."""

    def __init__(
        self,
        repository: Repository,
        home: Home,
        *,
        grpc_port: int = 0,
        metrics_port: int = 0,
        watch: Watch | None = None,
        open_statistics: bool = False,
        report: Callable[[str], None] = _logger.warning,
    ) -> None:
        """Nothing is started yet.

        Args:
            repository: what to serve.
            home: where the log and the endpoint file go.
            grpc_port: port of the endpoint, 0 for any free one; it stays the same over restarts.
            metrics_port: port of the Prometheus metrics, 0 for any free one.
            watch: how closely to watch.
            open_statistics: whether everyone may read the server's statistics.
            report: called with a line for each event that a person should know of; the server is
                kept whatever becomes of the line.

        Raises:
            ValueError: if there is no server, no model, or a port is taken.
        """
        self.repository = repository
        self.home = home
        self._report = report
        self._stopping = threading.Event()
        self._started: Future[None] = Future()
        server = find_tritonserver()
        if not repository.models():
            raise ValueError(
                f"repository: expected at least one model in {repository.folder}, got none; "
                "`penchant train` and `penchant publish` put one there"
            )
        self._plan = ServerPlan(
            repository=repository,
            home=home,
            server=server,
            ports=(free_port(grpc_port, "grpc_port"), free_port(metrics_port, "metrics_port")),
            watch=watch or Watch(),
            say=self._say,
            stopping=self._stopping,
            open_statistics=open_statistics,
        )
        # A daemon, because whoever forgets to stop it must still be able to end: the server dies
        # with this thread.
        self._thread = threading.Thread(target=self._run, name="penchant-supervisor", daemon=True)
        self._current: WatchedServer | None = None
        self._error: Exception | None = None
        self._endpoint = EndpointFile(home.endpoint, grpc=self.address, metrics=self.metrics_url)
        self._said = ""
        self._num_restarts = 0
        self._version = ""

    @property
    def address(self) -> str:
        """host:port of the gRPC endpoint."""
        return self._plan.address

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus metrics."""
        return f"http://{LOOPBACK}:{self._plan.ports[1]}/metrics"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the served models."""
        return tuple(self._server.models)

    @property
    def pid(self) -> int:
        """Process id of the tritonserver that runs now."""
        return self._server.process.pid

    @property
    def shm_prefix(self) -> str:
        """How the names of its shared memory begin."""
        return self._server.process.shm_prefix

    @property
    def headers(self) -> dict[str, str]:
        """Request headers that open what is guarded by the secret of the server that runs now."""
        return self._server.process.headers

    @property
    def num_restarts(self) -> int:
        """How often the server was started anew."""
        return self._num_restarts

    @property
    def version(self) -> str:
        """Triton's version."""
        return self._version

    @property
    def error(self) -> Exception | None:
        """What ended the watching, where nobody asked for it."""
        return self._error

    def start(self) -> None:
        """Start the server and wait until every model has given the right answer.

        Raises:
            ValueError: if it does not come up; the message holds the server's last words.
        """
        try:
            self._thread.start()
            self._started.result()
        except BaseException:
            # Ctrl-C above all: what has been started must not stay.
            self.stop()
            raise

    def stop(self) -> None:
        """Let the server finish what it has taken, and end it, however far it has come."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def request_stop(self) -> None:
        """Ask for what :meth:`stop` does, without waiting for it."""
        self._stopping.set()

    def is_watching(self) -> bool:
        """Whether the server is still watched over."""
        return self._thread.is_alive()

    def kill(self) -> None:
        """End the server at once; requests in flight are lost."""
        self._stopping.set()
        if self._current is not None:
            self._current.process.kill()
        self.stop()

    def describe(self) -> str:
        """What is served and where, in one line."""
        models = ", ".join(self._plan.described(model) for model in self.models)
        return f"serving {models} at {self.address} (gRPC), metrics at {self.metrics_url}"

    @property
    def _server(self) -> WatchedServer:
        if self._current is None:
            raise RuntimeError("the supervisor has started no server yet")
        return self._current

    def _say(self, line: str) -> None:
        """Report, whatever becomes of it: a full disk or a closed terminal must end no server."""
        try:
            self._report(line)
        except (Exception, SystemExit):  # rich ends the program where its reader is gone
            _logger.debug("could not report: %s", line, exc_info=True)

    # What follows runs in the supervisor's own thread: a server dies with its starter's thread.

    def _run(self) -> None:
        try:
            self._bring_up(forgiving=False)
        except Exception as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        try:
            self._watch()
        except Exception as error:
            self._error = error
            self._say(f"the supervisor failed: {error!r}")
        finally:
            self._endpoint.remove()
            self._server.stop()

    def _watch(self) -> None:
        every_s = self._plan.watch.canary_every_s
        next_canary = time.monotonic() + every_s
        while not self._stopping.wait(self._plan.watch.interval_s):
            # What failed is looked at again at once.
            canaries = time.monotonic() >= next_canary or self._server.in_doubt
            if canaries:
                next_canary = time.monotonic() + every_s
            self._look(canaries=canaries)

    def _look(self, *, canaries: bool) -> None:
        try:
            trouble = self._server.trouble(canaries=canaries)
            if trouble:
                self._restart(trouble)
            self._endpoint.tell(self.models)
            self._said = ""
        except (OSError, ValueError) as error:
            # A full disk or a damaged config must not end a server that answers.
            if str(error) != self._said:
                self._said = str(error)
                self._say(self._said)

    def _bring_up(self, *, forgiving: bool) -> None:
        """Start a process and wait for its models.

        Args:
            forgiving: whether a model that does not answer may be taken back or left out.
        """
        server = self._current = WatchedServer(self._plan)
        try:
            server.await_models(forgiving=forgiving)
            self._version = server.version()
            if not forgiving:
                self._endpoint.tell(self.models)
        except BaseException:
            server.kill()
            raise

    def _restart(self, reason: str) -> None:
        pause_s = self._plan.watch.first_pause_s
        while not self._stopping.is_set():
            self._say(f"{reason}; starting anew")
            self._server.kill()
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, self._plan.watch.longest_pause_s)
            self._num_restarts += 1
            try:
                self._bring_up(forgiving=True)
            except (ValueError, OSError, CanaryError) as error:
                reason = str(error)
                continue
            self._say(f"serving again at {self.address}")
            return


@contextmanager
def running_server(
    repository: Path,
    *,
    home: Path | None = None,
    grpc_port: int = 0,
    metrics_port: int = 0,
    watch: Watch | None = None,
    open_statistics: bool = False,
) -> Iterator[Supervisor]:
    """A server that answers, as long as the block runs.

    Args:
        repository: folder of the models.
        home: where the log and the endpoint file go; by default the repository's parent folder.
        grpc_port: port of the endpoint, 0 for any free one.
        metrics_port: port of the metrics, 0 for any free one.
        watch: how closely to watch.
        open_statistics: whether everyone may read the server's statistics.

    Raises:
        ValueError: if it does not come up.
    """
    supervisor = Supervisor(
        Repository(repository),
        Home(home or repository.parent),
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        watch=watch,
        open_statistics=open_statistics,
    )
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()
