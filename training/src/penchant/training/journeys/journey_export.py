"""Writes a ServedJourney as net.onnx."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from penchant.clients.journey_contract import JourneyContract
from penchant.training.journeys.journey_encoder import (
    ACTION_CODE,
    AGE,
    ALLOW_CODE,
    CHANNEL_CODE,
    EXCLUDE_CODE,
    ITEM_CODE,
    NOW_HOUR,
    TARGET_CODE,
)
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.net_export import EXAMPLE_ROWS, NET_OPSET, quiet_exporter


class _Positional(nn.Module):
    """Takes only the tensors that the model has, in a row, as a graph does."""

    def __init__(self, served: ServedJourney, names: tuple[str, ...]) -> None:
        super().__init__()
        self.served, self.names = served, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        answers: tuple[Tensor, ...] = self.served(
            given[ITEM_CODE],
            given[ACTION_CODE],
            given.get(CHANNEL_CODE),
            given[AGE],
            given[NOW_HOUR],
            given[TARGET_CODE],
            given[EXCLUDE_CODE],
            given.get(ALLOW_CODE),
        )
        return answers


def export_journey_net(served: ServedJourney, path: Path, contract: JourneyContract) -> None:
    """Write the graph: static shapes but the batch axis, no text, nothing that TensorRT refuses.

    Inputs are the outputs of ``encode.onnx`` but ``unknown``; outputs are those of
    :attr:`ServedJourney.outputs`.

    Args:
        served: The net to write, on the CPU.
        path: The file to write.
        contract: Lengths of the inputs.
    """
    inputs = _example(contract)
    batch = torch.export.Dim("batch", min=1)
    with quiet_exporter():
        program = torch.onnx.export(
            _Positional(served, tuple(inputs)).eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(served.outputs),
            dynamic_shapes=(tuple({0: batch} for _ in inputs),),
            opset_version=NET_OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    # The exporter says nothing where a plain len() made it keep the example's number of rows.
    tensors = [*model.graph.input, *model.graph.output]
    assert all(tensor.type.tensor_type.shape.dim[0].dim_param for tensor in tensors)
    onnx.save(model, path)


def trace_journey_net(
    served: ServedJourney, contract: JourneyContract
) -> torch.export.ExportedProgram:
    """The same net as PyTorch itself keeps it, to be run without the code it is written in."""
    inputs = _example(contract)
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(
        _Positional(served, tuple(inputs)).eval(),
        tuple(inputs.values()),
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
    )


def _example(contract: JourneyContract) -> dict[str, Tensor]:
    def codes(width: int) -> Tensor:
        return torch.ones((EXAMPLE_ROWS, width), dtype=torch.int32)

    inputs = {ITEM_CODE: codes(contract.length), ACTION_CODE: codes(contract.length)}
    if contract.channels:
        inputs[CHANNEL_CODE] = codes(contract.length)
    inputs[AGE] = torch.ones(EXAMPLE_ROWS, contract.length)
    inputs[NOW_HOUR] = torch.ones(EXAMPLE_ROWS, 1)
    inputs[TARGET_CODE] = codes(1)
    inputs[EXCLUDE_CODE] = codes(contract.max_exclude)
    if contract.num_intents:
        inputs[ALLOW_CODE] = codes(contract.max_allow)
    return inputs
