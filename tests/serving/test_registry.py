"""The registry on a real MLflow store, and publishing from it."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.packages import CONTRACT, raw_rows, score, sealed

from penchant.clients.home import Home
from penchant.serving.golden import write_golden
from penchant.serving.package import ModelPackage
from penchant.serving.packaged_model import CHUNK_ROWS
from penchant.serving.publish import publish
from penchant.serving.pyfunc import PropensityModel
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.repository import Repository
from penchant.serving.tracking_uri import masked

SOON_S = 20.0
"""Far less than MLflow's own retries take."""


@dataclass(frozen=True)
class Registered:
    """A store with two registered versions of the tiny model, the second with wrong golden rows."""

    home: Home
    registry: Registry


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage) -> Registered:
    folder = tmp_path_factory.mktemp("registered")
    home = Home(folder / "home")
    registry = Registry(home).connect()
    wrong = Path(shutil.copytree(tiny_package.folder, folder / "wrong"))
    inputs = raw_rows(5)
    outputs = score(inputs)
    write_golden(wrong / "golden.npz", inputs, outputs | {"propensity": outputs["propensity"] / 2})
    packages = (tiny_package, sealed(wrong))
    from mlflow import MlflowClient

    for number, package in enumerate(packages, start=1):
        run = MlflowClient().create_run(registry.experiment("tiny"))
        assert registry.register(package, run_id=run.info.run_id) == number
    return Registered(home, registry)


def _table(num_rows: int) -> pd.DataFrame:
    rows = raw_rows(num_rows)
    return pd.DataFrame(
        {
            "age_days": rows["numeric"][:, 0],
            "basket_value": rows["numeric"][:, 1],
            "channel": rows["categorical"][:, 0],
            "country": rows["categorical"][:, 1],
            "interests": [list(texts) for texts in rows["multi_interests"]],
        }
    )


def test_everything_is_made_in_home(registered: Registered) -> None:
    assert registered.home.mlflow_database.is_file()
    assert any(registered.home.mlflow_artifacts.rglob("manifest.json"))


def test_no_pickle_and_no_code_is_stored(registered: Registered) -> None:
    names = {path.suffix for path in registered.home.mlflow_artifacts.rglob("*") if path.is_file()}

    assert not names & {".pkl", ".pickle", ".joblib", ".py"}


def test_a_registered_package_comes_back_whole(
    registered: Registered, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    fetched = registered.registry.fetch("tiny", 1, tmp_path)

    assert fetched.manifest == tiny_package.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-1"]


def test_versions_and_aliases(registered: Registered) -> None:
    registry = registered.registry

    assert registry.newest("tiny") == 2
    assert registry.newest("absent") is None
    assert registry.version_of("tiny", "challenger") is None
    registry.set_alias("tiny", "challenger", 2)
    assert registry.version_of("tiny", "challenger") == 2
    with pytest.raises(ValueError, match=r"got 9; the newest is 2"):
        registry.set_alias("tiny", CHAMPION, 9)


def test_published_version_becomes_the_champion(registered: Registered) -> None:
    line = publish("tiny", version=1, home=registered.home.folder)

    assert line.startswith("published tiny version 1")
    served = Repository(registered.home.model_repository).served("tiny")
    assert served.package_version == 1
    assert registered.registry.version_of("tiny", CHAMPION) == 1


def test_mlflow_loads_the_champion_with_the_endpoint_s_numbers(registered: Registered) -> None:
    import mlflow.pyfunc

    publish("tiny", version=1, home=registered.home.folder)
    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    num_rows = CHUNK_ROWS + 7
    expected = score(raw_rows(num_rows))

    scored = model.predict(_table(num_rows))

    for at, goal in enumerate(CONTRACT.goals):
        np.testing.assert_allclose(
            scored[f"propensity_{goal}"], expected["propensity"][:, at], atol=1e-6
        )
        np.testing.assert_allclose(scored[f"base_{goal}"], expected["base"][:, at], atol=1e-6)
        for index, feature in enumerate(CONTRACT.features):
            np.testing.assert_allclose(
                scored[f"reason_{goal}_{feature}"], expected["reason"][:, at, index], atol=1e-6
            )
    np.testing.assert_array_equal(scored["unknown"], expected["unknown"][:, 0])


def test_a_column_that_is_missing_is_named(tiny_package: ModelPackage) -> None:
    with pytest.raises(ValueError, match="country"):
        PropensityModel(tiny_package).predict(_table(3).drop(columns="country"))


def test_wrong_answers_are_never_published(registered: Registered) -> None:
    publish("tiny", version=1, home=registered.home.folder)

    with pytest.raises(ValueError, match=r"version 2 .* not published.*propensity: expected"):
        publish("tiny", home=registered.home.folder)

    assert Repository(registered.home.model_repository).served("tiny").package_version == 1
    assert registered.registry.version_of("tiny", CHAMPION) == 1


def test_a_damaged_registered_package_is_refused(registered: Registered, tmp_path: Path) -> None:
    nets = sorted(registered.home.mlflow_artifacts.rglob("net.onnx"))
    contents = [net.read_bytes() for net in nets]
    try:
        for net in nets:
            net.write_bytes(net.read_bytes()[:-3])
        with pytest.raises(ValueError, match=r"net\.onnx.*edited or truncated"):
            publish(
                "tiny", version=1, home=registered.home.folder, repository=tmp_path / "repository"
            )
    finally:
        for net, content in zip(nets, contents, strict=True):
            net.write_bytes(content)


def test_an_unknown_model_is_refused_with_the_next_step(registered: Registered) -> None:
    with pytest.raises(ValueError, match=r"'absent'.*penchant train"):
        publish("absent", home=registered.home.folder)


@pytest.mark.parametrize("name", ["it's", "../../evil", ""])
def test_a_name_that_no_model_can_have_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="model: expected the name"):
        publish(name, home=tmp_path / "home")

    assert not any(tmp_path.iterdir())


