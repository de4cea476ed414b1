"""``penchant perf`` of a journey model, with everything real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.journey_packages import NUMBERS, TEXT, TinyJourney, write_tiny_journey

from penchant.clients.command import main
from penchant.clients.home import Home
from penchant.perf.measure import copy_model
from penchant.perf.perf_analyzer import PerfAnalyzer
from penchant.serving.repository import Repository
from penchant.serving.supervisor import running_server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which both tiny journey models are published as version 2."""
    folder = tmp_path_factory.mktemp("journeys")
    for tiny in (TEXT, NUMBERS):
        package = write_tiny_journey(folder / tiny.contract.model, tiny)
        Repository(Home(folder / "home").model_repository).publish(package, version=2)
    return folder / "home"


def test_quick_look_compares_floor_model_and_ceiling(
    home: Path,
    perf_analyzer: PerfAnalyzer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["perf", "--model", "tiny_journey", "--home", str(home), "--quick", "--all_outputs"]

    assert main(argv) == 0

    assert "not to be quoted" in capsys.readouterr().out
    saved = json.loads((home / "reports" / "perf-tiny_journey.json").read_text())
    assert saved["perf_analyzer"] == perf_analyzer.version
    assert saved["outputs"] == [spec.name for spec in TEXT.contract.outputs]
    assert [entry["model"]["batch_size"] for entry in saved["comparisons"]] == [1, 1, 64]
    for entry in saved["comparisons"]:
        assert entry["floor"]["rows_per_s"] > 0
        assert entry["share_of_ceiling"] > 0


def test_reasons_of_a_model_that_gives_none_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["perf", "--model", "tiny_journey", "--home", str(home), "--reasons"]) == 2

    assert "reasons: expected a propensity model" in capsys.readouterr().err


def test_floor_answers_nothing_in_the_models_shapes(home: Path, tmp_path: Path) -> None:
    both = {tiny.contract.model: tiny for tiny in (TEXT, NUMBERS)}
    repository = Repository(Home(home).model_repository)
    for model, tiny in both.items():
        outputs = tuple(spec.name for spec in tiny.contract.outputs)
        copy_model(repository.served(model), tmp_path / "model_repository", outputs=outputs)

    with (
        running_server(tmp_path / "model_repository", open_statistics=True) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        answers = {
            model: client.infer(f"{model}_floor", _inputs(repository, tiny), client_timeout=10)
            for model, tiny in both.items()
        }

    for model, tiny in both.items():
        for spec in tiny.contract.outputs:
            value = answers[model].as_numpy(spec.name)
            assert value.shape == (3, *spec.shape)
            assert set(value.ravel().tolist()) == ({b""} if spec.dtype == "BYTES" else {0})


def _inputs(repository: Repository, tiny: TinyJourney) -> list[triton.InferInput]:
    golden = repository.served(tiny.contract.model).golden().rows(0, 3).inputs
    inputs = []
    for spec in tiny.contract.inputs:
        tensor = triton.InferInput(spec.name, [3, *spec.shape], spec.dtype)
        value = golden[spec.name]
        tensor.set_data_from_numpy(value.astype(np.object_) if spec.dtype == "BYTES" else value)
        inputs.append(tensor)
    return inputs
