"""A training run that is killed goes on where it was; one that cannot begin leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.tables import shop_recipe, shop_rows

from penchant.clients.home import Home
from penchant.serving.registry import CHALLENGER, Registry
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe import FitConfig, Recipe
from penchant.training.train import train_propensity

EPOCHS = 30
SLOW_FIT = FitConfig(max_epochs=EPOCHS, patience=EPOCHS, batch_size=16)
SMALL = NetworkConfig(trunks=3, members=2, width=16, embedding_size=4)
PATIENCE_S = 90

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
]


def _state(home: Path) -> Path | None:
    return next(iter(Home(home).runs.glob("*/run.json")), None)


def _train_in_a_process(recipe: Recipe, home: Path, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "recipe.json"
    path.write_text(recipe.to_json(), encoding="utf-8")
    penchant = Path(sys.executable).with_name("penchant")
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [penchant, "train", "propensity", "--config", str(path), "--home", str(home)],
            stdout=log,
            stderr=log,
        )


def _kill_in_the_middle(recipe: Recipe, home: Path, folder: Path) -> str:
    """Train in a process of its own and kill -9 it after some epochs; return the run's id."""
    process = _train_in_a_process(recipe, home, folder)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not list(Home(home).runs.glob("*/checkpoints/last.ckpt")):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    state = _state(home)
    assert state is not None
    return str(json.loads(state.read_text(encoding="utf-8"))["run_id"])


def test_a_killed_run_goes_on_in_the_same_mlflow_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    home = tmp_path / "home"
    recipe = shop_recipe(tmp_path, fit=SLOW_FIT, network=SMALL)
    run_id = _kill_in_the_middle(recipe, home, tmp_path)
    checkpoint = next(iter(Home(home).runs.glob("*/checkpoints/last.ckpt")))
    written = checkpoint.stat().st_mtime_ns

    other = shop_recipe(tmp_path, shop_rows(seed=1), fit=SLOW_FIT, network=SMALL)
    with pytest.raises(ValueError, match=r"resume: .* rows have changed; train anew"):
        train_propensity(other, home=home, resume=True)
    assert shop_recipe(tmp_path, fit=SLOW_FIT, network=SMALL) == recipe, "the old rows are back"

    trained = train_propensity(recipe, home=home, resume=True)

    assert trained.run_id == run_id
    assert trained.fitted.epochs == EPOCHS
    assert checkpoint.stat().st_mtime_ns > written
    registry = Registry(Home(home)).connect()
    run = MlflowClient(registry.tracking_uri)
    losses = run.get_metric_history(run_id, "validation/logloss")
    assert len({point.step for point in losses}) == EPOCHS, "those before the kill are there too"
    assert registry.version_of(recipe.name, CHALLENGER) == trained.version == 1
    assert _state(home) is None


def test_two_devices_train_one_model(tmp_path: Path) -> None:
    home = tmp_path / "home"
    trainer = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    recipe = shop_recipe(tmp_path, fit=FitConfig(max_epochs=2), network=SMALL, trainer=trainer)
    done = _train_in_a_process(recipe, home, tmp_path)
    assert done.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    registry = Registry(Home(home)).connect()
    assert registry.newest(recipe.name) == 1, "the second process must not register a model too"
    assert len(list(Home(home).reports.iterdir())) == 1


def test_a_second_run_is_a_new_version_and_with_the_same_seed_the_same_model(
    tmp_path: Path,
) -> None:
    recipe = shop_recipe(tmp_path, fit=FitConfig(max_epochs=2, seed=3), network=SMALL)
    first = train_propensity(recipe, home=tmp_path / "home")
    scores = first.fitted.predict(first.table, first.parts.test)
    second = train_propensity(recipe, home=tmp_path / "home")
    assert (first.version, second.version) == (1, 2)
    assert first.run_id != second.run_id
    assert (second.fitted.predict(second.table, second.parts.test) == scores).all()
    held_out = first.package.holdout()
    assert held_out is not None, "later versions are compared on rows that no fit saw"
    label = first.table.label[first.parts.test]
    assert np.array_equal(held_out.label, label, equal_nan=True)


def test_a_store_out_of_reach_is_said_before_anything_is_fitted(tmp_path: Path) -> None:
    recipe = shop_recipe(tmp_path)
    with pytest.raises(ValueError, match=r"tracking_uri.*127\.0\.0\.1:9") as caught:
        train_propensity(recipe, home=tmp_path / "home", tracking_uri="http://127.0.0.1:9")
    assert "start it" in str(caught.value)
    assert not (tmp_path / "home").exists()
