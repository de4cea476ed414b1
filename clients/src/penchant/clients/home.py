"""The one folder in which penchant makes everything."""

from __future__ import annotations

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
