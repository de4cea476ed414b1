"""A real Postgres of Debian's packages, on a free loopback port, for as long as a block runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penchant.serving.process import free_port

OWNER = "postgres"
"""Who runs it where the tests run as root, as whom it refuses to run."""


def postgres_binaries() -> Path | None:
    """Folder of the newest installed server's programs; None where there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return found[-1] if found else None


@contextmanager
def postgres_server(binaries: Path) -> Iterator[str]:
    """Make a cluster and run it; the URI of an empty database, as MLflow takes it."""
    # Not in pytest's folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="penchant-postgres-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, OWNER)
        who = {"user": OWNER, "group": OWNER, "extra_groups": []}
    data, port = folder / "data", free_port(0, "port")

    def run(program: str, *options: str) -> None:
        command = [str(binaries / program), *options]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=60, **who)

    try:
        run("initdb", "-D", str(data), "-U", OWNER, "--auth=trust", "--no-sync")
        listen = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        log = str(folder / "log")
        run("pg_ctl", "-D", str(data), "-l", log, "-o", listen, "-w", "start")
        try:
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", OWNER, "mlflow")
            yield f"postgresql+psycopg2://{OWNER}@127.0.0.1:{port}/mlflow"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
