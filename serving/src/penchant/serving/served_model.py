"""A model as it stands in the repository: what its config says is served."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from penchant.clients.contract import SCORE_OUTPUTS, Contract
from penchant.serving.fuse import score_only
from penchant.serving.golden import GoldenRows, read_golden
from penchant.serving.package import GOLDEN, MANIFEST, ModelPackage

FULL_GRAPH: Final = "model.onnx"
SCORE_GRAPH: Final = "score.onnx"

_RUNNER: Final = Path(__file__).with_name("runner.py")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What ``config.pbtxt`` says is served."""

    name: str
    """Public model name."""
    number: int
    """Triton's version number N."""
    package_version: int
    """The package's version, which every answer carries."""
    outputs: tuple[str, ...]
    """Names of the outputs that it offers."""
    contract: Contract
    """Its wire contract."""
    folder: Path
    """Folder of version N."""

    def graph(self, outputs: Collection[str]) -> Path:
        """The graph that computes these outputs, as the runner chooses it."""
        return self.folder / (SCORE_GRAPH if set(outputs) <= set(SCORE_OUTPUTS) else FULL_GRAPH)

    def golden(self) -> GoldenRows:
        """The package's golden rows."""
        return read_golden(self.folder / GOLDEN, self.contract)


def version_files(package: ModelPackage, graph: onnx.ModelProto) -> dict[str, bytes]:
    """Content of each file in a version's folder, for a package and its fused graph."""
    return {
        "model.py": _RUNNER.read_bytes(),
        FULL_GRAPH: graph.SerializeToString(),
        SCORE_GRAPH: score_only(graph).SerializeToString(),
        MANIFEST: (package.folder / MANIFEST).read_bytes(),
        GOLDEN: (package.folder / GOLDEN).read_bytes(),
    }
