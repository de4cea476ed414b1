"""A real registry with versions of the tiny model, and a repository that follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penchant.clients.home import Home
from penchant.serving.package import ModelPackage
from penchant.serving.registry import Registry
from penchant.serving.repository import Repository
from penchant.serving.rollout.desired_state import DesiredState, RegisteredModel
from penchant.serving.rollout.gates import Gates, LatencyGate, QualityGate
from penchant.serving.rollout.live_server import LiveServer
from penchant.serving.rollout.reconciler import Reconciler
from penchant.serving.rollout.rollout import Rollout
from penchant.serving.rollout.status_rows import Row, registered_rows

QUICK = Gates(quality=QualityGate(rounds=200), latency=LatencyGate(enabled=False))
"""Without timing: what is timed on a busy machine may stay undecided."""


@dataclass(frozen=True)
class Store:
    """One home with its registry."""

    home: Home

    def rollout(
        self, gates: Gates = QUICK, on_step: Callable[[str], None] = lambda step: None
    ) -> Rollout:
        """The registry and the home's repository together."""
        desired = DesiredState(Registry(self.home).connect())
        folder = self.home.model_repository
        reconciler = Reconciler(
            desired, folder, self.home, gates, on_step=on_step, lock_timeout_s=1.0
        )
        return Rollout(desired=desired, repository=Repository(folder), reconciler=reconciler)

    def model(self, name: str = "tiny") -> RegisteredModel:
        """The registered model as it stands now."""
        found = DesiredState(Registry(self.home).connect()).model(name)
        assert found is not None
        return found

    def point(self, role: str, version: int, model: str = "tiny") -> None:
        """Move an alias, as somebody does in MLflow."""
        Registry(self.home).connect().set_alias(model, role, version)

    def status(self) -> list[Row]:
        """What `penchant status` shows of the tiny model."""
        repository = Repository(self.home.model_repository)
        server = LiveServer.of(self.home, repository)
        return registered_rows([self.model()], repository, server)

    def served(self, name: str = "tiny") -> int | None:
        """The package version that the repository serves; None where it serves none."""
        repository = Repository(self.home.model_repository)
        return repository.served(name).package_version if repository.is_published(name) else None


def register(registry: Registry, package: ModelPackage) -> int:
    """Register a package in a run of its own."""
    from mlflow import MlflowClient

    client = MlflowClient(registry.tracking_uri, registry.tracking_uri)
    run = client.create_run(registry.experiment("rollout"))
    return registry.register(package, run_id=run.info.run_id)


def copy_of(home: Home, folder: Path) -> Store:
    """The same registry and repository under another home; packages stay where they are."""
    import shutil

    folder.mkdir()
    shutil.copyfile(home.mlflow_database, folder / home.mlflow_database.name)
    (folder / home.mlflow_artifacts.name).mkdir()
    copied = Home(folder)
    if home.model_repository.exists():
        shutil.copytree(home.model_repository, copied.model_repository)
    return Store(copied)
