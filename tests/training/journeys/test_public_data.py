import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.training.journeys.small_journeys import catalogue_of, random_journeys

from penchant.training.journeys.benchmarks.benchmark import run_benchmark
from penchant.training.journeys.benchmarks.public_data import diginetica, movielens_100k
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import split_journeys


def write(folder: Path, name: str, columns: dict[str, list[object]]) -> None:
    (folder / name).parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / name)


def test_it_says_which_variable_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENCHANT_DATA", raising=False)
    with pytest.raises(ValueError, match=r"PENCHANT_DATA: expected the folder .* got nothing"):
        movielens_100k()


def test_it_says_which_file_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENCHANT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"holds ml100k/interactions\.parquet"):
        movielens_100k()


def test_ratings_lie_in_order_of_time_and_sessions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENCHANT_DATA", str(tmp_path))
    columns: dict[str, list[object]] = {
        "user_id": [2, 1, 1, 1],
        "item_id": [50, 70, 60, 50],
        "timestamp": [100, 9000, 10, 10],
    }
    write(tmp_path, "ml100k/interactions.parquet", columns)
    journeys, catalogue = movielens_100k()
    assert journeys.offsets.tolist() == [0, 3, 4]
    assert journeys.item.tolist() == [2, 3, 4, 2]
    assert journeys.time_s.tolist() == [10, 10, 9000, 100]
    assert journeys.session.tolist() == [0, 0, 1, 0]
    assert catalogue.item_id.tolist() == [50, 60, 70]


def test_every_later_click_of_a_test_session_is_a_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENCHANT_DATA", str(tmp_path))
    sessions = [number for number in range(101) for _ in range(3)]
    columns: dict[str, list[Any]] = {
        "session_id": list(sessions),
        "pos": [0, 1, 2] * 101,
        "item_id": [number % 7 for number in range(303)],
        "split": ["train"] * 300 + ["test"] * 3,
    }
    write(tmp_path, "diginetica_sessions/sessions.parquet", columns)
    _, catalogue, parts = diginetica()
    assert catalogue.num_codes == 9
    assert parts.test.visitor.tolist() == [100, 100]
    assert parts.test.position.tolist() == [1, 2]
    assert sorted(set(parts.validation.visitor.tolist())) == [97, 98, 99]
    assert parts.train_until.tolist() == [3] * 97 + [0] * 4
    assert parts.test_from.tolist() == [3] * 100 + [0]


def test_a_run_takes_its_options_from_the_command_line_and_writes_every_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    journeys = random_journeys(60)
    recipe = JourneyRecipe(
        name="small",
        log="none.yaml",
        split=JourneySplit(by="leave_one_out", repeats=False),
        network=JourneyNetworkConfig(window=5, profile=0, width=8, num_blocks=1),
        fit=JourneyFitConfig(max_epochs=9),
        trainer={"accelerator": "cpu"},
    )
    words = ["run", "--folder", str(tmp_path), "--seed", "3", "--max_epochs", "1"]
    monkeypatch.setattr("sys.argv", words)
    parts = split_journeys(journeys, recipe.split)
    run_benchmark("Small", recipe, lambda: (journeys, catalogue_of([None] * 30), parts))
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (result["name"], result["seed"], result["epochs"]) == ("Small", 3, 1)
    assert set(result["models"]) == {"JourneyNet", "popularity", "item-kNN", "session-kNN"}
    assert {each["targets"] for each in result["models"].values()} == {len(parts.test)}