def test_a_package_of_another_model_is_refused(
    registered: Registered, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    source = MlflowClient().get_model_version("tiny", "1")
    MlflowClient().create_registered_model("stranger")
    MlflowClient().create_model_version("stranger", str(source.source), source.run_id)

    with pytest.raises(ValueError, match=r"package of that model, got one of 'tiny'"):
        publish("stranger", home=registered.home.folder, repository=tmp_path / "repository")

    assert not (tmp_path / "repository").exists()


def test_a_failure_of_the_store_is_not_called_a_missing_version(
    registered: Registered, tmp_path: Path
) -> None:
    home = Home(Path(shutil.copytree(registered.home.folder, tmp_path / "home")))
    registry = Registry(home).connect()
    try:
        with sqlite3.connect(home.mlflow_database) as database:
            database.execute("DROP TABLE registered_model_aliases")
        with pytest.raises(ValueError, match=r"alias 'champion'.*failed: .*no such table"):
            registry.set_alias("tiny", CHAMPION, 1)
    finally:
        registered.registry.connect()


def test_no_password_is_shown(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ValueError, match=r"http://anna:\*\*\*@") as refusal:
            Registry(Home(tmp_path), f"http://anna:s3cr:et@{address}").connect()
    assert "s3cr" not in str(refusal.value)
    blocked = f"postgresql://anna:s3cr:et@{address}/mlflow and sqlite:///shop.db"
    assert masked(blocked) == f"postgresql://anna:***@{address}/mlflow and sqlite:///shop.db"


def test_a_store_that_refuses_the_connection_is_named_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"

        started = time.monotonic()
        with pytest.raises(ValueError, match=rf"tracking_uri: .*{uri}.*MLFLOW_TRACKING_URI"):
            Registry(Home(tmp_path), uri).connect()
    assert time.monotonic() - started < SOON_S
    assert not any(tmp_path.iterdir())


def test_a_store_that_says_nothing_is_given_up_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"

        started = time.monotonic()
        with pytest.raises(ValueError, match=rf"tracking_uri: .*{uri}"):
            Registry(Home(tmp_path), uri).connect()
    assert time.monotonic() - started < SOON_S


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")

    with pytest.raises(ValueError, match="tracking_uri: expected an MLflow store"):
        Registry(Home(tmp_path), f"sqlite:///{blocked}/mlflow.db").connect()


def test_importing_the_registry_does_not_load_mlflow() -> None:
    import subprocess

    code = "import sys, penchant.serving.registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_store_that_was_killed_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    code = (
        "import os, pathlib, sys, mlflow.store.db.utils as utils\n"
        "from penchant.clients.home import Home\n"
        "from penchant.serving.registry import Registry\n"
        # Ends it after the first tables are made, before all of them are.
        "utils._upgrade_db = lambda engine: os._exit(9)\n"
        "Registry(Home(pathlib.Path(sys.argv[1]))).connect()\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(home.folder)], timeout=120)
    assert killed.returncode == 9
    assert not home.mlflow_database.exists()
    assert Registry(home).connect().newest("propensity") is None
