"""What surrounds a fit of any kind: one MLflow run, in which an interrupted one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from penchant.clients.contract import PROPENSITY
from penchant.clients.home import Home
from penchant.serving.registry import Registry
from penchant.training.fingerprint import recipe_fingerprint
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.recipe import Recipe
from penchant.training.run_folder import RunFolder
from penchant.training.tracking import log_recipe, tracked_run


def run_folder(recipe: Recipe | JourneyRecipe, home: Home) -> RunFolder:
    """Where the runs of a recipe are kept.

    Raises:
        ValueError: Its log recipe cannot be read.
    """
    return RunFolder(home.runs / f"{recipe.name}-{recipe_fingerprint(recipe)[:12]}")


@contextmanager
def training_run(
    recipe: Recipe | JourneyRecipe,
    registry: Registry,
    folder: RunFolder,
    console: Console,
    *,
    fingerprint: str,
    resume: bool,
    kind: str = PROPENSITY,
) -> Iterator[str]:
    """The MLflow run of a recipe, its folder made ready and the recipe logged.

    Args:
        recipe: What is trained.
        registry: The connected MLflow store.
        folder: What the run keeps on the disk.
        console: Where it is said that there is nothing to go on with.
        fingerprint: Digest of the data.
        resume: Go on with the interrupted run of the folder, where there is one.
        kind: Kind of model.

    Yields:
        The run's id.

    Raises:
        ValueError: The data are not what the interrupted run was fitted on.
    """
    interrupted = folder.interrupted_run(fingerprint) if resume else None
    if resume and interrupted is None:
        console.print("no interrupted run of this recipe: beginning a new one", markup=False)
    folder.make_room(keep_checkpoints=interrupted is not None)
    with tracked_run(registry, run_id=interrupted, name=recipe.name) as run_id:
        folder.begin(run_id, fingerprint=fingerprint)
        log_recipe(recipe, data_fingerprint=fingerprint, kind=kind)
        yield run_id
