"""``penchant train propensity``: from a recipe to a registered, calibrated, explained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from penchant.clients.home import Home
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHALLENGER, Registry
from penchant.training.assessment import assess, network_metrics, test_metrics
from penchant.training.evaluation import Evaluation
from penchant.training.fit import MONITOR, FittedPropensity, fit_propensity
from penchant.training.fit_progress import FitProgress
from penchant.training.packaging import REPORT, write_package
from penchant.training.recipe import Recipe
from penchant.training.report import write_report
from penchant.training.run_folder import is_worker
from penchant.training.split import Parts, split_rows
from penchant.training.table import Table, read_table
from penchant.training.tracking import epoch_logger, log_fit, log_report
from penchant.training.training_run import run_folder, training_run


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training run leaves."""

    package: ModelPackage
    """The sealed package that was registered."""
    version: int
    """Its version in the registry."""
    run_id: str
    """The MLflow run."""
    report: Path
    """The marketer's report, HTML."""
    table: Table
    """The rows it was trained on."""
    parts: Parts
    """Which of them were held out."""
    fitted: FittedPropensity
    """The model itself."""


def train_propensity(
    recipe: Recipe,
    *,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    resume: bool = False,
) -> TrainedModel:
    """Train, calibrate, evaluate against baselines, package and register a propensity model.

    Args:
        recipe: Where the table is, what its columns mean, and how to train on it.
        home: The folder in which everything is made.
        tracking_uri: The MLflow store; else MLFLOW_TRACKING_URI, else SQLite in ``home``.
        resume: Go on with an interrupted run of the same recipe from its last checkpoint.

    Raises:
        ValueError: the recipe, the table or the store is not usable; nothing is registered.
    """
    console = Console(stderr=True)
    place = Home(home)
    table = read_table(recipe)
    recipe = table.recipe
    parts = split_rows(table, recipe.split)
    folder = run_folder(recipe, place)
    if is_worker():
        fit_propensity(table, parts, recipe, folder.path, resume=resume)
        raise SystemExit(0)
    registry = Registry(place, tracking_uri).connect()
    with training_run(
        recipe, registry, folder, console, fingerprint=table.fingerprint, resume=resume
    ) as run_id:
        with FitProgress(console, title=f"fitting {recipe.name}", monitor=MONITOR) as progress:
            fitted = fit_propensity(
                table,
                parts,
                recipe,
                folder.path,
                resume=resume,
                logger=epoch_logger(registry, run_id=run_id),
                callbacks=[progress],
            )
        log_fit(fitted)
        with console.status("comparing with baselines, writing the report"):
            evaluation = assess(fitted, table, parts, recipe)
            report = write_report(evaluation, folder.package / REPORT)
            log_report(report.parent, test_metrics(evaluation))
        with console.status("packaging and registering"):
            metrics = network_metrics(evaluation)
            package = write_package(
                fitted, table, parts.test, recipe, folder.package, metrics=metrics
            )
            version = registry.register(package, run_id=run_id)
            registry.set_alias(recipe.name, CHALLENGER, version)
    kept = folder.finish(report, place.reports / f"{recipe.name}-{version}.html")
    _say(console, evaluation, version=version, report=kept)
    return TrainedModel(
        package=package,
        version=version,
        run_id=run_id,
        report=kept,
        table=table,
        parts=parts,
        fitted=fitted,
    )


def _say(console: Console, evaluation: Evaluation, *, version: int, report: Path) -> None:
    """Say in a line a goal how good the model is, and where to read more."""
    for name in evaluation.goals:
        goal = evaluation.goal(name)
        scores = ", ".join(
            f"{model} {found.auc:.4f} / {found.average_precision:.4f} / {found.logloss:.4f}"
            for model, found in goal.metrics().items()
        )
        console.print(f"{name}: test AUC / AP / logloss: {scores}", markup=False)
    console.print(f"registered version {version}; report: {report}", markup=False, soft_wrap=True)
