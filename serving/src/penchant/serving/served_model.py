"""A model as it stands in the repository: what its config says is served."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penchant.clients.wire_contract import WireContract
from penchant.serving.fuse import FULL_GRAPH, SCORE_GRAPH
from penchant.serving.golden import GoldenRows, read_golden
from penchant.serving.package import GOLDEN, MANIFEST, ModelPackage

RUNNER: Final = Path(__file__).with_name("runner.py")
"""What the Python backend runs, published as ``model.py``."""


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
    target: str = "cpu"
    """What runs it."""

    def graph(self, outputs: Collection[str]) -> Path:
        """The graph that computes these outputs, as the runner chooses it."""
        small = self.folder / SCORE_GRAPH
        is_enough = set(outputs) <= set(self.contract.score_outputs)
        return small if is_enough and small.is_file() else self.folder / FULL_GRAPH

    def golden(self) -> GoldenRows:
        """The package's golden rows."""
        return read_golden(self.folder / GOLDEN, self.contract)


def package_files(package: ModelPackage) -> dict[str, bytes]:
    """What of a package stays beside every version of a public model, whatever runs it."""
    return {name: (package.folder / name).read_bytes() for name in (MANIFEST, GOLDEN)}
