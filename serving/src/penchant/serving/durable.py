"""Files that are on the disk, whole, before anything refers to them."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

_STEP_NS: Final = 1_000_000_000


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and have the kernel put it on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def time_after(folder: Path) -> int:
    """Time in ns after every file of the model: Triton passes over a load of files no newer."""
    times = [path.stat().st_mtime_ns for path in (folder, *folder.rglob("*")) if path.exists()]
    return max(time.time_ns(), max(times, default=0) + _STEP_NS)


def set_times(folder: Path, time_ns: int) -> None:
    """Give everything in a folder one time of change."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, ns=(time_ns, time_ns))


def sync_folders(folder: Path) -> None:
    """Have the entries of a folder, and of those in it, put on the disk."""
    for path in (*filter(Path.is_dir, folder.rglob("*")), folder):
        sync_folder(path)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries put on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold a lock, its file made if need be, for the time of a block; it names who holds it.

    Raises:
        ValueError: if another process holds it too long.
    """
    with path.open("a+", encoding="utf-8") as lock:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    holder = lock.read().strip() or "a process that does not say which"
                    raise ValueError(
                        f"{path}: expected no other publisher, got one that still works after "
                        f"{timeout_s:g} s: {holder}; wait for it, or stop it"
                    ) from error
                time.sleep(0.05)
        _sign(lock)
        yield


def _sign(lock: TextIO) -> None:
    """Write who holds the lock; whether a full disk takes that is not worth failing for."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}")
        lock.flush()
