"""``penchant perf`` from the command line, with everything real."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from penchant.clients.command import main
from penchant.clients.home import Home
from penchant.perf.perf_analyzer import PerfAnalyzer
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.targets.rehearsal import RehearsalTarget


@pytest.mark.parametrize("reasons", [False, True])
def test_quick_look_compares_floor_model_and_ceiling(
    published_home: Path,
    perf_analyzer: PerfAnalyzer,
    capsys: pytest.CaptureFixture[str],
    reasons: bool,
) -> None:
    argv = ["perf", "--model", "tiny", "--home", str(published_home), "--quick"]

    assert main([*argv, "--reasons"] if reasons else argv) == 0

    assert "not to be quoted" in capsys.readouterr().out
    saved = json.loads((published_home / "reports" / "perf-tiny.json").read_text())
    assert saved["package_version"] == 3
    assert saved["perf_analyzer"] == perf_analyzer.version
    assert ("reason" in saved["outputs"]) == reasons
    one, many, batches = saved["comparisons"]
    assert (one["model"]["callers"], one["model"]["batch_size"]) == (1, 1)
    assert many["model"]["callers"] == 8
    assert batches["model"]["batch_size"] == 64
    for entry in saved["comparisons"]:
        assert entry["floor"]["rows_per_s"] > 0
        assert entry["share_of_ceiling"] > 0
    # The served graph cannot beat itself in process, though one short look may be off.
    assert statistics.median(entry["share_of_ceiling"] for entry in saved["comparisons"]) < 1


def test_model_that_is_not_published_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["perf", "--model", "nothing", "--home", str(tmp_path)]) == 2

    assert "penchant publish" in capsys.readouterr().err


def test_an_ensemble_is_no_graph_to_compare_with(
    tiny_package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = Repository(Home(tmp_path).model_repository)
    repository.publish(tiny_package, version=1, target=RehearsalTarget())

    assert main(["perf", "--model", "tiny", "--home", str(tmp_path)]) == 2
    assert "expected one on the cpu target" in capsys.readouterr().err
