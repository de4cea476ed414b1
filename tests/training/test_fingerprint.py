"""The fingerprint of a recipe: it changes with what is said, not with where it is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penchant.training.fingerprint import recipe_fingerprint
from penchant.training.journeys.journey_recipe import read_journey_recipe
from penchant.training.recipe import read_recipe

LOG = """
name: shop
events:
  table: {path: events.parquet}
  columns: {visitor_id: v, time: t}
"""
JOURNEYS = "name: wanted\nlog: log.yaml\n"
EXAMPLES = "name: again\nexamples:\n  log: log.yaml\n  goals: [{name: buys}]\n"


def shop(folder: Path) -> Path:
    """A folder with a log recipe and two recipes over it."""
    folder.mkdir(parents=True)
    for name, text in (("log", LOG), ("journeys", JOURNEYS), ("examples", EXAMPLES)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "events.parquet").touch()
    return folder


def fingerprints(folder: Path) -> list[str]:
    """Of the journey recipe and of the one with examples."""
    return [
        recipe_fingerprint(read_journey_recipe(folder / "journeys.yaml")),
        recipe_fingerprint(read_recipe(folder / "examples.yaml")),
    ]


def test_it_stays_where_the_folder_is_moved(tmp_path: Path) -> None:
    first = fingerprints(shop(tmp_path / "here"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert fingerprints(tmp_path / "there") == first


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("log", "cleaning: {duplicates: keep}"),
        ("log", "session_gap_minutes: 20"),
        ("journeys", "fit: {seed: 1}"),
    ],
)
def test_it_changes_with_either_recipe(tmp_path: Path, file: str, line: str) -> None:
    folder = shop(tmp_path / "shop")
    before = fingerprints(folder)
    with (folder / f"{file}.yaml").open("a", encoding="utf-8") as text:
        text.write(f"{line}\n")
    after = fingerprints(folder)
    assert after[0] != before[0]
    assert (after[1] != before[1]) == (file == "log"), "who reads the log notices, others do not"
