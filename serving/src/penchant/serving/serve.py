"""``penchant serve``: a supervised Triton in the foreground."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

from rich.console import Console

from penchant.clients.home import Home
from penchant.serving.check import check_serving
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor


def serve(
    *,
    repository: Path | None = None,
    home: Path = Path(".penchant"),
    grpc_port: int = 8001,
    metrics_port: int = 0,
    check: bool = False,
) -> int:
    """Start Triton, watch it, and say where it listens; Ctrl-C or SIGTERM ends it.

    It listens on loopback only. A version that is published meanwhile is served within seconds, or
    taken back if it does not answer rightly; a server that dies or does not answer is started anew.
    A second signal ends it at once. Other users of the machine may read the secret that guards
    model control from the process list: mount /proc with hidepid=2 where you do not trust them.

    Args:
        repository: folder of the models; by default the one in home.
        home: the folder that penchant works in.
        grpc_port: port of the endpoint, 0 for any free one.
        metrics_port: port of the Prometheus metrics, 0 for any free one.
        check: only say what is missing, without starting anything.

    Returns:
        Exit code: 0, or 1 where the check finds something missing.

    Raises:
        ValueError: if it does not come up, or another one serves from the same home.
    """
    folder = repository or Home(home).model_repository
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if check:
        ports = {"grpc_port": grpc_port, "metrics_port": metrics_port}
        return check_serving(Repository(folder), ports=ports, console=Console())
    other = Home(home).serving_pid()
    if other is not None:
        raise ValueError(
            f"home: expected one that nothing serves from yet, got {home}, from which process "
            f"{other} serves at {Home(home).server_address()}; stop that one (kill {other}), or "
            "give another --home and --repository"
        )
    supervisor = Supervisor(
        Repository(folder),
        Home(home),
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        report=lambda line: console.print(line, markup=False),
    )
    signals = _Signals(supervisor)
    with console.status("starting Triton"):
        try:
            supervisor.start()
        except ValueError:
            if signals.first.is_set():
                return 0
            raise
    threading.Thread(target=_kill_on_second, args=(signals, supervisor), daemon=True).start()
    try:
        Console(highlight=False, soft_wrap=True).print(supervisor.describe(), markup=False)
        _await_end(signals, supervisor)
        console.print("finishing the requests in flight; a second signal ends it at once")
    finally:
        # Also where the terminal is gone and nothing can be printed any more.
        supervisor.stop()
    return 0


def _await_end(signals: _Signals, supervisor: Supervisor) -> None:
    while not signals.first.wait(0.5):
        if not supervisor.is_watching():
            raise ValueError(
                f"serve: the supervisor ended by itself: {supervisor.error!r}; see the log in the "
                "home folder, then start it again"
            ) from supervisor.error


class _Signals:
    """The first and the second request to end."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.first = threading.Event()
        self.second = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What nohup has had ignored stays so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        (self.second if self.first.is_set() else self.first).set()
        self._supervisor.request_stop()


def _kill_on_second(signals: _Signals, supervisor: Supervisor) -> None:
    signals.second.wait()
    supervisor.kill()
