"""Keep one tritonserver answering: start, canary, reload, restart, drain.

``penchant serve``, the demo and the tests run the same code: ``running_server`` is the whole of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penchant.clients.home import Home
from penchant.serving.canary import BusyError, Canary, CanaryError
from penchant.serving.endpoint_file import remove_endpoint, write_endpoint
from penchant.serving.process import TritonProcess, free_port
from penchant.serving.repository import Repository
from penchant.serving.tritonserver import LOOPBACK, TritonServer, find_tritonserver

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How closely the server is watched."""

    interval_s: float = 0.2
    """Seconds between two looks at the process and at the configs."""
    canary_every_s: float = 1.0
    """Seconds between two canaries of a model."""
    canary_timeout_s: float = 10.0
    """A canary that takes longer failed. Triton 2.51 can crash when a call is given up early, so
    this is long; the server is started anew then in any case."""
    failures: int = 2
    """Failed canaries in a row that end in a restart."""
    start_timeout_s: float = 120.0
    """Seconds that a server may take until every model answers."""
    first_pause_s: float = 0.5
    """Pause before the first restart; it doubles with each that does not help."""
    longest_pause_s: float = 30.0
    """Longest pause before a restart."""


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
        report: Callable[[str], None] = _logger.warning,
    ) -> None:
        """Nothing is started yet.

        Args:
            repository: what to serve.
            home: where the log and the endpoint file go.
            grpc_port: port of the endpoint, 0 for any free one; it stays the same over restarts.
            metrics_port: port of the Prometheus metrics, 0 for any free one.
            watch: how closely to watch.
            report: called with a line for each event that a person should know of.

        Raises:
            ValueError: if there is no server, no model, or a port is taken.
        """
        self.repository = repository
        self.home = home
        self._server: TritonServer = find_tritonserver()
        self._models = repository.models()
        if not self._models:
            raise ValueError(
                f"repository: expected at least one model in {repository.folder}, got none; "
                "`penchant train propensity` and `penchant publish` put one there"
            )
        self._ports = (free_port(grpc_port, "grpc_port"), free_port(metrics_port, "metrics_port"))
        self._watch = watch or Watch()
        self._report = report
        self._stopping = threading.Event()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="penchant-supervisor")
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._failures: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._processes: dict[str, int] = {}
        self._num_restarts = 0

    @property
    def address(self) -> str:
        """host:port of the gRPC endpoint."""
        return f"{LOOPBACK}:{self._ports[0]}"

    url = address

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus metrics."""
        return f"http://{LOOPBACK}:{self._ports[1]}/metrics"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the served models."""
        return tuple(self._models)

    @property
    def pid(self) -> int:
        """Process id of the tritonserver that runs now."""
        return self._process.pid

    @property
    def headers(self) -> dict[str, str]:
        """Request headers that open statistics and model control of the server that runs now."""
        return self._process.headers

    @property
    def secret(self) -> str:
        """The server's secret; new at every start."""
        return self._process.secret

    @property
    def num_restarts(self) -> int:
        """How often the server was started anew."""
        return self._num_restarts

    @property
    def version(self) -> str:
        """Triton's version."""
        return self._version

    def start(self) -> None:
        """Start the server and wait until every model has given the right answer.

        Raises:
            ValueError: if it does not come up; the message holds the server's last words.
        """
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Let the server finish what it has taken, and end it."""
        self._stopping.set()
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
        self._process.kill()
        self._thread.join()

    # What follows runs in the supervisor's own thread: a server dies with its starter's thread.

    def _run(self) -> None:
        try:
            self._bring_up(forgiving=False)
        except Exception as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        next_canary = time.monotonic() + self._watch.canary_every_s
        try:
            while not self._stopping.wait(self._watch.interval_s):
                # A failed canary is repeated at once.
                canaries = time.monotonic() >= next_canary or any(self._failures.values())
                if canaries:
                    next_canary = time.monotonic() + self._watch.canary_every_s
                self._look(canaries=canaries)
        finally:
            self._shut_down()

    def _look(self, *, canaries: bool) -> None:
        try:
            trouble = self._trouble(canaries=canaries)
        except (OSError, ValueError) as error:
            # A full disk or a damaged config must not end a server that answers.
            self._report(str(error))
            return
        if trouble:
            self._restart(trouble)

    def _bring_up(self, *, forgiving: bool) -> None:
        """Start a process and wait for its models.

        Args:
            forgiving: whether one model that answers is enough.
        """
        self._models = self.repository.models()
        self._stamps = {model: self.repository.stamp(model) for model in self._models}
        self._processes = {model: self.repository.num_processes(model) for model in self._models}
        self._failures.clear()
        self._answered.clear()
        self._process = TritonProcess(
            self._server,
            self.repository.folder,
            models=tuple(self._models),
            ports=self._ports,
            home=self.home.folder,
        )
        self._canary = Canary(self.address, self._process.headers, self.repository)
        try:
            self._await_models(forgiving)
            self._version = self._canary.server_version(timeout_s=self._watch.canary_timeout_s)
            self._write_endpoint()
        except BaseException:
            self._canary.close()
            self._process.kill()
            raise

    def _await_models(self, forgiving: bool) -> None:
        deadline = time.monotonic() + self._watch.start_timeout_s
        waiting = set(self._models)
        problems: dict[str, str] = {}
        while waiting:
            code = self._process.exit_code()
            if code is not None or time.monotonic() > deadline or self._stopping.is_set():
                ended = "is not ready in time" if code is None else f"ended with code {code}"
                raise self._no_start(f"tritonserver {ended}; {'; '.join(problems.values())}")
            for model in sorted(waiting):
                try:
                    self._canary.ask(model, timeout_s=self._watch.canary_timeout_s)
                    waiting.discard(model)
                    problems.pop(model, None)
                except (CanaryError, ValueError) as error:
                    problems[model] = str(error)
                    if self.repository.stamp(model) != self._stamps[model]:
                        # Published while the server read its config: have it read again.
                        self._reload(model)
            for model in self._given_up(waiting):
                if not forgiving or len(self._models) == 1:
                    raise self._no_start(problems.get(model, f"model {model!r} does not load"))
                self._report(f"{model} is not served: {problems.get(model)}")
                waiting.discard(model)
                self._models.remove(model)
            self._stopping.wait(0.05 if waiting else 0)

    def _given_up(self, models: set[str]) -> list[str]:
        """Those of the models that the server has tried to load in vain."""
        try:
            states = self._canary.states(timeout_s=self._watch.canary_timeout_s)
        except CanaryError:
            return []
        return [model for model in sorted(models) if states.get(model, ("",))[0] == "UNAVAILABLE"]

    def _no_start(self, reason: str) -> ValueError:
        return ValueError(
            f"serve: expected every model of {self.repository.folder} to answer, got: {reason}\n"
            f"{self._process.last_words()}\n`penchant serve --check` looks for what is missing; "
            f"the whole log is {self._process.log}"
        )

    def _trouble(self, *, canaries: bool) -> str | None:
        """What makes a restart necessary; None where all is well."""
        code = self._process.exit_code()
        if code is not None:
            return f"tritonserver ended with code {code}"
        for model in self.repository.models():
            if self.repository.stamp(model) != self._stamps.get(model):
                trouble = self._reload(model)
                if trouble:
                    return trouble
        if not canaries:
            return None
        expected = sum(self._processes[model] for model in self._models)
        if self._process.num_stubs() < expected:
            return f"of {expected} model processes only {self._process.num_stubs()} are alive"
        for model in self._models:
            if self._is_failing(model) and self._failures[model] >= self._watch.failures:
                return self._problem
        return None

    def _reload(self, model: str) -> str | None:
        """Have a newly published version served; what it takes a restart to mend, if anything."""
        while True:
            self._stamps[model] = self.repository.stamp(model)
            try:
                with self._canary.nudging(model):
                    self._canary.load(model, timeout_s=self._watch.start_timeout_s)
            except CanaryError as error:
                # Triton keeps the old version then, and the canary its question.
                self._report(f"{model} stays as it was: {error}")
                return None
            trouble = self._verify(model)
            # Published again meanwhile: what was loaded and what was asked may be two versions.
            if self.repository.stamp(model) == self._stamps[model]:
                return trouble

    def _verify(self, model: str) -> str | None:
        """Whether the version just loaded is the one that answers."""
        self._canary.forget(model)
        self._processes[model] = self.repository.num_processes(model)
        try:
            self._canary.ask(model, timeout_s=self._watch.canary_timeout_s)
        except BusyError:
            pass
        except (CanaryError, ValueError) as error:
            return f"after loading {model}: {error}"
        if model not in self._models:
            self._models = sorted([*self._models, model])
        self._write_endpoint()
        self._report(f"now serving {self._described(model)}")
        return None

    def _is_failing(self, model: str) -> bool:
        """Ask the canary; a model too busy to let it through is well while it answers others."""
        timeout_s = self._watch.canary_timeout_s
        try:
            self._canary.ask(model, timeout_s=timeout_s)
            failing = False
        except (CanaryError, ValueError) as error:
            failing, self._problem = True, str(error)
            if isinstance(error, BusyError):
                failing = not self._makes_progress(model, timeout_s)
        self._failures[model] = self._failures.get(model, 0) + 1 if failing else 0
        return failing

    def _makes_progress(self, model: str, timeout_s: float) -> bool:
        try:
            answered = self._canary.num_answered(model, timeout_s=timeout_s)
        except CanaryError:
            return False
        before = self._answered.get(model, -1)
        self._answered[model] = answered
        return answered != before

    def _restart(self, reason: str) -> None:
        pause_s = self._watch.first_pause_s
        while not self._stopping.is_set():
            self._report(f"{reason}; starting anew")
            self._canary.close()
            self._process.kill()
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, self._watch.longest_pause_s)
            self._num_restarts += 1
            try:
                self._bring_up(forgiving=True)
                self._report(f"serving again at {self.address}")
                return
            except (ValueError, OSError) as error:
                reason = str(error)

    def _shut_down(self) -> None:
        remove_endpoint(self.home.endpoint)
        self._canary.close()
        self._process.stop()

    def _described(self, model: str) -> str:
        if not self.repository.is_published(model):
            return model
        return f"{model} version {self.repository.served(model).package_version}"

    def describe(self) -> str:
        """What is served and where, in one line."""
        models = ", ".join(self._described(model) for model in self._models)
        return f"serving {models} at {self.address} (gRPC), metrics at {self.metrics_url}"

    def _write_endpoint(self) -> None:
        write_endpoint(
            self.home.endpoint,
            {"grpc": self.address, "metrics": self.metrics_url, "models": self._models},
        )


@contextmanager
def running_server(
    repository: Path,
    *,
    home: Path | None = None,
    grpc_port: int = 0,
    metrics_port: int = 0,
    watch: Watch | None = None,
) -> Iterator[Supervisor]:
    """A server that answers, as long as the block runs.

    Args:
        repository: folder of the models.
        home: where the log and the endpoint file go; by default the repository's parent folder.
        grpc_port: port of the endpoint, 0 for any free one.
        metrics_port: port of the metrics, 0 for any free one.
        watch: how closely to watch.

    Raises:
        ValueError: if it does not come up.
    """
    supervisor = Supervisor(
        Repository(repository),
        Home(home or repository.parent),
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        watch=watch,
    )
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
