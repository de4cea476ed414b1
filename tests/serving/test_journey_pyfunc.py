"""A journey model out of MLflow: a table of visitors in, a table of answers out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.journey_packages import (
    ACTIONS,
    NUMBERS,
    TEXT,
    TinyJourney,
    raw_visitors,
    recommend,
    write_tiny_journey,
)

from penchant.clients.contract import Contract
from penchant.clients.home import Home
from penchant.clients.journey_contract import JourneyContract
from penchant.serving.journey_pyfunc import JourneyModel
from penchant.serving.package import ModelPackage
from penchant.serving.packaged_model import CHUNK_ROWS
from penchant.serving.publish import publish
from penchant.serving.pyfunc import PropensityModel
from penchant.serving.registry import Registry

NOW_S = 1_800_000_000.0


def _visitors(tiny: TinyJourney, num_rows: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Random visitors as a table, and as the tensors of the wire."""
    contract, random = tiny.contract, np.random.default_rng(8)
    tensors = raw_visitors(tiny, num_rows, seed=8)
    tensors["action"] = tensors["action"].clip(0, len(ACTIONS))
    tensors["action"][:, :2] = 0  # padding stands in front
    tensors["action"][:, 2:] = tensors["action"][:, 2:].clip(1)
    tensors["age_s"] = np.sort(random.integers(1, 10**6, tensors["age_s"].shape))[:, ::-1].astype(
        np.float32
    )
    tensors["target_action"] = tensors["target_action"].clip(0, len(ACTIONS))
    # 2027-01-15, a Friday, 08:00 in UTC
    tensors["hour"] = np.full((num_rows, 1), 4 * 24 + 8, np.float32)
    columns = {
        "visitor_id": list(range(num_rows)),
        "item": [row[2:] for row in tensors["item"].tolist()],
        "action": [[ACTIONS[code - 1] for code in row[2:]] for row in tensors["action"].tolist()],
        "age_s": [row[2:] for row in tensors["age_s"].tolist()],
        "target_action": [(None, *ACTIONS)[code] for code in tensors["target_action"][:, 0]],
        "exclude": [[i for i in row if i != tiny.nothing] for row in tensors["exclude"].tolist()],
        "now": np.full(num_rows, NOW_S),
    }
    if contract.channels:
        tensors["channel"] = tensors["channel"].clip(0, 2)
        names = (None, *contract.channels)
        columns["channel"] = [
            [names[code] for code in row[2:]] for row in tensors["channel"].tolist()
        ]
    if contract.num_intents:
        columns["allow"] = [[name for name in row if name] for row in tensors["allow"].tolist()]
    return pd.DataFrame(columns, index=range(100, 100 + num_rows)), tensors


def _check(found: pd.DataFrame, expected: dict[str, Any]) -> None:
    counts = expected["count"][:, 0].tolist()
    assert found["count"].tolist() == counts
    assert found["unknown"].tolist() == expected["unknown"][:, 0].tolist()
    np.testing.assert_allclose(found["purchase"], expected["purchase"][:, 0], rtol=1e-5)
    for row, count in enumerate(counts):
        assert found["next_item"].iloc[row] == expected["next_item"][row, :count].tolist()
        np.testing.assert_allclose(
            found["score"].iloc[row], expected["score"][row, :count], rtol=1e-5
        )
    for name in {"hour_score", "channel_score", "visitor_embedding"} & set(expected):
        np.testing.assert_allclose(np.stack(found[name]), expected[name], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with both models published."""
    folder = tmp_path_factory.mktemp("registered")
    home = Home(folder / "home")
    registry = Registry(home).connect()
    from mlflow import MlflowClient

    for tiny in (TEXT, NUMBERS):
        package = write_tiny_journey(folder / tiny.contract.model, tiny)
        run = MlflowClient().create_run(registry.experiment("tiny"))
        registry.register(package, run_id=run.info.run_id)
        publish(tiny.contract.model, home=home.folder)
    return home


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_mlflow_loads_the_champion_with_the_endpoint_s_answers(
    home: Home, tiny: TinyJourney
) -> None:
    import mlflow.pyfunc

    Registry(home).connect()
    table, tensors = _visitors(tiny, CHUNK_ROWS + 5)

    model = mlflow.pyfunc.load_model(f"models:/{tiny.contract.model}@champion")
    found = model.predict(table)

    assert found.index.tolist() == table.index.tolist()
    assert set(found.columns) == {spec.name for spec in tiny.contract.outputs} - {"version"}
    _check(found, recommend(tiny, tensors))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> JourneyModel:
    return JourneyModel(write_tiny_journey(tmp_path_factory.mktemp("tiny") / "package", TEXT))


def test_a_visitor_of_whom_nothing_is_known_is_answered(model: JourneyModel) -> None:
    table = pd.DataFrame({"item": [[], None], "action": [[], None]})

    found = model.predict(table)

    assert found["count"].tolist() == [5, 5]
    assert found["next_item"].iloc[0] == found["next_item"].iloc[1]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"action": [["view"]]}, "with a column 'item'"),
        ({"item": [], "action": []}, "rows: expected at least one"),
        ({"item": [["but-0", "but-1"]], "action": [["view"]]}, "action: .* 2, got 1 in row 0"),
        ({"item": ["but-0"], "action": [["view"]]}, "row 0, item: expected a list"),
        ({"item": [["but-0"]], "action": [["vieww"]]}, "did you mean 'view'"),
        ({"item": [["but-0"]], "action": [["view"]], "age_s": [["soon"]]}, "age_s"),
    ],
)
def test_tables_that_are_none_are_refused(
    model: JourneyModel, columns: dict[str, list[Any]], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        model.predict(pd.DataFrame(columns))


def test_a_row_at_fault_is_named_by_its_place_in_the_whole_table(model: JourneyModel) -> None:
    items = [["but-0"]] * 300
    table = pd.DataFrame({"item": items, "action": [["view"]] * 299 + [["view", "view"]]})

    with pytest.raises(ValueError, match="in row 299"):
        model.predict(table)
    table["action"] = [["view"]] * 299 + [["veiw"]]
    with pytest.raises(ValueError, match=r"history 299, event 0, action: .* did you mean 'view'"):
        model.predict(table)


def test_a_package_of_the_other_kind_is_refused(
    model: JourneyModel, tiny_package: ModelPackage
) -> None:
    assert isinstance(model.package.contract, JourneyContract)
    assert isinstance(tiny_package.contract, Contract)

    with pytest.raises(ValueError, match="expected a journey model, got a propensity"):
        JourneyModel(tiny_package)
    with pytest.raises(ValueError, match="expected a propensity model, got a journey"):
        PropensityModel(model.package)
