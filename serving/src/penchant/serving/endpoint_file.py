"""The file that tells clients on this machine where the server listens."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_endpoint(path: Path, endpoint: Mapping[str, object]) -> None:
    """Write the file, with this process's id, so that readers see it whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
        json.dump({**endpoint, "pid": os.getpid()}, file)
    Path(file.name).replace(path)


def remove_endpoint(path: Path) -> None:
    """Remove the file, unless another process has written its own since."""
    try:
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, KeyError):
        return
