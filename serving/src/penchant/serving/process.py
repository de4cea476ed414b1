"""One tritonserver process: started, looked at, stopped; nothing is left behind."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from penchant.serving import tritonserver
from penchant.serving.tritonserver import EXIT_TIMEOUT_S, LOOPBACK, SECRET_HEADER, TritonServer

LOG_NAME: Final = "tritonserver.log"
LOG_LIMIT_BYTES: Final = 16 << 20
"""A longer log is set aside at the next start."""
KILL_AFTER_S: Final = EXIT_TIMEOUT_S + 5.0
"""Seconds from the request to end until the process is killed."""

_SHM: Final = Path("/dev/shm")
_SHM_PREFIX: Final = re.compile(r"penchant_(\d+)_(\d+)_")
_STUB_NAME: Final = "triton_python"
_LAUNCHER: Final = Path(__file__).with_name("exec_bound.py")
_TELLING: Final = re.compile(r"^[EF]\d{4} |error|what\(\)|failed|No such|cannot", re.IGNORECASE)


class TritonProcess:
    """A running tritonserver with a secret of its own."""

    def __init__(
        self,
        server: TritonServer,
        repository: Path,
        *,
        models: tuple[str, ...],
        ports: tuple[int, int],
        home: Path,
        open_statistics: bool = False,
    ) -> None:
        """Start it; it is not ready yet.

        Args:
            server: what to start.
            repository: where the models are.
            models: which of them to load.
            ports: of gRPC and of the metrics.
            home: folder for the log and for a backends folder with this Python's stub.
            open_statistics: whether everyone may read the server's statistics.
        """
        sweep_shared_memory()
        self.secret = secrets.token_hex(16)
        self.shm_prefix = f"{shared_memory_prefix(os.getpid())}{secrets.token_hex(4)}_"
        launch = tritonserver.Launch(
            repository=repository,
            models=models,
            backends=tritonserver.make_backends(server, home / "tools"),
            grpc_port=ports[0],
            metrics_port=ports[1],
            secret=self.secret,
            shm_prefix=self.shm_prefix,
            open_statistics=open_statistics,
        )
        self.log = _open_log(home / "logs")
        self._log_start = self.log.stat().st_size
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *tritonserver.command_line(server, launch)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=tritonserver.environment(server),
                cwd=tritonserver.working_folder(server, home),
                # A terminal's Ctrl-C is for the supervisor, which lets the server drain.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._process.pid

    @property
    def headers(self) -> dict[str, str]:
        """Request headers that open the restricted protocols."""
        return {SECRET_HEADER: self.secret}

    def exit_code(self) -> int | None:
        """Code it ended with, negative for a signal; None while it runs."""
        return self._process.poll()

    def num_stubs(self) -> int | None:
        """Model processes that are alive and not stopped; None where the kernel does not tell."""
        lists = list(Path("/proc", str(self.pid), "task").glob("*/children"))
        if not lists:
            return None
        num = 0
        for path in lists:
            with suppress(OSError):
                num += sum(_is_working_stub(child) for child in path.read_text().split())
        return num

    def stop(self) -> int:
        """Let it finish the requests it has taken, then end; killed when that takes too long."""
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGTERM)
            # A stopped process would not hear the request.
            self._process.send_signal(signal.SIGCONT)
        try:
            code = self._process.wait(KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._clean_up()
        return code

    def kill(self) -> int:
        """End it and its model processes at once."""
        self._process.kill()
        code = self._process.wait()
        self._clean_up()
        return code

    def last_words(self, num_lines: int = 8) -> str:
        """The log lines since the start that tell most about a failure."""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._log_start)
            lines = [line.rstrip()[:600] for line in file if line.strip()]
        telling = deque((line for line in lines if _TELLING.search(line)), num_lines)
        return "\n".join(telling or lines[-num_lines:])

    def _clean_up(self) -> None:
        """End model processes that hang, and remove the server's shared memory."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for path in _SHM.glob(f"{self.shm_prefix}*"):
            path.unlink(missing_ok=True)


def free_port(port: int, name: str) -> int:
    """The port, or any free one for 0.

    Raises:
        ValueError: if something else listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"{name}: expected a free port of {LOOPBACK}, got {port}: {error}; stop what "
                "listens there, or choose another port, 0 for any"
            ) from error
        return int(probe.getsockname()[1])


def shared_memory_prefix(pid: int) -> str:
    """How names in /dev/shm begin of the servers of one supervisor.

    A process id says who that is within one pid namespace, and containers may share /dev/shm.
    """
    return f"penchant_{_pid_namespace()}_{pid}_"


def sweep_shared_memory() -> None:
    """Remove what this user's supervisors that are gone have left in shared memory."""
    for path in _SHM.glob("penchant_*"):
        owner = _SHM_PREFIX.match(path.name)
        if not owner or owner[1] != _pid_namespace() or Path("/proc", owner[2]).exists():
            continue
        with suppress(OSError):
            if path.stat().st_uid == os.getuid():
                path.unlink()


def _pid_namespace() -> str:
    """The kernel's number of this process's pid namespace; 0 where it does not tell."""
    try:
        return re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        return "0"


def _is_working_stub(pid: str) -> bool:
    """Whether the process is a model's, and neither dead nor stopped."""
    try:
        name, _, rest = Path("/proc", pid, "stat").read_text().rpartition(")")
    except OSError:
        return False
    return _STUB_NAME in name and rest.split()[0] not in "ZTtX"


def _open_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_NAME
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".old.log"))
    log.touch()
    return log
