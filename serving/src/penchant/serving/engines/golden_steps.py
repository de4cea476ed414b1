"""What each step that runs on the GPU takes and gives for the golden rows, by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from penchant.serving.engines.agreement import check_agreement
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.session import EngineSession
from penchant.serving.golden import Tensors
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import StepName, cut
from penchant.serving.targets.chain import Chain


@dataclass(frozen=True)
class GoldenStep:
    """One step's golden rows, by its own names."""

    inputs: Tensors
    expected: Tensors

    def check(self, plan: Plan, library: EngineLibrary) -> None:
        """Have an engine answer the rows on the GPU that is here.

        Raises:
            ValueError: if it answers otherwise than its net does.
        """
        record = plan.record
        with EngineSession(plan, library) as session:
            got = session.run(self.inputs)
        try:
            check_agreement(self.expected, got, record.precision)
        except ValueError as error:
            raise ValueError(
                f"the engine of {record.model} version {record.package_version} in "
                f"{record.precision} does not answer as its net does: {error}; build with "
                "--precision tf32 or fp32"
            ) from error


def golden_steps(package: ModelPackage, version: int) -> dict[StepName, GoldenStep]:
    """The golden rows of each step that runs on the GPU.

    Raises:
        ValueError: if the package's graphs do not fit one another or the contract.
    """
    pieces = cut(package, version)
    tensors = Chain(pieces).run(package.golden().inputs)
    return {
        piece.step: GoldenStep(
            piece.taken(tensors),
            {name: tensors[tensor] for name, tensor in piece.outputs.items()},
        )
        for piece in pieces
        if piece.runs_on_gpu
    }
