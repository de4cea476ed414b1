"""What tells one recipe from another, wherever its files lie."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from penchant.training.events.event_log import read_log_recipe
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.recipe import Recipe

_FILES: Final = ("path", "log")
"""Keys that name a file."""


def recipe_fingerprint(recipe: Recipe | JourneyRecipe) -> str:
    """SHA-256, in hex, over all that a recipe and its log recipe say but the folders of files.

    Raises:
        ValueError: The log recipe cannot be read.
    """
    content = asdict(recipe)
    log = _log_of(recipe)
    if log is not None:
        content["log_recipe"] = asdict(read_log_recipe(log))
    text = json.dumps(_without_folders(content), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _log_of(recipe: Recipe | JourneyRecipe) -> str | None:
    if isinstance(recipe, JourneyRecipe):
        return recipe.log
    return None if recipe.examples is None else recipe.examples.log


def _without_folders(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: Path(item).name if key in _FILES and isinstance(item, str) else _without_folders(item)
        for key, item in value.items()
    }
