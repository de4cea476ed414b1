"""From a log recipe to example rows, a trained model and rows that it can be asked with."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from penchant.clients.command import main
from penchant.clients.contract import Contract
from penchant.clients.home import Home
from penchant.serving.registry import Registry
from penchant.training.events.build_examples import build_examples
from penchant.training.events.example_maker import example_maker
from penchant.training.events.examples_config import ExamplesConfig, GoalConfig
from penchant.training.events.feature_benchmark import feature_benchmark
from penchant.training.journeys.journey_recipe import STATISTICS
from penchant.training.profile import profile_table
from penchant.training.recipe import Recipe, read_recipe
from penchant.training.split import folds, split_rows
from penchant.training.table import read_table
from penchant.training.train import train_propensity

DAY_S = 86_400
BEGIN_S = 1_577_836_800
"""2020-01-01, midnight UTC."""
NUM_DAYS = 200
VISITORS = 120
GOAL = {"name": "again", "actions": ["purchase"], "within_days": 20}

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's log of 200 days in which eager visitors keep buying, with its recipe."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    eager = random.random(VISITORS) < 0.5
    rows: list[dict[str, Any]] = []
    for visitor in range(VISITORS):
        count = 60 if eager[visitor] else 12
        for second in random.integers(0, NUM_DAYS * DAY_S, count).tolist():
            bought = random.random() < 0.3
            rows.append(
                {
                    "who": f"v{visitor}",
                    "at": BEGIN_S + second,
                    "what": "purchase" if bought else "view",
                    "sku": int(random.integers(30)),
                    "via": str(random.choice(["web", "app"])),
                    "on": "phone" if visitor % 3 else "tablet",
                    "money": round(float(random.uniform(1, 90)), 2) if bought else None,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), folder / "events.parquet")
    items = {
        "sku": list(range(30)),
        "kind": [f"kind {item % 4}" for item in range(30)],
        "maker": [f"maker {item % 3}" for item in range(30)],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    customers = {
        "who": [f"v{visitor}" for visitor in range(0, VISITORS, 2)],
        "age": list(range(0, VISITORS, 2)),
        "town": ["Łódź", "Brno"] * (VISITORS // 4),
    }
    pq.write_table(pa.table(customers), folder / "customers.parquet")
    columns = {"visitor_id": "who", "time": "at", "action": "what", "item_id": "sku"}
    log = {
        "name": "shop",
        "events": {
            "table": {"path": "events.parquet"},
            "columns": columns | {"channel": "via", "device": "on", "value": "money"},
            "time_unit": "s",
            "timezone": "Europe/Prague",
        },
        "items": {
            "table": {"path": "items.parquet"},
            "columns": {"item_id": "sku", "category": "kind", "brand": "maker"},
        },
        "customers": {
            "table": {"path": "customers.parquet"},
            "columns": {"visitor_id": "who", "numeric": ["age"], "categorical": ["town"]},
        },
    }
    (folder / "log.yaml").write_text(yaml.safe_dump(log), encoding="utf-8")
    return folder


def recipe_of(folder: Path, examples: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe file beside the log, read as the command reads it."""
    content = {
        "name": "again",
        "examples": {
            "log": "log.yaml",
            "goals": [GOAL],
            "cutoffs": {"count": 4},
            "windows_days": [7, 30],
        }
        | (examples or {}),
        "fit": {"max_epochs": 2, "patience": 2, "batch_size": 64},
        "network": {"trunks": 1, "members": 2, "width": 16, "embedding_size": 4},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return read_recipe(path)


def test_examples_are_a_table_with_columns_and_goals_of_their_own(folder: Path) -> None:
    table = read_table(
        recipe_of(
            folder, {"customer_columns": ["age", "town"]}, columns={"ignored": ["basket_max"]}
        )
    )
    recipe = table.recipe
    assert {"events_7d", "view_ever", "basket_mean", "age"} <= set(recipe.columns.numeric)
    assert "basket_max" not in recipe.columns.features
    assert recipe.columns.categorical == (
        "favourite_category",
        "favourite_brand",
        "favourite_channel",
        "favourite_device",
        "last_device",
        "town",
    )
    assert {"distinct_brands", "distinct_devices"} <= set(recipe.columns.numeric)
    assert set(table.arrow["last_device"].to_pylist()) == {"phone", "tablet"}
    assert [goal.name for goal in recipe.goals] == ["again"]
    assert table.raw_inputs(np.arange(3))["numeric"].shape == (3, len(recipe.columns.numeric))
    assert 0.1 < table.label.mean() < 0.9
    assert table.visitor is not None
    ids, numbers = table.arrow["visitor_id"].to_pylist(), table.visitor.tolist()
    assert len(set(zip(ids, numbers, strict=True))) == len(set(ids)) == len(set(numbers))


def test_the_split_is_by_time_and_nothing_learnt_reaches_into_the_test(folder: Path) -> None:
    recipe = recipe_of(folder, {"cutoffs": {"count": 9}})
    assert (recipe.split.by, recipe.split.column) == ("time", "cutoff")
    table = read_table(recipe)
    cutoff = table.arrow["cutoff"].to_numpy().astype("datetime64[s]").astype(np.int64)
    for parts in (split_rows(table, recipe.split), *folds(table, 2, seed=0)):
        ordered = [parts.train, parts.validation, parts.calibration, parts.test]
        for earlier, later in pairwise(ordered):
            assert cutoff[earlier].max() + 20 * DAY_S <= cutoff[later].min()


def test_inspect_data_shows_examples(folder: Path) -> None:
    profile = profile_table(recipe_of(folder))
    assert profile.place.startswith("examples of ")
    assert profile.place.endswith("log.yaml")
    assert set(profile.parts) == {"train", "validation", "calibration", "test"}
    assert profile.not_named == {}, "whose rows they are is read too"


def test_a_model_is_trained_and_todays_visitors_can_be_scored(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_of(folder)
    trained = train_propensity(recipe, home=tmp_path)
    assert "examples of" in trained.report.read_text(encoding="utf-8")
    package = Registry(Home(tmp_path)).connect().fetch("again", trained.version, tmp_path / "got")
    contract = package.manifest.contract
    assert isinstance(contract, Contract)
    said = build_examples(recipe, output=tmp_path / "today.parquet", at="2020-07-18")
    today = pq.read_table(tmp_path / "today.parquet")
    assert said.startswith(f"{len(today):,} rows of 1 cut-offs, 0 of them with labels")
    assert {*contract.numeric, *contract.categorical} <= set(today.column_names)
    assert today["goal_again"].null_count == len(today)
    # Midnight in Prague, where the clocks are two hours before UTC in July.
    assert {str(at) for at in today["cutoff"].to_pylist()} == {"2020-07-17 22:00:00"}
    assert len(set(today["visitor_id"].to_pylist())) == len(today)


def test_written_examples_are_those_that_training_reads(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    config = folder / "recipe.yaml"
    recipe = recipe_of(folder)
    assert main(["build", "examples", "--config", str(config), "--output", str(path)]) == 0
    rows = pq.read_table(path)
    table = read_table(recipe)  # made anew, and yet the same
    assert rows.select(table.arrow.column_names).to_pylist() == table.arrow.to_pylist()
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_later_events_of_a_busy_visitor_drop_nothing_that_was_known(tmp_path: Path) -> None:
    before = [BEGIN_S - day * DAY_S for day in range(1, 6)]
    log = {
        "name": "busy",
        "events": {
            "table": {"path": "events.parquet"},
            "columns": {"visitor_id": "who", "time": "at"},
            "time_unit": "s",
        },
        "cleaning": {"most_events": 3},
    }
    (tmp_path / "log.yaml").write_text(yaml.safe_dump(log), encoding="utf-8")
    config = ExamplesConfig(
        log=str(tmp_path / "log.yaml"), goals=(GoalConfig(name="again", within_days=1),)
    )
    for later in (0, 1, 3):
        times = before + [BEGIN_S + DAY_S + second for second in range(later)]
        rows = pa.table({"who": ["a"] * len(times), "at": times})
        pq.write_table(rows, tmp_path / "events.parquet")
        (row,) = example_maker(config).rows(BEGIN_S).to_pyarrow().to_pylist()
        assert (row["events_ever"], row["days_since_first_event"]) == (3, 3.0)


def test_only_asked_for_visitors_are_looked_at(folder: Path, tmp_path: Path) -> None:
    def rows(**examples: Any) -> list[dict[str, Any]]:
        path = tmp_path / "rows.parquet"
        build_examples(recipe_of(folder, examples), output=path, at="2020-06-01")
        return list(pq.read_table(path).to_pylist())

    everyone = rows()
    buyers = rows(having_done=["purchase"])
    recent = rows(active_within_days=5)
    assert buyers == [row for row in everyone if row["purchase_ever"]]
    assert recent == [row for row in everyone if row["days_since_last_event"] <= 5]
    assert 0 < len(recent) < len(buyers) < len(everyone)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (
            {"cutoffs": {"dates": ["2020-03-01", "2020-03-11"]}},
            "10 days apart, less than the longest horizon of 20 days",
        ),
        ({"cutoffs": {"every_days": 5}}, "5 days apart, less than"),
        ({"cutoffs": {"dates": ["1.3.2020"]}}, "examples.cutoffs.dates: expected a date"),
        ({"cutoffs": {"count": 2}}, "at least 4 with a label"),
        ({"goals": [GOAL | {"actions": ["purchas"]}]}, "no action 'purchas'; did you mean purch"),
        ({"having_done": ["fax"]}, "examples.having_done: the log has no action 'fax'"),
        ({"customer_columns": ["ages"]}, "no column 'ages'; did you mean age"),
        ({"cutoffs": {"dates": ["2019-01-01", "2019-03-01", "2019-05-01", "2019-07-01"]}}, "visit"),
    ],
)
def test_examples_that_cannot_be_made_are_explained(
    folder: Path, examples: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(recipe_of(folder, examples))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": {"path": "events.parquet"}}, "expected a table .* or examples .*, got both"),
        ({"goals": [{"name": "x", "column": "y"}]}, "goals: expected none beside examples"),
        ({"columns": {"numeric": ["age"]}}, "columns: expected nothing but ignored"),
        ({"split": {"by": "group", "column": "visitor_id"}}, ""),
    ],
)
def test_what_a_recipe_may_say_beside_examples(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    if not message:
        table = read_table(recipe_of(folder, **changes))
        assert len(split_rows(table, table.recipe.split).test)
        return
    with pytest.raises(ValueError, match=message):
        read_table(recipe_of(folder, **changes))


def test_settings_that_contradict_are_refused(folder: Path, tmp_path: Path) -> None:
    for examples, message in (
        ({"goals": []}, "examples.goals: expected at least one"),
        ({"goals": [GOAL, GOAL]}, "two goals have the name again"),
        ({"goals": [GOAL | {"within_days": 0}]}, "within_days of again: expected at least"),
        ({"windows_days": [7, 7]}, "each length once"),
        ({"cutoffs": {"dates": ["2020-01-01"], "every_days": 9}}, "got both"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe_of(folder, examples)
    with pytest.raises(ValueError, match=r"ends in \.parquet, got rows\.csv"):
        build_examples(recipe_of(folder), output=Path("rows.csv"))
    with pytest.raises(ValueError, match="at: expected a date"):
        build_examples(recipe_of(folder), output=tmp_path / "rows.parquet", at="today")
    with pytest.raises(ValueError, match="no visitor to look at"):
        build_examples(recipe_of(folder), output=tmp_path / "rows.parquet", at="2019-01-01")


def test_the_benchmark_times_each_query(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feature_benchmark(log=folder / "log.yaml", within_days=10)
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition(":")[0] for line in lines if ": " in line]
    assert names == ["open and clean", "features and labels", "sessions", *STATISTICS]
    assert f"{VISITORS} visitors" in "\n".join(lines)
