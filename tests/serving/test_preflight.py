"""The throw-away process that tries a package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penchant.serving.package import ModelPackage
from penchant.serving.pieces import Piece, cut
from penchant.serving.preflight import preflight, try_package

CHILD = """
from pathlib import Path
from penchant.serving.preflight import offer_to_end_first
offer_to_end_first()
print(Path("/proc/self/oom_score_adj").read_text())
"""


def test_the_kernel_ends_it_first_when_memory_runs_out() -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())

    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=60
    )

    assert int(done.stdout) == 1000
    assert int(Path("/proc/self/oom_score_adj").read_text()) == own


def test_a_package_that_answers_rightly_passes_and_a_damaged_one_does_not(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    preflight(tiny_package, version=3)
    preflight(tiny_package, version=3, in_steps=True)

    with pytest.raises(ValueError, match=r"version 3 of 'tiny' is not published: .*manifest\.json"):
        preflight(ModelPackage(tmp_path, tiny_package.manifest), version=3)


def test_what_answers_rightly_in_one_graph_alone_is_found(
    tiny_package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_another_version(package: ModelPackage, version: int) -> tuple[Piece, ...]:
        return cut(package, version + 1)

    monkeypatch.setattr("penchant.serving.pieces.cut", of_another_version)
    try_package(tiny_package, 3)

    with pytest.raises(ValueError, match="version: expected 3, got"):
        try_package(tiny_package, 3, in_steps=True)
