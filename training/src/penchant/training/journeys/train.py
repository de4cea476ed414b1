"""``penchant train journeys``: from an event log to a registered model of what comes next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pytorch_lightning.loggers import Logger
from rich.console import Console

from penchant.clients.home import Home
from penchant.clients.journey_contract import JOURNEY
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHALLENGER, Registry
from penchant.training.fit_progress import FitProgress
from penchant.training.journeys.evaluation_metrics import flat_metrics, served_metrics
from penchant.training.journeys.evaluation_tables import evaluation_tables
from penchant.training.journeys.fit import FittedJourneys, fit_journeys, untrained_journeys
from penchant.training.journeys.journey_data import JourneyData, read_journeys
from penchant.training.journeys.journey_evaluation import JourneyEvaluation
from penchant.training.journeys.journey_model import (
    JourneyModel,
    assess_journeys,
    serve_journeys,
    with_statistics,
)
from penchant.training.journeys.journey_module import MONITOR
from penchant.training.journeys.journey_packaging import write_journey_package
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_report import write_journey_report
from penchant.training.journeys.refresh import refresh_journeys
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.packaging import REPORT
from penchant.training.run_folder import RunFolder, is_worker
from penchant.training.tracking import epoch_logger, log_fit, log_report
from penchant.training.training_run import run_folder, training_run


@dataclass(frozen=True, kw_only=True)
class TrainedJourneys:
    """What a training run leaves."""

    package: ModelPackage
    """The sealed package that was registered."""
    version: int
    """Its version in the registry."""
    run_id: str
    """The MLflow run."""
    report: Path
    """The marketer's report, HTML."""
    data: JourneyData
    """What it was trained on."""
    model: JourneyModel
    """The network, and the statistics beside it."""
    served: ServedJourney
    """The model as it is served, in PyTorch."""
    evaluation: JourneyEvaluation
    """All models on the test part."""


def train_journeys(
    recipe: JourneyRecipe,
    *,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    resume: bool = False,
) -> TrainedJourneys:
    """Train, blend, evaluate against baselines, package and register a journey model.

    Args:
        recipe: Which log, which network, and how to train it.
        home: The folder in which everything is made.
        tracking_uri: The MLflow store; else MLFLOW_TRACKING_URI, else SQLite in ``home``.
        resume: Go on with an interrupted run of the same recipe from its last checkpoint.

    Raises:
        ValueError: a recipe, the log or the store is not usable; nothing is registered.
    """
    console = Console(stderr=True)
    place = Home(home)
    if is_worker():
        data = read_journeys(recipe, place.runs)
        _fit(data, recipe, run_folder(recipe, place), resume=resume)
        raise SystemExit(0)
    registry = Registry(place, tracking_uri).connect()
    with console.status("reading the event log"):
        data = read_journeys(recipe, place.runs)
    folder = run_folder(recipe, place)
    with training_run(
        recipe, registry, folder, console, fingerprint=data.fingerprint, resume=resume, kind=JOURNEY
    ) as run_id:
        logger = epoch_logger(registry, run_id=run_id)
        model = _model(data, recipe, folder, resume=resume, logger=logger, console=console)
        log_fit(model.fitted)
        with console.status("comparing with baselines, writing the report"):
            evaluation = assess_journeys(model, data, recipe)
            report = write_journey_report(evaluation, model, data, recipe, folder.package / REPORT)
            log_report(report.parent, flat_metrics(evaluation))
        with console.status("packaging and registering"):
            served = serve_journeys(model, data, recipe)
            package = _package(served, model, data, recipe, folder.package, evaluation)
            version = registry.register(package, run_id=run_id)
            registry.set_alias(recipe.name, CHALLENGER, version)
    kept = folder.finish(report, place.reports / f"{recipe.name}-{version}.html")
    for table in evaluation_tables(evaluation):
        console.print(table)
    console.print(evaluation.sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"registered version {version}; report: {kept}", markup=False, soft_wrap=True)
    return TrainedJourneys(
        package=package,
        version=version,
        run_id=run_id,
        report=kept,
        data=data,
        model=model,
        served=served,
        evaluation=evaluation,
    )


def _model(
    data: JourneyData,
    recipe: JourneyRecipe,
    folder: RunFolder,
    *,
    resume: bool,
    logger: Logger,
    console: Console,
) -> JourneyModel:
    """The network with statistics beside it; untrained where one of them answers alone."""
    if recipe.associations.alone is not None:
        with console.status("counting association statistics"):
            nothing = untrained_journeys(data.journeys, data.catalogue, data.parts, recipe)
            return with_statistics(nothing, data, recipe)
    fitted = _fit(data, recipe, folder, resume=resume, logger=logger, console=console)
    with console.status("weighing association statistics"):
        model = with_statistics(fitted, data, recipe)
    with console.status("learning from the newest events too"):
        return replace(model, fitted=_refresh(fitted, data, recipe, folder))


def _fit(
    data: JourneyData,
    recipe: JourneyRecipe,
    folder: RunFolder,
    *,
    resume: bool,
    logger: Logger | None = None,
    console: Console | None = None,
) -> FittedJourneys:
    progress = FitProgress(
        console or Console(stderr=True, quiet=True),
        title=f"fitting {recipe.name}",
        monitor=MONITOR,
        label="NDCG@10",
        better=max,
    )
    with progress:
        return fit_journeys(
            data.journeys,
            data.catalogue,
            data.parts,
            recipe,
            folder.path,
            resume=resume,
            logger=logger,
            callbacks=[progress],
        )


def _refresh(
    fitted: FittedJourneys, data: JourneyData, recipe: JourneyRecipe, folder: RunFolder
) -> FittedJourneys:
    return refresh_journeys(fitted, data.journeys, data.catalogue, data.parts, recipe, folder.path)


def _package(
    served: ServedJourney,
    model: JourneyModel,
    data: JourneyData,
    recipe: JourneyRecipe,
    folder: Path,
    evaluation: JourneyEvaluation,
) -> ModelPackage:
    return write_journey_package(
        served,
        data.journeys,
        data.catalogue,
        data.parts.test,
        recipe,
        folder,
        metrics=served_metrics(evaluation),
        blend=model.blend.as_dict(),
    )
