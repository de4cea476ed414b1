"""From packages to a repository: found, tried, with engines where they are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.journey_packages import TEXT, write_tiny_journey
from tests.serving.engines.gpus import GPU, Driver
from tests.serving.engines.played_tensorrt import PlayedTensorRT

from penchant.clients.home import Home
from penchant.serving.container.prepare import prepare
from penchant.serving.container.settings import ContainerSettings
from penchant.serving.engines import check_plan
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.repository import Repository


@pytest.fixture
def packages(tmp_path: Path, tiny_package: ModelPackage) -> Path:
    """A folder as it is mounted: two models."""
    folder = tmp_path / "packages"
    shutil.copytree(tiny_package.folder, folder / "tiny-7")
    write_tiny_journey(folder / "tiny_journey-3", TEXT)
    (folder / "notes").mkdir()
    return folder


def _settings(packages: Path, target: str = "cpu") -> ContainerSettings:
    return ContainerSettings.read(
        {
            "PENCHANT_PACKAGES": str(packages),
            "PENCHANT_TARGET": target,
            "PENCHANT_HOME": str(packages.parent / "home"),
        }
    )


def _prepared(settings: ContainerSettings) -> tuple[Repository, list[str]]:
    lines: list[str] = []
    return prepare(settings, lines.append), lines


def test_mounted_packages_are_served_as_their_folders_say(packages: Path) -> None:
    repository, lines = _prepared(_settings(packages))

    served = [repository.served(model) for model in repository.models()]
    assert [(each.name, each.package_version, each.target) for each in served] == [
        ("tiny", 7, "cpu"),
        ("tiny_journey", 3, "cpu"),
    ]
    assert "trying tiny version 7" in lines
    assert lines[-1] == "serving tiny_journey version 3 on cpu"


def test_each_start_begins_anew(packages: Path) -> None:
    _prepared(_settings(packages, "rehearsal"))
    (packages / "tiny_journey-3").rename(packages.parent / "elsewhere")

    repository, _ = _prepared(_settings(packages))

    assert repository.models() == ["tiny"]
    assert {path.name for path in repository.folder.iterdir()} == {"tiny"}


def _no_version(packages: Path) -> None:
    (packages / "tiny-7").rename(packages / "tiny")


def _of_another(packages: Path) -> None:
    (packages / "tiny-7").rename(packages / "other-7")


def _twice(packages: Path) -> None:
    shutil.copytree(packages / "tiny-7", packages / "tiny-8")


def _damaged(packages: Path) -> None:
    (packages / "tiny-7" / "net.onnx").write_bytes(b"damaged")


def _without_net(packages: Path) -> None:
    (packages / "tiny-7" / "net.onnx").unlink()


def _none(packages: Path) -> None:
    shutil.rmtree(packages)


WRONG = {
    "no version": (_no_version, "expected a folder tiny-<version>, got 'tiny'"),
    "another's name": (_of_another, "expected a folder tiny-<version>, got 'other-7'"),
    "two versions": (_twice, "expected one version of 'tiny', got a second"),
    "a damaged graph": (_damaged, "'net.onnx' with SHA-256"),
    "no net": (_without_net, "expected the file 'net.onnx', got none"),
    "nothing": (_none, "expected at least one folder with a manifest.json"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_packages_is_said(packages: Path, name: str) -> None:
    change, message = WRONG[name]
    change(packages)

    with pytest.raises(ValueError, match=message):
        _prepared(_settings(packages))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> PlayedTensorRT:
    """TensorRT and an H100, as far as they can be played."""
    module, driver = PlayedTensorRT(), Driver()
    plans = "penchant.serving.targets.fitting_plans"
    monkeypatch.setattr(f"{plans}.find_engine_library", lambda: module.library)
    monkeypatch.setattr(f"{plans}.this_device", lambda: GPU)
    monkeypatch.setattr("penchant.serving.engines.session.load_driver", lambda: driver)
    monkeypatch.setattr(check_plan, "_try_apart", lambda path, library: None)
    return module


def test_engines_are_built_once_for_a_card(packages: Path, played: PlayedTensorRT) -> None:
    settings = _settings(packages, "tensorrt")

    repository, lines = _prepared(settings)

    assert played.num_built == 3
    assert len([line for line in lines if line.startswith("building ")]) == 3
    assert {repository.served(model).target for model in repository.models()} == {"tensorrt"}
    _, again = _prepared(settings)
    assert played.num_built == 3
    assert not [line for line in again if line.startswith("building ")]


def test_an_engine_of_another_precision_is_not_taken(
    packages: Path, played: PlayedTensorRT
) -> None:
    _prepared(_settings(packages, "tensorrt"))
    environment = {"PENCHANT_PRECISION": "tf32", "PENCHANT_PACKAGES": str(packages)}
    home = str(packages.parent / "home")

    settings = ContainerSettings.read(environment | {"PENCHANT_HOME": home})
    repository, _ = _prepared(settings)

    assert played.num_built == 6
    assert '"tf32"' in (repository.folder / "tiny_net_1" / "1" / "sm90.json").read_text()


def test_an_engine_that_is_damaged_is_built_again(packages: Path, played: PlayedTensorRT) -> None:
    settings = _settings(packages, "tensorrt")
    _prepared(settings)
    (plan,) = settings.home.engines.glob("tiny/7/explain/*.plan")
    plan.write_bytes(b"damaged")

    _, lines = _prepared(settings)

    assert played.num_built == 4
    assert any("building explain of tiny version 7 for NVIDIA H100" in line for line in lines)


def test_an_engine_that_answers_wrongly_is_neither_kept_nor_served(
    packages: Path, played: PlayedTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("propensity: expected the net's answers within 0.0001, got 0.3")

    monkeypatch.setattr("penchant.serving.engines.golden_steps.check_agreement", refuse)
    settings = _settings(packages, "tensorrt")

    with pytest.raises(ValueError, match="version 7 in fp32 does not answer as its net does"):
        _prepared(settings)

    assert not list(settings.home.engines.rglob("*.plan"))
    assert Repository(settings.home.model_repository).models() == []


def test_a_machine_without_tensorrt_is_told(packages: Path) -> None:
    with pytest.raises(ValueError, match="got tensorrt_rtx alone; run: pip install"):
        _prepared(_settings(packages, "tensorrt"))


@pytest.fixture
def store(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A store with both models, of which one has a champion."""
    from mlflow import MlflowClient

    registry = Registry(Home(tmp_path / "store")).connect()
    client = MlflowClient(registry.tracking_uri)
    for name in ("tiny-7", "tiny_journey-3"):
        run = client.create_run(registry.experiment("e"))
        registry.register(ModelPackage.open(packages / name), run_id=run.info.run_id)
    registry.set_alias("tiny", CHAMPION, 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
    return registry


def _from_store(store: Registry, models: str = "") -> ContainerSettings:
    return ContainerSettings.read(
        {
            "MLFLOW_TRACKING_URI": store.tracking_uri,
            "PENCHANT_MODELS": models,
            "PENCHANT_TARGET": "cpu",
            "PENCHANT_HOME": str(store.home.folder / "container"),
        }
    )


def test_champions_come_from_the_store(store: Registry) -> None:
    repository, _ = _prepared(_from_store(store))

    assert repository.models() == ["tiny"]
    assert repository.served("tiny").package_version == 1


def test_a_named_model_without_a_champion_is_missed(store: Registry) -> None:
    with pytest.raises(ValueError, match="expected one with a champion, got 'tiny_journey'"):
        _prepared(_from_store(store, "tiny,tiny_journey"))
