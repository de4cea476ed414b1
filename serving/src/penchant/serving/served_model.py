"""A model as it stands in the repository: what its config says is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from penchant.clients.wire_contract import WireContract
from penchant.serving.fuse import FULL_GRAPH, SCORE_GRAPH
from penchant.serving.golden import GoldenRows, read_golden
from penchant.serving.package import GOLDEN, MANIFEST, ModelPackage

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
    contract: WireContract
    """Its wire contract."""
    folder: Path
    """Folder of version N."""

    def graph(self, outputs: Collection[str]) -> Path:
        """The graph that computes these outputs, as the runner chooses it."""
        small = self.folder / SCORE_GRAPH
        is_enough = set(outputs) <= set(self.contract.score_outputs)
        return small if is_enough and small.is_file() else self.folder / FULL_GRAPH

    def golden(self) -> GoldenRows:
        """The package's golden rows."""
        return read_golden(self.folder / GOLDEN, self.contract)


def version_files(package: ModelPackage, graphs: Mapping[str, onnx.ModelProto]) -> dict[str, bytes]:
    """Content of each file in a version's folder, for a package and the graphs that serve it."""
    return {
        "model.py": _RUNNER.read_bytes(),
        **{name: graph.SerializeToString() for name, graph in graphs.items()},
        MANIFEST: (package.folder / MANIFEST).read_bytes(),
        GOLDEN: (package.folder / GOLDEN).read_bytes(),
    }
