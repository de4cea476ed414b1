"""From an event log to a gRPC answer of a real Triton: what each visitor wants next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penchant.clients import JourneyClient, Recommendations
from penchant.clients.histories import History
from penchant.clients.home import Home
from penchant.serving.publish import publish
from penchant.serving.registry import CHALLENGER, CHAMPION, Registry
from penchant.serving.supervisor import Supervisor, running_server
from penchant.training.journeys.journey_packaging import journey_answers, journey_contract
from penchant.training.journeys.journey_recipe import read_journey_recipe
from penchant.training.journeys.raw_histories import Tensors, raw_histories
from penchant.training.journeys.targets import Targets
from penchant.training.journeys.train import TrainedJourneys, train_journeys
from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulation_config import SimulationConfig

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
]

TOLERANCE = 1e-4
ROWS = 150
K = 20
RECIPE = """
name: wanted
log: log/log.yaml
target_action: purchase
split: {test: 0.2, validation: 0.2}
network: {window: 12, profile: 6, width: 16, num_blocks: 1}
fit: {max_epochs: 2, batch_size: 32}
associations: {least_support: 2, neighbours: 8}
budget: {num_items: 40, max_exclude: 10, max_allow: 3, max_batch_size: 32}
"""


@dataclass(frozen=True)
class Live:
    """A model trained on a simulated log, registered, published and served."""

    trained: TrainedJourneys
    server: Supervisor
    home: Path
    some: Targets
    """Held out events of which the histories are asked about."""
    raw: Tensors
    """The same as the model's inputs."""

    def expected(self, **changed: Any) -> Tensors:
        """PyTorch's answers to the histories."""
        trained = self.trained
        encoder = trained.package.encode
        return journey_answers(trained.served, self.raw | changed, trained.data.catalogue, encoder)

    def histories(self, **wishes: Any) -> list[History]:
        """What callers would send of them."""
        journeys = self.trained.data.journeys
        rows = []
        for row in range(len(self.some)):
            there = self.raw["action"][row] > 0
            columns = [self.raw[name][row][there] for name in ("item", "action", "channel")]
            ages = self.raw["age_s"][row][there].tolist()
            channels = ("", *journeys.channels)
            rows.append(
                History(
                    [
                        {
                            "item": item,
                            "action": journeys.actions[int(action) - 1],
                            "channel": channels[int(channel)],
                            "age_s": age,
                        }
                        for item, action, channel, age in zip(*columns, ages, strict=True)
                    ],
                    **{name: values[row] for name, values in wishes.items()},
                )
            )
        return rows

    def now_s(self) -> list[float]:
        """When each of them is asked about."""
        journeys = self.trained.data.journeys
        times: list[float] = journeys.time_s[self.some.rows(journeys)].astype(float).tolist()
        return times

    def ask(self, **wishes: Any) -> Recommendations:
        """What the server answers."""
        with JourneyClient(self.server.address, model="wanted", deadline_s=60) as client:
            return client.recommend(self.histories(**wishes), k=K, now=self.now_s())


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Two epochs over a small log, which is enough for parity, then a real Triton."""
    folder = tmp_path_factory.mktemp("journeys")
    simulate_log(SimulationConfig(events=12_000, items=500, seed=5), folder / "log")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    home = folder / "home"
    recipe = read_journey_recipe(folder / "recipe.yaml")
    trained = train_journeys(recipe, home=home)
    publish("wanted", home=home)
    data = trained.data
    contract = journey_contract(recipe, data.journeys, data.catalogue)
    chosen = np.random.default_rng(0).choice(len(data.parts.test), ROWS, replace=False)
    some = data.parts.test.take(np.sort(chosen))
    raw = raw_histories(data.journeys, data.catalogue, some, contract)
    raw["hour"] = np.floor(raw["hour"])
    with running_server(Home(home).model_repository, home=home) as server:
        yield Live(trained, server, home, some, raw)


def assert_same(answer: Recommendations, expected: Tensors) -> None:
    """Numbers within the tolerance; items but for near ties."""
    assert answer.item is not None
    assert answer.score is not None
    np.testing.assert_allclose(answer.score, expected["score"][:, :K], rtol=0, atol=TOLERANCE)
    moved = answer.item != expected["next_item"][:, :K]
    assert moved.mean() < 0.01
    np.testing.assert_array_equal(answer.count, expected["count"][:, 0].clip(max=K))
    for name in ("intent_score", "channel_score", "hour_score", "visitor_embedding"):
        np.testing.assert_allclose(
            getattr(answer, name), expected[name], rtol=0, atol=TOLERANCE, err_msg=name
        )
    assert answer.purchase is not None
    np.testing.assert_allclose(answer.purchase, expected["purchase"][:, 0], atol=TOLERANCE)
    np.testing.assert_array_equal(answer.unknown, expected["unknown"][:, 0])


def test_histories_are_answered_as_pytorch_answers_them(live: Live) -> None:
    answer = live.ask()
    assert_same(answer, live.expected())
    assert set(answer.version.tolist()) == {live.trained.version}
    assert answer.item is not None
    assert len(np.unique(answer.item)) > K, "not everyone gets the same items"


def test_what_is_left_out_is_never_answered(live: Live) -> None:
    first = live.ask().item
    assert first is not None
    exclude = [row[:10].tolist() for row in first]
    answer = live.ask(exclude=exclude)
    assert answer.item is not None
    for row, left_out in zip(answer.item, exclude, strict=True):
        assert not set(row.tolist()) & set(left_out)
    assert (answer.item[:, 0] == first[:, 10]).mean() > 0.99, "the next best moves up"
    assert_same(answer, live.expected(exclude=np.array(exclude, object)))


def test_answers_keep_to_the_categories_asked_for(live: Live) -> None:
    catalogue = live.trained.data.catalogue
    category = {
        item: catalogue.categories[code - 2]
        for item, code in zip(catalogue.item_id, catalogue.category, strict=True)
        if code >= 2
    }
    allow = [
        [catalogue.categories[row % len(catalogue.categories)], "no such category", ""]
        for row in range(ROWS)
    ]
    answer = live.ask(allow=[names[:2] for names in allow])
    for row, names in zip(answer, allow, strict=True):
        assert row.items
        assert {category[item] for item in row.items} == {names[0]}
    assert_same(answer, live.expected(allow=np.array(allow, object)))
    nothing = live.ask(allow=[["no such category"]] * ROWS)
    assert nothing.count is not None
    assert not nothing.count.any()


def test_new_visitors_and_unknown_items_are_answered(live: Live) -> None:
    events: list[dict[str, Any]] = [
        {"item": "never seen", "action": "view"},
        {"action": "view", "age_s": 5},
    ]
    with JourneyClient(live.server.address, model="wanted", deadline_s=60) as client:
        answer = client.recommend([[], events], k=5)
    assert answer.unknown.tolist() == [0, 1]
    assert [len(row.items) for row in answer] == [5, 5]
    assert answer.score is not None
    assert np.isfinite(answer.score).all()


def test_the_run_holds_what_a_colleague_would_look_for(live: Live) -> None:
    from mlflow import MlflowClient

    registry = Registry(Home(live.home)).connect()
    assert registry.version_of("wanted", CHAMPION) == live.trained.version
    assert registry.version_of("wanted", CHALLENGER) is None, "a version has one role"
    client = MlflowClient(registry.tracking_uri)
    run = client.get_run(live.trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["penchant.kind"] == "journey"
    assert run.data.params["network.window"] == "12"
    for model in live.trained.evaluation.models:
        assert np.isfinite(run.data.metrics[f"test/all/{model}/ndcg_10"]), model
    assert len(client.get_metric_history(live.trained.run_id, "validation/ndcg_10")) == 2
    page = live.trained.report.read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "Example journeys" in page
