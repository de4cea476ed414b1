"""JourneyData: the log of a recipe as journeys, divided."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from penchant.training.events.event_log import EventLog, open_event_log, read_log_recipe
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_packaging import journey_contract, journeys_fingerprint
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys


@dataclass(frozen=True, kw_only=True)
class JourneyData:
    """What a recipe's log holds."""

    log: EventLog
    """The opened log."""
    journeys: Journeys
    """Its events by visitor."""
    catalogue: Catalogue
    """Its items by code."""
    parts: JourneyParts
    """What is learnt from, and what is held out."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over all events and items."""
        return journeys_fingerprint(self.journeys, self.catalogue)


def read_journeys(recipe: JourneyRecipe, folder: Path) -> JourneyData:
    """Open the log of a recipe, build its journeys and divide them.

    Args:
        recipe: Which log, and how to divide it.
        folder: Where there is room for the columns of the journeys; made if it is missing. Their
            files have no name there once they are mapped, so that none outlives this process.

    Raises:
        ValueError: The log is not usable, or what the recipe names is not in it.
    """
    log = open_event_log(read_log_recipe(recipe.log))
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="journeys-", ignore_cleanup_errors=True) as columns:
        journeys, catalogue = build_journeys(log, Path(columns))
    journey_contract(recipe, journeys, catalogue)  # refuses now what could not be served later
    parts = split_journeys(journeys, recipe.split)
    return JourneyData(log=log, journeys=journeys, catalogue=catalogue, parts=parts)
