"""The file that tells clients on this machine where the server listens."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path


class EndpointFile:
    """Written when a server listens or serves other models, removed when it ends."""

    def __init__(self, path: Path, *, grpc: str, metrics: str) -> None:
        """Nothing is written yet.

        Args:
            path: the file.
            grpc: host:port of the endpoint.
            metrics: URL of the metrics.
        """
        self._path = path
        self._addresses = {"grpc": grpc, "metrics": metrics}
        self._models: Sequence[str] | None = None

    def tell(self, models: Sequence[str]) -> None:
        """Write the models that are served, with this process's id, where they have changed.

        Raises:
            OSError: if that fails; readers then find the file as it was, whole.
        """
        if models == self._models:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        endpoint = {**self._addresses, "models": list(models), "pid": os.getpid()}
        with tempfile.NamedTemporaryFile(
            "w", dir=self._path.parent, prefix=".", delete=False
        ) as file:
            partial = Path(file.name)
            try:
                json.dump(endpoint, file)
                file.flush()
                partial.replace(self._path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
        self._models = models

    def remove(self) -> None:
        """Remove the file, unless another process has written its own since."""
        try:
            if json.loads(self._path.read_text())["pid"] == os.getpid():
                self._path.unlink()
        except (OSError, ValueError, KeyError):
            return
