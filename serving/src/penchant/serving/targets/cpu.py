"""The cpu target: one fused graph that ONNX Runtime runs in Triton's Python backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.wire_contract import WireContract
from penchant.serving.fuse import served_graphs
from penchant.serving.model_config import (
    THREADS_PARAMETER,
    default_instances,
    dynamic_batching,
    model_config,
    name_package,
    to_text,
    warmup,
    warmup_tensors,
)
from penchant.serving.package import ModelPackage
from penchant.serving.served_model import RUNNER, package_files
from penchant.serving.targets.rendering import Render, RenderedModel, Rendering, TargetName


@dataclass(frozen=True, kw_only=True)
class CpuTarget:
    """How the Python backend runs a model."""

    instances: int = field(default_factory=default_instances)
    """Python processes, each with its own copy of the graph; by default one a core, 2 to 8.

    At least two: a queue with limits keeps Triton's batcher from preparing the next batch while the
    only process is busy, and a request that arrives just before that process waits again then lies
    half a second, until the batcher looks by itself."""
    intra_op_threads: int = 1
    """ONNX Runtime threads of each process."""

    def __post_init__(self) -> None:
        """Refuse what cannot run.

        Raises:
            ValueError: naming the field.
        """
        for name in ("instances", "intra_op_threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")

    @property
    def name(self) -> TargetName:
        """What the target is called."""
        return "cpu"

    def require(self, package: ModelPackage, version: int) -> None:
        """Every machine has a CPU."""

    def prepare(self, package: ModelPackage, version: int) -> Render:
        """Fuse the package's graphs.

        Raises:
            ValueError: if they do not fit one another or the contract.
        """
        graphs = served_graphs(package, version)
        files = {"model.py": RUNNER.read_bytes(), **graph_files(graphs), **package_files(package)}
        tensors = warmup_tensors(package.contract.inputs, package.golden().inputs)

        def render(number: int) -> Rendering:
            return Rendering(
                public=RenderedModel(
                    name=package.contract.model,
                    config=self.config(package.contract, number, package_version=version),
                    files=files,
                    warmup=tensors,
                )
            )

        return render

    def config(self, contract: WireContract, number: int, *, package_version: int) -> str:
        """Text of ``config.pbtxt``.

        Args:
            contract: tensors, limits and budget of the model.
            number: Triton's own version number N.
            package_version: the registry's version.
        """
        config = model_config(
            contract.model,
            number,
            max_batch_size=contract.max_batch_size,
            inputs=contract.inputs,
            outputs=contract.outputs,
            backend="python",
            instance_group=[
                pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=self.instances)
            ],
            dynamic_batching=dynamic_batching(contract),
            model_warmup=warmup(contract.inputs, number, sizes=(1, contract.max_batch_size)),
        )
        config.parameters[THREADS_PARAMETER].string_value = str(self.intra_op_threads)
        name_package(config, contract, package_version=package_version, target=self.name)
        return to_text(config)


def graph_files(graphs: Mapping[str, onnx.ModelProto]) -> dict[str, bytes]:
    """Content by file name."""
    return {name: graph.SerializeToString() for name, graph in graphs.items()}
