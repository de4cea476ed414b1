"""Writes a ServedPropensity as net.onnx."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Final

import onnx
import torch
from torch import Tensor, nn

from penchant.training.headroom import padded, with_room
from penchant.training.propensity_net import MultiEmbedding
from penchant.training.served_propensity import ServedPropensity

NET_OPSET: Final = 20
"""Version of the ai.onnx operators in net.onnx."""
OUTPUTS: Final = ("propensity", "reason", "base")
"""Outputs of net.onnx."""
EXAMPLE_ROWS: Final = 3
TABLE_STEP: Final = 8
"""Tables of values and of bins have rows in multiples of this."""


class _Positional(nn.Module):
    """Takes only the tensors that the model has, in a row, as a graph does."""

    def __init__(self, served: ServedPropensity) -> None:
        super().__init__()
        self.served = served
        features = served.net.features
        self.has_numeric, self.has_category = bool(features.bins), bool(features.categories)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left = list(tensors)
        nothing = left[0].new_zeros((left[0].shape[0], 0))
        position, missing = (left.pop(0), left.pop(0)) if self.has_numeric else (nothing, nothing)
        category = left.pop(0) if self.has_category else nothing
        propensity, reason, base = self.served(position, missing, category, left)
        return propensity, reason, base


def export_net(
    served: ServedPropensity, path: Path, *, multi_slots: Mapping[str, int] | None = None
) -> None:
    """Write the graph: static shapes but the batch axis, no text, nothing that TensorRT refuses.

    Tables have room for values that are not known yet, so that a retrain can keep all shapes.

    Inputs are `position` and `missing` where there are numeric columns, `category` where there are
    categorical ones, and `code_<name>` for each multi-valued column; outputs are `propensity`,
    `reason` and `base`. Asked for `propensity` alone, a runtime can leave the reasons out.

    Args:
        served: The net to write, on the CPU.
        path: The file to write.
        multi_slots: Values l a row holds of each multi-valued column, by name, in the net's order.

    Raises:
        ValueError: If `multi_slots` does not name each of the net's multi-valued columns.
    """
    slots = multi_slots or {}
    expected = len(served.net.features.multi)
    if len(slots) != expected:
        raise ValueError(
            f"multi_slots: expected one entry for each of {expected} multi-valued columns, "
            f"got {dict(slots)}"
        )
    inputs = _example(served, slots)
    batch = torch.export.Dim("batch", min=1)
    with quiet_exporter():
        program = torch.onnx.export(
            _Positional(_with_room(served)).eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_shapes=(tuple({0: batch} for _ in inputs),),
            opset_version=NET_OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def trace_net(
    served: ServedPropensity, *, multi_slots: Mapping[str, int] | None = None
) -> torch.export.ExportedProgram:
    """The same net as PyTorch itself keeps it, to be run without the code it is written in."""
    inputs = _example(served, multi_slots or {})
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(
        _Positional(served).eval(),
        tuple(inputs.values()),
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
    )


def _with_room(served: ServedPropensity) -> ServedPropensity:
    """A copy with rows for values and bins that a later training run may know more of.

    No code refers to them and no number fills them: the answers are the same.
    """
    roomy = copy.deepcopy(served)
    embedding = roomy.net.embedding
    if embedding.category is not None:
        sizes = list(served.net.features.categories)
        parts = torch.split(embedding.category.detach(), sizes, 1)  # (T, codes, D) of each column
        wider = [_widened(part, axis=1) for part in parts]
        embedding.category = nn.Parameter(torch.cat(wider, 1))
        starts = torch.tensor([0, *(part.shape[1] for part in wider)]).cumsum(0)[:-1]
        embedding.offset = starts.to(embedding.offset.dtype)
    for multi in embedding.multi:
        assert isinstance(multi, MultiEmbedding)
        multi.table = nn.Parameter(_widened(multi.table.detach(), axis=1))
    if embedding.numeric is not None:
        bins = _widened(embedding.numeric.bin.detach(), axis=2)  # (T, n, Q, D)
        embedding.numeric.bin = nn.Parameter(bins)
        embedding.numeric.start = torch.arange(bins.shape[2], dtype=bins.dtype)
    return roomy


def _widened(table: Tensor, *, axis: int) -> Tensor:
    return padded(table, with_room(table.shape[axis], step=TABLE_STEP), axis=axis)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep back the exporter's deprecations of its own parts, progress and missing extras."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _example(served: ServedPropensity, slots: Mapping[str, int]) -> dict[str, Tensor]:
    features = served.net.features
    inputs: dict[str, Tensor] = {}
    if features.bins:
        inputs["position"] = torch.zeros(EXAMPLE_ROWS, len(features.bins))
        inputs["missing"] = torch.zeros(EXAMPLE_ROWS, len(features.bins))
    if features.categories:
        shape = (EXAMPLE_ROWS, len(features.categories))
        inputs["category"] = torch.zeros(shape, dtype=torch.int32)
    for name, num_values in slots.items():
        inputs[f"code_{name}"] = torch.zeros((EXAMPLE_ROWS, num_values), dtype=torch.int32)
    return inputs
