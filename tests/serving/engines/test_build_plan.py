"""``penchant build engine`` on a real registry: a rehearsal here, the rest on a played GPU."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.journey_packages import TEXT, write_tiny_journey
from tests.packages import sealed, write_tiny_package
from tests.serving.engines.gpus import Driver
from tests.serving.engines.played_tensorrt import PlayedTensorRT

from penchant.clients.command import main
from penchant.clients.home import Home
from penchant.serving.engines.build_plan import build_plan
from penchant.serving.engines.plan import Plan
from penchant.serving.package import ModelPackage
from penchant.serving.registry import Registry

JOURNEY, PROPENSITY = "tiny_journey", "tiny"
"""Two versions of the one, one of the other."""


@dataclass(frozen=True)
class Shop:
    """A store with registered packages, and where plans go."""

    store: Path
    home: Home


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home with the registry: the second journey version has other weights of one table."""
    folder = tmp_path_factory.mktemp("store")
    registry = Registry(Home(folder / "home")).connect()
    first = write_tiny_journey(folder / "first", TEXT)
    tiny = write_tiny_package(folder / "tiny")
    for package in (first, retrained(first, folder / "second"), tiny):
        from mlflow import MlflowClient

        run = MlflowClient().create_run(registry.experiment("tiny"))
        registry.register(package, run_id=run.info.run_id)
    return folder / "home"


def retrained(package: ModelPackage, folder: Path) -> ModelPackage:
    shutil.copytree(package.folder, folder)
    net = onnx.load(folder / "net.onnx")
    (tensor,) = [each for each in net.graph.initializer if each.name == "purchase_weight"]
    value = np.asarray(numpy_helper.to_array(tensor) * 1.5, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    onnx.save(net, folder / "net.onnx")
    return sealed(folder, package.contract)


@pytest.fixture
def shop(store: Path, tmp_path: Path) -> Shop:
    return Shop(store, Home(tmp_path / "home"))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> PlayedTensorRT:
    """TensorRT and a GPU, as far as they can be played."""
    module, driver = PlayedTensorRT(), Driver()
    name = "penchant.serving.engines.build_plan.find_engine_library"
    monkeypatch.setattr(name, lambda: module.library)
    for user in ("device", "session"):
        monkeypatch.setattr(f"penchant.serving.engines.{user}.load_driver", lambda: driver)
    return module


def build(shop: Shop, model: str, *options: str) -> int:
    uri = f"sqlite:///{Home(shop.store).mlflow_database}"
    words = ["--model", model, "--home", str(shop.home.folder), "--tracking_uri", uri]
    return main(["build", "engine", *words, *options])


def plans(shop: Shop) -> dict[str, Plan]:
    """Plans by their folder."""
    root = shop.home.engines
    return {
        path.parent.relative_to(root).as_posix(): Plan.open(path) for path in root.rglob("*.json")
    }


def test_without_a_gpu_it_is_rehearsed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(shop, JOURNEY, "--precision", "fp16") == 0
    said = capsys.readouterr().out
    assert re.search(
        r"built net of tiny_journey version 2 in fp16 with tensorrt_rtx [\d.]+ for no GPU: a "
        r"rehearsal, which .* cannot be served: [\d.]+ s, [\d.]+ MB, .*no_gpu\.json\n$",
        said,
    )
    (plan,) = plans(shop).values()
    assert list(plans(shop)) == ["tiny_journey/2/net"]
    assert not plan.record.has_gpu
    assert not shop.home.engine_timings.exists(), "timings are a GPU's"


def test_a_propensity_net_is_built_in_the_two_steps_that_serve_it(
    shop: Shop, played: PlayedTensorRT, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(shop, PROPENSITY) == 0
    assert set(plans(shop)) == {"tiny/1/net", "tiny/1/explain"}
    said = capsys.readouterr().out
    assert said.count("for NVIDIA H100 80GB HBM3 (compute capability 9.0)") == 2
    assert [path.suffix for path in shop.home.engine_timings.iterdir()] == [".timings"]


def test_a_version_is_built_by_its_number(shop: Shop, played: PlayedTensorRT) -> None:
    build(shop, JOURNEY, "--version", "1")
    assert plans(shop)["tiny_journey/1/net"].record.package_version == 1


def test_a_retrain_is_refitted_and_answers_as_its_own_net(
    shop: Shop, played: PlayedTensorRT, capsys: pytest.CaptureFixture[str]
) -> None:
    build(shop, JOURNEY, "--version", "1", "--refit")
    assert plans(shop)["tiny_journey/1/net"].record.refittable
    capsys.readouterr()
    assert build(shop, JOURNEY, "--version", "2", "--refit") == 0
    assert "  refitted from version 1" in capsys.readouterr().out
    assert (played.num_built, played.num_refitted) == (1, 1)
    one, two = (plans(shop)[f"tiny_journey/{version}/net"] for version in (1, 2))
    assert one.content != two.content
    assert two.record.refittable


def test_a_refit_that_answers_wrongly_is_built_instead(
    shop: Shop, played: PlayedTensorRT, capsys: pytest.CaptureFixture[str]
) -> None:
    build(shop, JOURNEY, "--version", "1", "--refit")
    played.refit_error = 0.5
    assert build(shop, JOURNEY, "--version", "2", "--refit") == 0
    assert re.search(
        r"  built anew, not refitted: .* does not answer as its net does", capsys.readouterr().out
    )
    assert (played.num_built, played.num_refitted) == (2, 1)


def test_other_precisions_and_engines_not_made_for_it_are_not_refitted(
    shop: Shop, played: PlayedTensorRT
) -> None:
    build(shop, JOURNEY, "--version", "1", "--refit", "--precision", "tf32")
    build(shop, JOURNEY, "--version", "1")
    build(shop, JOURNEY, "--version", "2", "--refit")
    assert (played.num_built, played.num_refitted) == (3, 0)


def test_an_engine_that_answers_wrongly_is_not_kept(
    shop: Shop,
    played: PlayedTensorRT,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build(shop, JOURNEY)
    before = plans(shop)

    def refuse(*_: object) -> None:
        raise ValueError("purchase: expected the net's answers within 0.0001, got 0.3")

    monkeypatch.setattr("penchant.serving.engines.golden_steps.check_agreement", refuse)
    assert build(shop, JOURNEY) == 2
    said = capsys.readouterr().err
    assert "version 2 in fp32 does not answer as its net does: purchase: expected" in said
    assert plans(shop) == before


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("nobody", (), "expected a registered model, got 'nobody'"),
        ("../journey", (), "expected the name of a registered model"),
        (JOURNEY, ("--version", "9"), "version: expected a registered version"),
        (JOURNEY, ("--precision", "int8"), "int8"),
    ],
)
def test_a_wrong_wish_is_refused(
    model: str,
    options: tuple[str, ...],
    reason: str,
    shop: Shop,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build(shop, model, *options) == 2
    assert reason in capsys.readouterr().err
    assert not shop.home.engines.exists()


def test_no_library_is_told_before_anything_is_fetched(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"got neither; run: pip install 'penchant\[gpu\]'"):
        build_plan(JOURNEY, home=shop.home.folder)
    assert not shop.home.folder.exists()
