"""The registry: packages as versions of MLflow models, and aliases that say which is wanted.

MLflow is imported when it is first needed: it takes seconds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penchant.clients.home import Home
from penchant.serving.mlflow_calls import quiet_mlflow, unchanged_environment, variables
from penchant.serving.package import ModelPackage
from penchant.serving.tracking_uri import (
    TRACKING_URI_VARIABLE,
    StoreError,
    check_reachable,
    masked,
    unreachable,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION: Final = "champion"
"""Alias of the version that is meant to be served."""
CHALLENGER: Final = "challenger"
"""Alias of the version that is meant to be served beside it; training moves it to the newest."""

LOADER_MODULE: Final = "penchant.serving.pyfunc"
PACKAGE_TAG: Final = "penchant.created_at"
"""Tag of every version that holds a penchant package."""
_REQUIREMENTS: Final = (f"penchant[serving]=={metadata.version('penchant')}",)
_NOT_THERE: Final = "RESOURCE_DOES_NOT_EXIST"
_IMPATIENT: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""For the first call alone: by default MLflow retries for minutes."""


class Registry:
    """MLflow store of one home folder, or of a tracking server."""

    def __init__(self, home: Home, tracking_uri: str | None = None) -> None:
        """Nothing is opened yet.

        Args:
            home: where the default store lies.
            tracking_uri: MLflow's own address of the store; else the variable MLFLOW_TRACKING_URI,
                else SQLite in ``home`` with the artifacts beside it.
        """
        self.home = home
        self.is_local = not (tracking_uri or os.environ.get(TRACKING_URI_VARIABLE))
        self.tracking_uri = (
            tracking_uri
            or os.environ.get(TRACKING_URI_VARIABLE)
            or f"sqlite:///{home.mlflow_database.absolute()}"
        )

    def connect(self) -> Registry:
        """Make sure that the store answers, and make it MLflow's store for this process.

        Raises:
            ValueError: if the store cannot be reached or opened; known within a few seconds.
        """
        check_reachable(self.tracking_uri)
        with quiet_mlflow():
            from mlflow import set_registry_uri, set_tracking_uri
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError
        try:
            if self.is_local:
                self._make_store()
            with quiet_mlflow(), variables(_IMPATIENT), unchanged_environment():
                set_tracking_uri(self.tracking_uri)
                set_registry_uri(self.tracking_uri)
                self._client().search_experiments(max_results=1)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise unreachable(self.tracking_uri, str(error)) from error
        return self

    def _make_store(self) -> None:
        """Make the store in home, whole or not at all: MLflow cannot mend one half made."""
        self.home.folder.mkdir(parents=True, exist_ok=True)
        self.home.mlflow_artifacts.mkdir(exist_ok=True)
        database = self.home.mlflow_database
        if database.exists():
            return
        with tempfile.TemporaryDirectory(dir=self.home.folder, prefix=".store-") as folder:
            partial = Path(folder) / database.name
            with quiet_mlflow(), unchanged_environment():
                from mlflow import MlflowClient

                MlflowClient(f"sqlite:///{partial.absolute()}").search_experiments(max_results=1)
            if not database.exists():
                partial.replace(database)

    def experiment(self, name: str) -> str:
        """Id of the experiment, made if new; the default store keeps artifacts in home."""
        with quiet_mlflow():
            client = self._client()
            found = client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            location = self.home.mlflow_artifacts.absolute().as_uri() if self.is_local else None
            return str(client.create_experiment(name, artifact_location=location))

    def register(
        self,
        package: ModelPackage,
        *,
        run_id: str,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Log the package's files as a model of the run and register it under its name.

        No pickle and no code travels with it: ``penchant.serving.pyfunc`` reads the package.

        Returns:
            The new version.

        Raises:
            ValueError: if MLflow refuses.
        """
        with quiet_mlflow():
            import mlflow.pyfunc
            from mlflow.exceptions import MlflowException
            from mlflow.models import Model

            from penchant.serving.signature import model_signature

        name = package.manifest.name
        try:
            with quiet_mlflow():
                client = self._client()
                # Made here, because MLflow would put it into the experiment that is active.
                model = client.create_logged_model(
                    client.get_run(run_id).info.experiment_id, name=name, source_run_id=run_id
                )
                Model.log(
                    None,
                    mlflow.pyfunc,
                    name=name,
                    run_id=run_id,
                    model_id=model.model_id,
                    loader_module=LOADER_MODULE,
                    data_path=str(package.folder),
                    pip_requirements=list(_REQUIREMENTS),
                    signature=model_signature(package.contract),
                    metadata={"contract": package.contract.to_json()},
                )
                if not client.search_registered_models(f"name = '{name}'"):
                    client.create_registered_model(name)
                registered = client.create_model_version(
                    name,
                    source=f"models:/{model.model_id}",
                    run_id=run_id,
                    model_id=model.model_id,
                    tags={PACKAGE_TAG: package.manifest.created_at, **(tags or {})},
                )
        except MlflowException as error:
            raise ValueError(
                f"registering {name!r} in {masked(self.tracking_uri)}: MLflow refused: "
                f"{masked(str(error))}; check the run id and the store, then register again"
            ) from error
        return int(registered.version)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version.

        Raises:
            ValueError: if there is no such version, or the store refuses.
        """
        from mlflow.exceptions import MlflowException

        try:
            with quiet_mlflow():
                self._client().set_registered_model_alias(model, alias, str(version))
        except MlflowException as error:
            raise self._refused(f"setting the alias {alias!r}", model, version, error) from error

    def version_of(self, model: str, alias: str) -> int | None:
        """Version that an alias points at; None where there is no such model or alias."""
        with quiet_mlflow():
            client = self._client()
            found = client.search_registered_models(f"name = '{model}'")
            version = found[0].aliases.get(alias) if found else None
        return None if version is None else int(version)

    def newest(self, model: str) -> int | None:
        """Highest registered version; None where there is none."""
        with quiet_mlflow():
            versions = self._client().search_model_versions(f"name = '{model}'")
        return max((int(found.version) for found in versions), default=None)

    def fetch(self, model: str, version: int, folder: Path) -> ModelPackage:
        """Copy a version's package into ``folder`` and check every file of it.

        Raises:
            ValueError: if there is no such version, it is damaged or another model's, or the store
                does not give it.
        """
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
            uri = ""
            try:
                with quiet_mlflow():
                    uri = self._client().get_model_version_download_uri(model, str(version))
                    path = mlflow.artifacts.download_artifacts(uri, dst_path=temporary)
            except (MlflowException, OSError) as error:
                if uri and getattr(error, "error_code", None) == _NOT_THERE:
                    raise ValueError(
                        f"version {version} of {model!r}: expected a penchant package, got none: "
                        f"its files in {masked(uri)} are gone; train and register it again"
                    ) from error
                raise self._refused("fetching", model, version, error) from error
            found = sorted(Path(path).glob("data/*/manifest.json"))
            if len(found) != 1:
                raise ValueError(
                    f"version {version} of {model!r}: expected one penchant package, got "
                    f"{len(found)}; publish a version that penchant registered"
                )
            destination = folder / f"{model}-{version}"
            if destination.exists():
                raise ValueError(f"{destination}: expected no such folder yet; remove it")
            found[0].parent.rename(destination)
        package = ModelPackage.open(destination)
        if package.manifest.name != model:
            raise ValueError(
                f"version {version} of {model!r}: expected a package of that model, got one of "
                f"{package.manifest.name!r}; register it under its own name"
            )
        return package

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    def _refused(self, doing: str, model: str, version: int, error: Exception) -> ValueError:
        """What to raise for a version that is not there, or a store that fails."""
        store = masked(self.tracking_uri)
        if getattr(error, "error_code", None) != _NOT_THERE:
            return StoreError(
                f"{doing} of version {version} of {model!r} in {store} failed: "
                f"{masked(str(error))}; see whether the store, its artifacts and the disk "
                "are well, then try again"
            )
        newest = self.newest(model)
        known = "none is registered" if newest is None else f"the newest is {newest}"
        return ValueError(
            f"version: expected a registered version of {model!r} in {store}, got {version}; "
            f"{known}: `penchant train propensity` or `penchant train journeys` registers one"
        )
