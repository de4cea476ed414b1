"""Cross-validation from a table to the numbers, the file and the MLflow run."""

import io
import json
import math
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from rich.console import Console
from tests.tables import shop_recipe

from penchant.training.baselines import LIGHTGBM, LOGISTIC, fit_lightgbm
from penchant.training.evaluate import CrossValidation, evaluate, summary_tables
from penchant.training.evaluation import NETWORK
from penchant.training.metrics import binary_metrics
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe import FitConfig
from penchant.training.split import folds, seen_rows
from penchant.training.table import read_table

FOLDS = 2
SMALL: dict[str, Any] = {
    "network": NetworkConfig(members=2, num_blocks=1, width=16, embedding_size=4),
    "fit": FitConfig(max_epochs=2, batch_size=64),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything is made."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def result(home: Path) -> CrossValidation:
    """Two folds of a small recipe with two goals."""
    return evaluate(shop_recipe(home, **SMALL), folds=FOLDS, home=home)


def test_baselines_are_scored_on_the_same_folds(result: CrossValidation) -> None:
    table = read_table(result.recipe)
    assert result.models == (NETWORK, LOGISTIC, LIGHTGBM)
    assert result.goals == ("purchase", "leave")
    for parts, found in zip(folds(table, FOLDS, seed=0), result.folds, strict=True):
        score = fit_lightgbm(table, seen_rows(parts)).predict(table, parts.test)
        assert found["purchase"][LIGHTGBM] == binary_metrics(
            table.label[parts.test, 0], score[:, 0]
        )
        assert found["leave"][NETWORK].rows == len(parts.test)


def test_every_row_is_held_out_once(result: CrossValidation) -> None:
    for models in result.pooled.values():
        assert {metrics.rows for metrics in models.values()} == {600}
    assert sum(fold["leave"][LOGISTIC].rows for fold in result.folds) == 600


def test_difference_is_paired(result: CrossValidation) -> None:
    found = result.difference("purchase", "auc")
    each = [fold["purchase"][NETWORK].auc - fold["purchase"][LIGHTGBM].auc for fold in result.folds]
    assert found.each == pytest.approx(each)
    assert found.mean == pytest.approx(np.mean(each))
    assert found.deviation == pytest.approx(np.std(each, ddof=1))


def test_file_holds_everything(result: CrossValidation, home: Path) -> None:
    (path,) = (home / "reports").glob("evaluate-shop-*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["protocol"] == "2 folds, stratified, seed 0"
    assert content["data_fingerprint"] == read_table(result.recipe).fingerprint
    assert len(content["folds"]) == FOLDS
    assert content["summary"] == pytest.approx(result.flat())
    assert not any(math.isnan(value) for value in content["summary"].values())


def test_mlflow_has_every_fold(result: CrossValidation) -> None:
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.tags["penchant.kind"] == "evaluation"
    client = mlflow.MlflowClient()
    history = client.get_metric_history(run.info.run_id, f"purchase/{LIGHTGBM}/auc")
    wanted = result.spread("purchase", LIGHTGBM, "auc")
    history.sort(key=lambda metric: metric.step)
    assert [metric.step for metric in history] == [1, 2]
    assert [metric.value for metric in history] == pytest.approx(wanted.each)
    mean = run.data.metrics[f"purchase/{NETWORK} - {LIGHTGBM}/logloss/mean"]
    assert mean == pytest.approx(result.difference("purchase", "logloss").mean)
    assert [file.path for file in client.list_artifacts(run.info.run_id) if "evaluate" in file.path]


def test_table_shows_means_spreads_and_differences(result: CrossValidation) -> None:
    console = Console(file=io.StringIO(), width=250, record=True)
    for table in summary_tables(result):
        console.print(table)
    text = console.export_text()
    assert "purchase: 2 folds, stratified, seed 0" in text
    spread = result.spread("purchase", LIGHTGBM, "auc")
    assert f"{spread.mean:.4f} ± {spread.deviation:.4f}" in text
    difference = result.difference("leave", "brier")
    better = sum(value < 0 for value in difference.each)
    assert f"{difference.mean:+.4f} ± {difference.deviation:.4f}, better in {better}/2" in text


def test_leaves_no_fits_behind(result: CrossValidation, home: Path) -> None:
    assert result.folds
    assert list((home / "runs").iterdir()) == []


def test_one_fold_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="folds: expected at least 2, got 1"):
        evaluate(shop_recipe(home, **SMALL), folds=1, home=home)
