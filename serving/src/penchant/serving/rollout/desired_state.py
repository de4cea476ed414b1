"""What the registry wants served, and where it is told what became of it.

Every call has a time limit, and whatever goes wrong in it is one error, :class:`StoreError`: a
store that is down, slow or answers wrongly says nothing about what is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penchant.serving.mlflow_calls import quiet_mlflow, variables
from penchant.serving.package import ModelPackage
from penchant.serving.registry import PACKAGE_TAG, Registry
from penchant.serving.tracking_uri import StoreError, masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LIMITS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "PGCONNECT_TIMEOUT": "10",
}
"""Of MLflow's own and of Postgres' client; by default MLflow retries for minutes."""
_PAGE: Final = 200


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """One version of a registered model."""

    number: int
    """Its number in the registry."""
    run_id: str
    """MLflow run that made it; "" where there is none."""
    tags: Mapping[str, str]
    """Its tags."""


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A registered model as it stood at one moment."""

    name: str
    """Its name, which is the public model name."""
    aliases: Mapping[str, int]
    """Version by alias."""
    versions: Mapping[int, RegisteredVersion]
    """All its versions by number."""

    def tag(self, version: int, name: str) -> str:
        """A tag of a version; "" where it has none."""
        found = self.versions.get(version)
        return found.tags.get(name, "") if found else ""


class DesiredState:
    """A connected registry, as the rollout reads and writes it."""

    def __init__(self, registry: Registry) -> None:
        """Nothing is asked yet."""
        self.registry = registry

    def models(self, names: Sequence[str] = ()) -> list[RegisteredModel]:
        """The models named, or all that hold a version which penchant registered.

        Raises:
            StoreError: if the store fails, or its answer is none.
            ValueError: if a named model is not registered.
        """
        found = []
        for name in names or self._names():
            model = self.model(name)
            if model is None and names:
                raise ValueError(
                    f"model: expected a registered model, got {name!r}, of which there is no "
                    f"version in {masked(self.registry.tracking_uri)}; `penchant train "
                    "propensity` or `penchant train journeys` registers one"
                )
            if model and (names or _is_penchant(model)):
                found.append(model)
        return found

    def model(self, name: str) -> RegisteredModel | None:
        """One model; None where it is not registered.

        Raises:
            StoreError: if the store fails, or its answer is none.
        """
        with self._asking("reading", name) as client:
            registered = client.search_registered_models(f"name = '{name}'", max_results=1)
            if not registered:
                return None
            if registered[0].name != name:
                raise ValueError(f"asked for {name!r}, it answered with {registered[0].name!r}")
            versions = self._versions(client, name)
            aliases = {alias: int(to) for alias, to in (registered[0].aliases or {}).items()}
        return RegisteredModel(name=name, aliases=aliases, versions=versions)

    def is_without(self, model: str, alias: str) -> bool:
        """Whether the store says in so many words that a registered model has no such alias.

        Raises:
            StoreError: if the store fails.
        """
        from mlflow.exceptions import MlflowException

        with self._asking("asking for an alias of", model) as client:
            try:
                client.get_model_version_by_alias(model, alias)
            except MlflowException as error:
                if f"alias {alias} not found" in str(error):
                    return True
                raise
        return False

    def point(self, model: str, alias: str, version: int) -> None:
        """Move an alias to a version.

        Raises:
            ValueError: if there is no such version, or the store fails.
        """
        with variables(_limits()):
            self.registry.set_alias(model, alias, version)

    def unpoint(self, model: str, alias: str) -> None:
        """Take an alias away.

        Raises:
            StoreError: if the store fails.
        """
        with self._asking("taking an alias of", model) as client:
            client.delete_registered_model_alias(model, alias)

    def fetch(self, model: str, version: int, folder: Path) -> ModelPackage:
        """Copy a version's package into ``folder`` and check every file of it.

        Raises:
            StoreError: if the store fails.
            ValueError: if the version holds no package, or a damaged one.
        """
        with variables(_limits()):
            return self.registry.fetch(model, version, folder)

    def write(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags on a version; an empty text takes the tag away.

        Raises:
            StoreError: if the store fails.
        """
        with self._asking("writing tags of", model) as client:
            for name, value in tags.items():
                if value:
                    client.set_model_version_tag(model, str(version), name, value)
                else:
                    client.delete_model_version_tag(model, str(version), name)

    def log(self, model: str, run_id: str, path: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON document among the artifacts of a version's run.

        Raises:
            StoreError: if the store fails.
        """
        with self._asking("keeping the evidence about", model) as client:
            client.log_dict(run_id, dict(content), path)

    def _names(self) -> list[str]:
        names: list[str] = []
        token: str | None = None
        with self._asking("listing", "the models") as client:
            while True:
                page = client.search_registered_models(max_results=_PAGE, page_token=token)
                names += [model.name for model in page]
                token = page.token
                if not token:
                    return sorted(names)

    def _versions(self, client: MlflowClient, name: str) -> dict[int, RegisteredVersion]:
        found: dict[int, RegisteredVersion] = {}
        token: str | None = None
        while True:
            page = client.search_model_versions(f"name = '{name}'", _PAGE, page_token=token)
            for version in page:
                number = int(version.version)
                found[number] = RegisteredVersion(
                    number=number, run_id=version.run_id or "", tags=dict(version.tags or {})
                )
            token = page.token
            if not token:
                return found

    @contextmanager
    def _asking(self, doing: str, what: str) -> Iterator[MlflowClient]:
        from mlflow import MlflowClient

        uri = self.registry.tracking_uri
        try:
            with quiet_mlflow(), variables(_limits()):
                yield MlflowClient(uri, uri)
        # A wrong answer makes MLflow's client raise whatever its reading of it runs into.
        except Exception as error:
            raise StoreError(
                f"{doing} {what} in {masked(uri)} failed: {masked(str(error))}; see whether the "
                "store is well, then try again"
            ) from error


def _is_penchant(model: RegisteredModel) -> bool:
    return any(PACKAGE_TAG in version.tags for version in model.versions.values())


def _limits() -> dict[str, str]:
    """The time limits that the environment does not set already."""
    return {name: value for name, value in _LIMITS.items() if name not in os.environ}
