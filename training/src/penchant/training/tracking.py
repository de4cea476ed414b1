"""What a training run leaves in MLflow: parameters, provenance, metrics, files."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penchant.clients.contract import PROPENSITY
from penchant.serving.mlflow_calls import unchanged_environment
from penchant.serving.registry import Registry
from penchant.training.fit import FittedPropensity
from penchant.training.recipe import Recipe

if TYPE_CHECKING:
    from pytorch_lightning.loggers import MLFlowLogger

    from penchant.training.journeys.fit import FittedJourneys
    from penchant.training.journeys.journey_recipe import JourneyRecipe

LIBRARIES: Final = (
    "penchant",
    "torch",
    "pytorch-lightning",
    "onnx",
    "onnxruntime",
    "mlflow",
    "numpy",
    "lightgbm",
    "scikit-learn",
    "ibis-framework",
)
EXPERIMENT: Final = "penchant"
MAX_PARAM_CHARACTERS: Final = 500


def library_versions() -> dict[str, str]:
    """Versions of the libraries that shape a model, and of Python."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in LIBRARIES
    }


def code_revision() -> str:
    """Git commit of the working folder, with "-dirty" where files are changed; else the version."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.CalledProcessError):
        return f"penchant {metadata.version('penchant')}"
    return done.stdout.strip()


def environment() -> str:
    """Every installed distribution with its version, one a line, as pip would read it."""
    lines = {f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


@contextmanager
def tracked_run(registry: Registry, *, run_id: str | None, name: str) -> Iterator[str]:
    """An MLflow run that ends as FINISHED, or FAILED where the body raises.

    Args:
        registry: The connected MLflow store.
        run_id: Run to go on with; a new one when None.
        name: Name of a new run.

    Yields:
        The run's id.
    """
    import mlflow

    with unchanged_environment():
        mlflow.set_experiment(experiment_id=registry.experiment(EXPERIMENT))
        with mlflow.start_run(run_id=run_id, run_name=None if run_id else name) as run:
            yield run.info.run_id


def log_recipe(
    recipe: Recipe | JourneyRecipe, *, data_fingerprint: str, kind: str = PROPENSITY
) -> None:
    """Log the recipe as parameters and as a file, with where data and code came from.

    Args:
        recipe: What is trained.
        data_fingerprint: Digest of the data it is trained on.
        kind: Kind of model.
    """
    import mlflow

    values = _flatten(asdict(recipe))
    mlflow.log_params({key: str(value)[:MAX_PARAM_CHARACTERS] for key, value in values.items()})
    mlflow.log_dict(_plain(asdict(recipe)), "recipe.yaml")
    revision = code_revision()
    mlflow.set_tags(
        {
            "penchant.kind": kind,
            "penchant.model": recipe.name,
            "penchant.data_fingerprint": data_fingerprint,
            "penchant.code_revision": revision,
            "mlflow.source.git.commit": revision.removesuffix("-dirty"),
        }
    )
    mlflow.log_dict(library_versions(), "libraries.json")
    mlflow.log_text(environment(), "environment.txt")


def epoch_logger(registry: Registry, *, run_id: str) -> MLFlowLogger:
    """Lightning's logger into the run: the losses of each epoch, while they are made."""
    from pytorch_lightning.loggers import MLFlowLogger

    return MLFlowLogger(tracking_uri=registry.tracking_uri, run_id=run_id)


def log_fit(fitted: FittedPropensity | FittedJourneys) -> None:
    """Log how long the fit took."""
    import mlflow

    mlflow.log_metrics({"fit/epochs": fitted.epochs, "fit/seconds": fitted.fit_s})


def log_report(folder: Path, metrics: Mapping[str, float]) -> None:
    """Log the test metrics and every file of the marketer's report."""
    import mlflow

    mlflow.log_metrics(dict(metrics))
    mlflow.log_artifacts(str(folder), artifact_path="report")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _plain(value: Any) -> Any:
    """`value` with only the types that YAML and JSON have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
