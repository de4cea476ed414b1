"""The tensorrt target: encode and decode on the CPU, the net as a TensorRT plan on the GPU.

For Triton's own container, which has the backends ``onnxruntime`` and ``tensorrt``; no Python runs
on the way of a request. Plans of several cards stand side by side, and each server takes its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CHALLENGER_SUFFIX
from penchant.clients.wire_contract import WireContract
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.precision import Precision
from penchant.serving.fuse import FULL_GRAPH
from penchant.serving.golden import Tensors
from penchant.serving.model_config import default_instances, dynamic_batching
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import Piece, StepName, cut, net_files
from penchant.serving.targets.ensemble import Ensemble, Step, rows_between
from penchant.serving.targets.fitting_plans import Built, fitting_plans, serving_machine
from penchant.serving.targets.rendering import Render, TargetName


@dataclass(frozen=True, kw_only=True)
class TensorRTTarget:
    """How Triton's container runs a package's steps."""

    engines: Path
    """Folder of plans: those of a model's version lie in ``<model>/<version>/<step>/``."""
    precision: Precision | None = None
    """Precision of the plans to serve; by default that of those that were built last."""
    gpu_instances: int = 2
    """Execution contexts of a plan on each GPU: one computes while the other copies."""
    cpu_instances: int = field(default_factory=default_instances)
    """Instances of encode and of decode; by default one a core, 2 to 8."""

    def __post_init__(self) -> None:
        """Refuse what cannot run.

        Raises:
            ValueError: naming the field.
        """
        for name in ("gpu_instances", "cpu_instances"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")

    @property
    def name(self) -> TargetName:
        """What the target is called."""
        return "tensorrt"

    def require(self, package: ModelPackage, version: int) -> None:
        """Find the plans of the steps that run on the GPU.

        Raises:
            ValueError: if a step has none for this machine; the message says why, and holds the
                command that builds one.
        """
        self._plans(package, version)

    def prepare(self, package: ModelPackage, version: int) -> Render:
        """Cut the package into steps, with the plans of those that run on the GPU.

        Raises:
            ValueError: if its graphs do not fit one another or the contract, or :meth:`require`
                refuses it.
        """
        return self.render(package, version, self._plans(package, version))

    def _plans(self, package: ModelPackage, version: int) -> dict[StepName, list[Plan]]:
        # A challenger is the registered model under another name.
        registered = package.manifest.name.removesuffix(CHALLENGER_SUFFIX)
        built = Built(self.engines / registered / str(version), registered, version)
        library, device = serving_machine()
        with tempfile.TemporaryDirectory() as temporary:
            return {
                step: fitting_plans(
                    built, step, net, library=library, device=device, precision=self.precision
                )
                for step, net in net_files(package, Path(temporary)).items()
            }

    def render(
        self, package: ModelPackage, version: int, plans: Mapping[StepName, Sequence[Plan]]
    ) -> Render:
        """The steps, with these plans for those that run on the GPU.

        Args:
            package: what is to be served.
            version: its version in the registry.
            plans: of each step, one for each kind of card, alike in profiles and CUDA graphs.

        Raises:
            ValueError: if the package's graphs do not fit one another or the contract.
        """
        pieces = cut(package, version)
        tensors = rows_between(package, pieces)
        steps = [
            self._gpu_step(piece, plans[piece.step], package.contract, tensors)
            if piece.runs_on_gpu
            else self._cpu_step(piece, package.contract, tensors)
            for piece in pieces
        ]
        return Ensemble(
            package=package, package_version=version, target=self.name, steps=steps
        ).render

    def _cpu_step(self, piece: Piece, contract: WireContract, tensors: Tensors) -> Step:
        one = pb.ModelParameter(string_value="1")
        return Step(
            piece=piece,
            files={FULL_GRAPH: piece.graph.SerializeToString()},
            fields={
                "backend": "onnxruntime",
                "instance_group": [
                    pb.ModelInstanceGroup(
                        kind=pb.ModelInstanceGroup.KIND_CPU, count=self.cpu_instances
                    )
                ],
                "dynamic_batching": dynamic_batching(contract),
                # More threads would have to be handed the few microseconds of work there are.
                "parameters": {"intra_op_thread_count": one, "inter_op_thread_count": one},
            },
            batches=(1, contract.max_batch_size),
            row=piece.taken(tensors),
        )

    def _gpu_step(
        self, piece: Piece, plans: Sequence[Plan], contract: WireContract, tensors: Tensors
    ) -> Step:
        record = plans[0].record
        return Step(
            piece=piece,
            files=_plan_files(plans),
            fields={
                "platform": "tensorrt_plan",
                "backend": "tensorrt",
                "cc_model_filenames": {
                    plan.record.compute_capability: _file_name(plan) for plan in plans
                },
                "instance_group": [
                    pb.ModelInstanceGroup(
                        kind=pb.ModelInstanceGroup.KIND_GPU,
                        count=self.gpu_instances,
                        profile=[str(index) for index in range(len(record.profiles))],
                    )
                ],
                "dynamic_batching": dynamic_batching(contract),
                "optimization": _optimization(record.graph_batches),
            },
            batches=(1, *record.graph_batches, contract.max_batch_size),
            row=piece.taken(tensors),
        )


def _optimization(graph_batches: Sequence[int]) -> Any:
    """CUDA graphs of the named batch sizes: of its own accord Triton captures 1 and the largest."""
    cuda = pb.ModelOptimizationPolicy.Cuda(
        graphs=True,
        graph_spec=[
            pb.ModelOptimizationPolicy.Cuda.GraphSpec(batch_size=rows) for rows in graph_batches
        ],
        # Answers come in fractions of a millisecond: being woken would take longer than looking.
        busy_wait_events=True,
    )
    return pb.ModelOptimizationPolicy(cuda=cuda)


def _file_name(plan: Plan, ending: str = "plan") -> str:
    return f"sm{plan.record.compute_capability.replace('.', '')}.{ending}"


def _plan_files(plans: Sequence[Plan]) -> Mapping[str, bytes]:
    files = {_file_name(plan): plan.content for plan in plans}
    return files | {_file_name(plan, "json"): plan.record.to_json().encode() for plan in plans}
