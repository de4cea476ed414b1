"""The verb `train journeys`: a run that is killed goes on; one that cannot begin leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penchant.clients.home import Home
from penchant.serving.registry import CHALLENGER, Registry
from penchant.training.events.event_log import read_log_recipe
from penchant.training.journeys.journey_evaluation import NETWORK_ALONE, UNTOLD
from penchant.training.journeys.journey_recipe import JourneyRecipe, read_journey_recipe
from penchant.training.journeys.train import train_journeys
from penchant.training.recipe import SHIPPED_JOURNEYS, shipped_recipe
from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulation_config import SimulationConfig

EPOCHS = 12
PATIENCE_S = 120
RECIPE = f"""
name: wanted
log: log/log.yaml
network: {{window: 8, profile: 0, width: 8, num_blocks: 1}}
fit: {{max_epochs: {EPOCHS}, patience: {EPOCHS}, batch_size: 8}}
associations: {{use: [popular], least_support: 2}}
budget: {{num_items: 10}}
"""

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
]


def recipe_in(folder: Path) -> Path:
    """A small log and a recipe over it."""
    simulate_log(SimulationConfig(events=6_000, items=480, seed=2), folder / "log")
    path = folder / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def kill_in_the_middle(path: Path, home: Path) -> str:
    """Train in a process of its own and kill -9 it after an epoch; return the run's id."""
    penchant = Path(sys.executable).with_name("penchant")
    words = [str(penchant), "train", "journeys", "--config", str(path), "--home", str(home)]
    with (path.parent / "log.txt").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not list(Home(home).runs.glob("*/checkpoints/last.ckpt")):
            assert process.poll() is None, (path.parent / "log.txt").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    (state,) = Home(home).runs.glob("*/run.json")
    return str(json.loads(state.read_text(encoding="utf-8"))["run_id"])


def test_a_killed_run_goes_on_in_the_same_mlflow_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    home, path = tmp_path / "home", recipe_in(tmp_path)
    recipe = read_journey_recipe(path)
    run_id = kill_in_the_middle(path, home)
    events = tmp_path / "log" / "events.parquet"
    whole = events.read_bytes()
    pq.write_table(pq.read_table(events).slice(0, 5_000), events)
    with pytest.raises(ValueError, match=r"resume: .* rows have changed; train anew"):
        train_journeys(recipe, home=home, resume=True)
    events.write_bytes(whole)

    trained = train_journeys(recipe, home=home, resume=True)

    assert trained.run_id == run_id
    assert trained.model.fitted.epochs == EPOCHS
    registry = Registry(Home(home)).connect()
    points = MlflowClient(registry.tracking_uri).get_metric_history(run_id, "validation/ndcg_10")
    assert len({point.step for point in points}) == EPOCHS, "those before the kill are there too"
    assert registry.version_of("wanted", CHALLENGER) == trained.version == 1
    assert not list(Home(home).runs.glob("*/run.json"))
    (folder,) = Home(home).runs.iterdir()
    assert folder.name.startswith("wanted-"), "no columns of journeys are left beside it"
    assert trained.data.journeys.item.sum() > 0, "though whoever has them can still read them"


def test_where_a_statistic_answers_alone_no_network_is_trained(tmp_path: Path) -> None:
    recipe = read_journey_recipe(
        recipe_in(tmp_path), ["--associations.alone", "viewed_together", "--fit.max_epochs", "2"]
    )
    trained = train_journeys(recipe, home=tmp_path / "home")
    assert (trained.model.fitted.epochs, trained.model.fitted.fit_s) == (0, 0.0)
    assert trained.evaluation.models.keys() & {NETWORK_ALONE, UNTOLD} == set()
    assert trained.evaluation.heads.found == {}
    golden = trained.package.golden().outputs
    assert len(np.unique(golden["purchase"])) == 1, "the same is said of everybody"
    assert len(np.unique(golden["next_item"][:, 0])) > 1, "but for the items"
    assert "which was not trained" in trained.report.read_text(encoding="utf-8")


def test_two_devices_train_one_model(tmp_path: Path) -> None:
    home, path = tmp_path / "home", recipe_in(tmp_path)
    penchant = Path(sys.executable).with_name("penchant")
    words = [str(penchant), "train", "journeys", "--config", str(path), "--home", str(home)]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--fit.max_epochs", "2"]
    with (tmp_path / "log.txt").open("w") as log:
        done = subprocess.run(words, stdout=log, stderr=log, timeout=PATIENCE_S, check=False)
    said = (tmp_path / "log.txt").read_text()
    assert done.returncode == 0, said
    assert Registry(Home(home)).connect().newest("wanted") == 1, "the second must not register too"
    assert len(list(Home(home).reports.iterdir())) == 1
    assert "Warning" not in said, "nothing of it is news to who asks for two devices"


def one_event(folder: Path, **changed: str) -> JourneyRecipe:
    """A recipe over a log of two events."""
    rows = {"v": ["a", "a"], "t": [1, 2], "i": ["x", "y"]}
    pq.write_table(pa.table(rows), folder / "events.parquet")
    (folder / "log.yaml").write_text(
        "name: small\nevents:\n  table: {path: events.parquet}\n"
        "  columns: {visitor_id: v, time: t, item_id: i}\n  time_unit: s\n",
        encoding="utf-8",
    )
    return JourneyRecipe(name="small", log=str(folder / "log.yaml"), **changed)  # type: ignore[arg-type]


def test_an_action_that_the_log_lacks_is_said_before_anything_is_fitted(tmp_path: Path) -> None:
    recipe = one_event(tmp_path, target_action="buy")
    with pytest.raises(ValueError, match=r"target_action: .* \(view\), got 'buy'"):
        train_journeys(recipe, home=tmp_path / "home")
    assert Registry(Home(tmp_path / "home")).connect().newest("small") is None


def test_a_log_too_short_to_divide_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split: "):
        train_journeys(one_event(tmp_path), home=tmp_path / "home")


def test_a_store_out_of_reach_is_said_before_the_log_is_read(tmp_path: Path) -> None:
    recipe = JourneyRecipe(name="small", log=str(tmp_path / "none.yaml"))
    with pytest.raises(ValueError, match=r"tracking_uri.*127\.0\.0\.1:9"):
        train_journeys(recipe, home=tmp_path / "home", tracking_uri="http://127.0.0.1:9")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", SHIPPED_JOURNEYS)
def test_shipped_recipes_name_a_log_that_is_shipped(name: str) -> None:
    recipe = read_journey_recipe(shipped_recipe(name), ["--fit.seed", "3"])
    assert recipe.fit.seed == 3
    assert read_log_recipe(recipe.log).events.columns.visitor_id
