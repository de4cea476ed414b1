"""From raw rows to a gRPC answer of a real Triton, on all 12,330 real shop sessions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from penchant.clients import PropensityClient, Scores
from penchant.clients.home import Home
from penchant.serving.publish import publish
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.supervisor import Supervisor, running_server
from penchant.training.recipe import read_recipe, shipped_recipe
from penchant.training.train import TrainedModel, train_propensity

pytestmark = pytest.mark.timeout(600)

SERVED_TOLERANCE = 1e-5
"""Largest difference between a served propensity and PyTorch's."""
SUM_TOLERANCE = 1e-4
"""Largest difference between base plus reasons and the score's logit."""


@dataclass(frozen=True)
class Live:
    """A model trained on real data, registered, published and served."""

    trained: TrainedModel
    server: Supervisor
    home: Path
    expected: npt.NDArray[np.float32]
    """PyTorch's propensities of all rows (N, 1)."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Two epochs of training, which is enough for parity, then a real Triton."""
    home = tmp_path_factory.mktemp("home")
    recipe = read_recipe(shipped_recipe("online_shoppers"), ["--fit.max_epochs", "2"])
    trained = train_propensity(recipe, home=home)
    publish(recipe.name, home=home)
    expected = trained.fitted.predict(trained.table, np.arange(trained.table.num_rows))
    with running_server(Home(home).model_repository, home=home) as server:
        yield Live(trained, server, home, expected)


def _score_in_batches(
    client: PropensityClient, live: Live, *, size: int, reasons: bool = False, stop: int = 12_330
) -> Scores:
    rows = live.trained.table.arrow
    return Scores.concatenate(
        [
            client.score(rows.slice(start, min(size, stop - start)), reasons=reasons)
            for start in range(0, stop, size)
        ]
    )


def _worst(scores: Scores, live: Live) -> float:
    return float(np.abs(scores.propensity - live.expected[: len(scores)]).max())


@pytest.mark.parametrize("size", [1, 7, 64])
def test_every_row_is_served_as_pytorch_scores_it(live: Live, size: int) -> None:
    with PropensityClient(live.server.address, deadline_s=30) as client:
        scores = _score_in_batches(client, live, size=size)
    assert len(scores) == 12_330
    assert _worst(scores, live) <= SERVED_TOLERANCE
    assert set(scores.version.tolist()) == {live.trained.version}


def test_rows_mixed_with_other_callers_requests_are_served_the_same(live: Live) -> None:
    with (
        PropensityClient(live.server.address, deadline_s=60) as client,
        ThreadPoolExecutor(3) as callers,
    ):
        sizes = (1, 7, 64)
        found = list(
            callers.map(lambda size: _score_in_batches(client, live, size=size, stop=2_048), sizes)
        )
    assert [_worst(scores, live) <= SERVED_TOLERANCE for scores in found] == [True] * 3


def test_reasons_and_base_sum_to_the_logit_of_the_score(live: Live) -> None:
    with PropensityClient(live.server.address, deadline_s=60) as client:
        scores = _score_in_batches(client, live, size=64, reasons=True, stop=1_024)
    assert scores.reason is not None
    assert scores.base is not None
    propensity = scores.propensity.astype(np.float64)
    logit = np.log(propensity / (1 - propensity))
    assert np.abs(scores.base + scores.reason.sum(axis=2) - logit).max() <= SUM_TOLERANCE
    assert _worst(scores, live) <= SERVED_TOLERANCE


def test_mlflow_loads_the_champion_and_gives_the_numbers_of_the_endpoint(live: Live) -> None:
    import mlflow.pyfunc

    registry = Registry(Home(live.home)).connect()
    assert registry.version_of("propensity", CHAMPION) == live.trained.version
    frame = live.trained.table.arrow.slice(0, 64).to_pandas()
    found = mlflow.pyfunc.load_model("models:/propensity@champion").predict(frame)
    with PropensityClient(live.server.address, deadline_s=30) as client:
        served = client.score(frame)
    assert served.reason is not None
    reasons = [f"reason_purchase_{feature}" for feature in served.features]
    np.testing.assert_allclose(
        found["propensity_purchase"], served.propensity[:, 0], rtol=0, atol=SERVED_TOLERANCE
    )
    np.testing.assert_allclose(found[reasons], served.reason[:, 0], rtol=0, atol=1e-3)
    assert found["unknown"].tolist() == served.unknown.tolist()


def test_the_run_holds_what_a_colleague_would_look_for(live: Live) -> None:
    from mlflow import MlflowClient

    registry = Registry(Home(live.home)).connect()
    client = MlflowClient(registry.tracking_uri)
    run = client.get_run(live.trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["fit.max_epochs"] == "2"
    assert run.data.tags["penchant.data_fingerprint"] == live.trained.table.fingerprint
    assert run.data.tags["penchant.code_revision"]
    models = ("PropensityNet", "LightGBM", "logistic regression")
    metrics = ("auc", "average_precision", "logloss", "brier", "ece", "calibration_slope")
    for name in (f"test/purchase/{model}/{metric}" for model in models for metric in metrics):
        assert np.isfinite(run.data.metrics[name]), name
    history = client.get_metric_history(live.trained.run_id, "validation/logloss")
    assert len(history) == 2
    files = {found.path for found in client.list_artifacts(live.trained.run_id)}
    assert {"recipe.yaml", "environment.txt", "libraries.json", "report"} <= files
    assert live.trained.report.read_text(encoding="utf-8").lstrip().startswith("<!")
