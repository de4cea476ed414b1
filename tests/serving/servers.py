"""What tests ask of a running server and see of its processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tests.packages import raw_rows, score
from tests.serving.test_wire import answers, to_request

from penchant.serving.supervisor import Supervisor

RECOVERY_S = 60.0
"""Far more than a restart takes, for machines that are busy otherwise."""


def ask(stub: Any) -> int:
    """A right answer's version."""
    rows = raw_rows(4)
    got = answers(stub.ModelInfer(to_request(rows), timeout=30))
    np.testing.assert_allclose(got["propensity"], score(rows)["propensity"], atol=1e-5)
    return int(got["version"][0, 0])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that happens soon, and fail if it does not."""
    deadline = time.monotonic() + RECOVERY_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} takes too long"
        time.sleep(0.05)


def model_processes(server: Supervisor) -> list[int]:
    """Process ids of the server's Python processes."""
    tasks = Path("/proc", str(server.pid), "task")
    children = [pid for path in tasks.glob("*/children") for pid in path.read_text().split()]
    found = []
    for pid in children:
        with suppress(OSError):  # one that has just ended
            if "triton_python" in Path("/proc", pid, "comm").read_text():
                found.append(int(pid))
    return found


def answers_at_all(stub: Any) -> bool:
    """Whether there is an answer, of any version."""
    try:
        return ask(stub) > 0
    except grpc.RpcError:
        return False


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an entry that nobody has reaped."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def server_pids(home: Path) -> list[int]:
    """Processes of the tritonserver that serves models below this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        # Its launcher, which it replaces, names the same option.
        if b"--model-repository=" + os.fsencode(home) in command:
            found.append(int(path.parent.name))
    return found
