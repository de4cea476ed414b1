"""``decode.onnx`` of a journey model: codes become ids and names, and the version is stamped.

Shapes: B visitors, K items answered, I intents, M items of the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from penchant.clients.contract import UNKNOWN, VERSION
from penchant.clients.journey_contract import INTENT, NEXT_ITEM, NO_ITEM, SCORE, JourneyContract
from penchant.serving.decode import (
    ELEM_TYPE,
    IR_VERSION,
    NET_PREFIX,
    OPSET,
    PACKAGE_VERSION,
)

TOP_CODE: Final = "top_code"
"""The net's output that is named as ``next_item``."""
TOP_SCORE: Final = "top_score"
"""The net's output that is ``score``."""
INTENT_CODE: Final = "intent_code"
"""The net's output that is named as ``intent``."""

_SOURCE: Final = {NEXT_ITEM: TOP_CODE, SCORE: TOP_SCORE, INTENT: INTENT_CODE}
"""Outputs that the net calls otherwise; all others keep their names."""
_NUM_RESERVED: Final = 2
"""Codes before the first item's and the first category's: none, and one that is unknown."""


def write_journey_decode(
    path: Path,
    contract: JourneyContract,
    *,
    item_id: npt.NDArray[Any],
    categories: Sequence[str] = (),
) -> None:
    """Write the decode graph of a journey model.

    Inputs are the net's outputs behind ``net_``, and ``net_unknown`` (B, 1); outputs are those of
    the contract, ``version`` 0 until the package is published. A code that stands for nothing is
    named "" (or -1), whatever it is: no Gather can read out of range.

    Args:
        path: where to write it.
        contract: which outputs there are, and the type of item ids.
        item_id: (M,) distinct ids in the order of their codes, the first has 2: int64, or text.
        categories: names of the categories in the order of their codes, the first has 2.

    Raises:
        ValueError: if the ids are not of the contract's type, there are none or one twice, or there
            are intents to be answered without categories.
    """
    tables = {NEXT_ITEM: _item_table(item_id, contract)}
    if contract.num_intents:
        tables[INTENT] = _category_table(categories)
    constants = [helper.make_tensor(PACKAGE_VERSION, TensorProto.INT64, [1, 1], [0])]
    nodes, inputs = [], []
    for spec in contract.outputs:
        if spec.name == VERSION:
            continue
        source = NET_PREFIX + _SOURCE.get(spec.name, spec.name)
        kind = TensorProto.INT32 if spec.name in tables else ELEM_TYPE[spec.dtype]
        inputs.append(helper.make_tensor_value_info(source, kind, ["batch", *spec.shape]))
        if spec.name in tables:
            nodes += _look_up(spec.name, source)
            constants += _look_up_constants(spec.name, tables[spec.name])
        else:
            nodes.append(helper.make_node("Identity", [source], [spec.name]))
    nodes += [
        helper.make_node("Shape", [NET_PREFIX + UNKNOWN], ["version_shape"]),
        helper.make_node("Expand", [PACKAGE_VERSION, "version_shape"], [VERSION]),
    ]
    outputs = [
        helper.make_tensor_value_info(spec.name, ELEM_TYPE[spec.dtype], ["batch", *spec.shape])
        for spec in contract.outputs
    ]
    graph = helper.make_graph(nodes, "decode", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _look_up(name: str, source: str) -> list[onnx.NodeProto]:
    """A Gather that cannot read out of range: codes are clipped to the table's two ends."""
    place, table = f"{name}_place", f"{name}_table"
    bounds = [f"{name}_first", f"{name}_last"]
    return [
        helper.make_node("Clip", [source, *bounds], [place]),
        helper.make_node("Gather", [table, place], [name]),
    ]


def _look_up_constants(name: str, table: npt.NDArray[Any]) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(table, f"{name}_table"),
        numpy_helper.from_array(np.array(0, np.int32), f"{name}_first"),
        numpy_helper.from_array(np.array(len(table) - 1, np.int32), f"{name}_last"),
    ]


def _item_table(item_id: npt.NDArray[Any], contract: JourneyContract) -> npt.NDArray[Any]:
    """(M + 3,) what each code is named; both ends stand for no item."""
    is_integer = item_id.dtype.kind == "i"
    if is_integer != (contract.item_dtype == "INT64"):
        raise ValueError(
            f"item_id: expected ids as {contract.item_dtype}, which the contract says, got "
            f"{item_id.dtype}; give it the catalogue that the contract was made from"
        )
    if len(set(item_id.tolist())) < max(len(item_id), 1):
        raise ValueError(
            f"item_id: expected distinct ids, one at least, got {len(item_id)} of which "
            f"{len(set(item_id.tolist()))} are distinct; list each item once"
        )
    if is_integer:
        return _padded(item_id.astype(np.int64), NO_ITEM)
    return _padded(item_id.astype(np.object_), "")


def _category_table(categories: Sequence[str]) -> npt.NDArray[Any]:
    """What each category code is named; both ends stand for no category."""
    if not categories:
        raise ValueError(
            "categories: expected the names of the categories of a model that answers intents, got "
            "none; set the contract's num_intents to 0 where items have no categories"
        )
    return _padded(np.array(categories, np.object_), "")


def _padded(values: npt.NDArray[Any], nothing: object) -> npt.NDArray[Any]:
    before = np.full(_NUM_RESERVED, nothing, values.dtype)
    return np.concatenate([before, values, before[:1]])
