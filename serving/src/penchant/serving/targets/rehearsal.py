"""The rehearsal target: the tensorrt target's ensemble without a GPU.

The same graphs in the same wiring, each step behind the Python backend with ONNX Runtime. The
embedded Triton has no other backend, so this is what shows on every commit that the ensemble
answers as the cpu target does. It is slower than that one, and not meant to serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.wire_contract import WireContract
from penchant.serving.fuse import FULL_GRAPH
from penchant.serving.golden import golden_bytes
from penchant.serving.model_config import MAX_QUEUE_SIZE, THREADS_PARAMETER, dynamic_batching
from penchant.serving.package import GOLDEN, ModelPackage
from penchant.serving.pieces import Piece, cut
from penchant.serving.served_model import RUNNER
from penchant.serving.targets.ensemble import Ensemble, Step, rows_between
from penchant.serving.targets.rendering import Render, TargetName

NO_BYTECODE: Final = "__pycache__"
"""A file where Python would make a folder for its bytecode: that would be newer than the step was
when Triton loaded it, so that Triton would load it once more with the ensemble."""
INSTANCES: Final = 2
"""Processes of each step; the cpu target says why not one."""


class RehearsalTarget:
    """How the Python backend runs a package's steps."""

    @property
    def name(self) -> TargetName:
        """What the target is called."""
        return "rehearsal"

    def require(self, package: ModelPackage, version: int) -> None:
        """Every machine can rehearse."""

    def prepare(self, package: ModelPackage, version: int) -> Render:
        """Cut the package into steps.

        Raises:
            ValueError: if its graphs do not fit one another or the contract.
        """
        pieces = cut(package, version)
        tensors = rows_between(package, pieces)
        steps = [
            Step(
                piece=piece,
                files={
                    "model.py": RUNNER.read_bytes(),
                    NO_BYTECODE: b"",
                    FULL_GRAPH: piece.graph.SerializeToString(),
                    GOLDEN: golden_bytes(piece.taken(tensors), {}),
                },
                fields=_fields(piece, package.contract),
                batches=(1, package.contract.max_batch_size),
                row=piece.taken(tensors),
            )
            for piece in pieces
        ]
        return Ensemble(
            package=package, package_version=version, target=self.name, steps=steps
        ).render


def _fields(piece: Piece, contract: WireContract) -> Mapping[str, Any]:
    # Triton before 26.03 crashes, or never answers, where the queue of a later step overflows. So
    # the embedded one refuses at the first, and drops by time alone what waits behind it.
    limit = MAX_QUEUE_SIZE if piece.step == "encode" else 0
    return {
        "backend": "python",
        "instance_group": [
            pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=INSTANCES)
        ],
        "dynamic_batching": dynamic_batching(contract, max_queue_size=limit),
        "parameters": {THREADS_PARAMETER: pb.ModelParameter(string_value="1")},
    }
