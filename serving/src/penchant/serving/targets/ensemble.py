"""What the targets that serve a package in steps have in common: Triton's ensemble over them.

The ensemble is the model that callers name: its tensors, and its answers, are those of the cpu
target. Triton gives it no queue of its own, so each step keeps one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import Tensors
from penchant.serving.model_config import (
    PART_OF_PARAMETER,
    model_config,
    name_package,
    to_text,
    warmup,
    warmup_tensors,
)
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import Piece, StepName
from penchant.serving.served_model import package_files
from penchant.serving.targets.chain import Chain
from penchant.serving.targets.rendering import RenderedModel, Rendering, TargetName


def part_name(model: str, step: StepName, number: int) -> str:
    """What a step of version ``number`` is called in Triton.

    The number is in the name, because two versions may take other tensors, which one model of
    Triton's cannot have. So the old version's steps stay as they are while the new one's are
    loaded, and requests in flight finish on them; and where a step does not load, the ensemble,
    which Triton would drop with it, is not touched.
    """
    return f"{model}_{step}_{number}"


def rows_between(package: ModelPackage, pieces: Sequence[Piece]) -> Tensors:
    """Every tensor that a step of the package takes, for the first golden row."""
    wanted = {tensor for piece in pieces for tensor in piece.inputs.values()}
    needed = [piece for piece in pieces if wanted & set(piece.outputs.values())]
    return Chain(needed).run(package.golden().rows(0, 1).inputs)


@dataclass(frozen=True, kw_only=True)
class Step:
    """How Triton runs one step."""

    piece: Piece
    """Its graph and its tensors."""
    files: Mapping[str, bytes]
    """Content by name of what its version's folder holds."""
    fields: Mapping[str, Any]
    """Fields of its config beside name, tensors and warm-up."""
    batches: Sequence[int]
    """Batch sizes to warm it up with."""
    row: Tensors
    """One row of what it takes."""

    def render(self, contract: WireContract, number: int) -> RenderedModel:
        """The step as a model of Triton's."""
        specs = self.piece.input_specs
        config = model_config(
            part_name(contract.model, self.piece.step, number),
            number,
            max_batch_size=contract.max_batch_size,
            inputs=specs,
            outputs=self.piece.output_specs,
            model_warmup=warmup(specs, number, sizes=self.batches),
            **self.fields,
        )
        config.parameters[PART_OF_PARAMETER].string_value = contract.model
        return RenderedModel(
            name=config.name,
            config=to_text(config),
            files=self.files,
            warmup=warmup_tensors(specs, self.row),
        )


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """A package in steps."""

    package: ModelPackage
    package_version: int
    """In the registry."""
    target: TargetName
    """What it is rendered for."""
    steps: Sequence[Step]

    def render(self, number: int) -> Rendering:
        """The ensemble and its steps as models of Triton's."""
        contract = self.package.contract
        public = RenderedModel(
            name=contract.model,
            config=self._config(number),
            files=package_files(self.package),
            warmup={},
        )
        parts = tuple(step.render(contract, number) for step in self.steps)
        return Rendering(public=public, parts=parts)

    def _config(self, number: int) -> str:
        contract = self.package.contract
        steps = [
            pb.ModelEnsembling.Step(
                model_name=part_name(contract.model, step.piece.step, number),
                model_version=number,
                input_map=step.piece.inputs,
                output_map=step.piece.outputs,
            )
            for step in self.steps
        ]
        config = model_config(
            contract.model,
            number,
            max_batch_size=contract.max_batch_size,
            inputs=contract.inputs,
            outputs=contract.outputs,
            platform="ensemble",
            ensemble_scheduling=pb.ModelEnsembling(step=steps),
        )
        name_package(config, contract, package_version=self.package_version, target=self.target)
        return to_text(config)
