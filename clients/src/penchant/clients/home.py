"""The one folder in which penchant makes everything."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Paths below one folder, ``.penchant`` unless told otherwise; nothing is created here."""

    folder: Path

    @property
    def mlflow_database(self) -> Path:
        """SQLite file of the default MLflow store."""
        return self.folder / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """Artifacts of the default MLflow store."""
        return self.folder / "mlflow-artifacts"

    @property
    def runs(self) -> Path:
        """One folder a training run: encoded columns, checkpoints, package."""
        return self.folder / "runs"

    @property
    def model_repository(self) -> Path:
        """What Triton loads."""
        return self.folder / "model_repository"

    @property
    def engines(self) -> Path:
        """TensorRT plans: ``<model>/<version>/<step>/``."""
        return self.folder / "engines"

    @property
    def engine_timings(self) -> Path:
        """TensorRT's timings of kernels, kept from build to build."""
        return self.folder / "engine_timings"

    @property
    def endpoint(self) -> Path:
        """JSON of the running server: {"grpc": "127.0.0.1:8001", "pid": 1, "models": [...]}."""
        return self.folder / "endpoint.json"

    @property
    def logs(self) -> Path:
        """Server logs."""
        return self.folder / "logs"

    @property
    def reports(self) -> Path:
        """Reports for marketers and performance engineers."""
        return self.folder / "reports"

    def serving_pid(self) -> int | None:
        """Process id of the server that serves from here; None where none is alive."""
        try:
            pid = int(json.loads(self.endpoint.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if _is_alive(pid) else None

    def server_address(self) -> str:
        """host:port of the running server's gRPC endpoint.

        Raises:
            ValueError: if none was started here, or it has ended.
        """
        other = "or give --url host:port"
        try:
            endpoint = json.loads(self.endpoint.read_text())
            address, pid = str(endpoint["grpc"]), int(endpoint["pid"])
        except FileNotFoundError as error:
            raise ValueError(
                f"url: no server is known at {self.endpoint}; start `penchant serve`, {other}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"url: {self.endpoint} is damaged ({error}); start `penchant serve` again, {other}"
            ) from error
        if not _is_alive(pid):
            raise ValueError(
                f"url: the server at {address} that {self.endpoint} names has ended (process "
                f"{pid}); start `penchant serve`, {other}"
            )
        return address


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
