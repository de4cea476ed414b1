"""Compiling fitted features to encode.onnx, the graph that training and serving both run.

Letters: B rows, n numeric columns, T bins of the finest of them, m categorical columns, l slots of
a multi-valued column, S = m + all slots, V distinct texts. Nothing that has the right dtype and
shape can make the graph fail, and each row's result depends on that row alone.

Numbers: a value's position is the sum over bins of clip((x - low) / width, 0, 1), for all columns
at once on a grid (n, T) padded with bins that stay empty. Text: one look-up turns all texts into
ids that the columns share; id and column together give the key of a second look-up, which gives
the code. So the number of operators depends on neither the number of columns nor of categories.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from penchant.clients.contract import CATEGORICAL, MULTI_PREFIX, NUMERIC, UNKNOWN
from penchant.training.features import CategoricalFeature, Features, NumericFeature
from penchant.training.onnx_graph import OnnxGraph

CODE_PREFIX: Final = "code_"
"""What stands before a multi-valued column's name in the name of its codes."""
MISSING_CODE: Final = 0
"""Code of a missing category, and of padding in a multi-valued column."""
UNKNOWN_CODE: Final = 1
"""Code of a category that the learnt rows did not hold often enough."""
FIRST_CODE: Final = 2
"""Code of the first fitted category."""


def compile_encoder(features: Features, path: Path) -> None:
    """Write `encode.onnx`.

    Inputs: ``numeric`` FP32 (B, n), ``categorical`` STRING (B, m) and, for each multi-valued
    column, ``multi_<column>`` STRING (B, l). Outputs: ``position`` and ``missing`` FP32 (B, n),
    ``category`` INT32 (B, m), ``code_<column>`` INT32 (B, l) and ``unknown`` INT32 (B, 1), the
    number of a row's categories that have no code. A group without columns is absent.

    Args:
        features: What was fitted.
        path: File to write.
    """
    graph = OnnxGraph()
    if features.numeric:
        _add_numbers(graph, features.numeric)
    if features.categorical or features.multi_valued:
        _add_texts(graph, features)
    else:
        _add_no_unknown(graph)
    graph.save(path, name="encode")


def _add_numbers(graph: OnnxGraph, columns: tuple[NumericFeature, ...]) -> None:
    width = len(columns)
    raw = graph.input(NUMERIC, TensorProto.FLOAT, width)
    edges = [np.array(column.edges, dtype=np.float32) for column in columns]
    first, last = (np.array([e[end] for e in edges], dtype=np.float32) for end in (0, -1))
    low, span = _grid(edges)
    most = graph.constant("largest", np.array(np.finfo(np.float32).max))
    lower, upper = graph.constant("first_edge", first), graph.constant("last_edge", last)
    # A comparison with NaN is false: this finds NaN and infinities at once.
    finite = graph.add("LessOrEqual", [graph.add("Abs", [raw], "magnitude"), most], "finite")
    absent = graph.add("Not", [finite], "absent")
    graph.add("Cast", [absent], "missing", to=TensorProto.FLOAT)
    given = graph.add("Where", [finite, raw, lower], "given")
    clipped = graph.add("Min", [graph.add("Max", [given, lower], "at_least"), upper], "clipped")
    tall = graph.add("Unsqueeze", [clipped, graph.constant("axis_2", _ints(2))], "tall")
    above = graph.add("Sub", [tall, graph.constant("bin_low", low)], "above")  # (B, n, T)
    filled = graph.add("Div", [above, graph.constant("bin_width", span)], "filled")
    limits = [
        graph.constant(name, np.array(name == "one", dtype=np.float32)) for name in ("zero", "one")
    ]
    share = graph.add("Clip", [filled, *limits], "share")
    graph.add("ReduceSum", [share, "axis_2"], "position", keepdims=0)
    graph.output("position", TensorProto.FLOAT, width)
    graph.output("missing", TensorProto.FLOAT, width)


def _grid(edges: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lower bounds and widths of all bins, (n, T) each; padding begins where the column ends."""
    bins = max(1, max(len(column) for column in edges) - 1)
    low = np.stack([np.pad(column, (0, bins), mode="edge")[:bins] for column in edges])
    span = np.ones_like(low)
    for row, column in zip(span, edges, strict=True):
        row[: len(column) - 1] = np.diff(column)
    return low, span


def _add_texts(graph: OnnxGraph, features: Features) -> None:
    names: list[str] = []
    inputs: list[str] = []
    columns: list[CategoricalFeature] = []
    slots: list[int] = []
    if features.categorical:
        names.append("category")
        inputs.append(graph.input(CATEGORICAL, TensorProto.STRING, len(features.categorical)))
        columns += features.categorical
        slots += [1] * len(features.categorical)
    for column in features.multi_valued:
        names.append(CODE_PREFIX + column.name)
        inputs.append(
            graph.input(MULTI_PREFIX + column.name, TensorProto.STRING, column.max_values)
        )
        columns.append(column)
        slots.append(column.max_values)
    text = graph.add("Concat", inputs, "text", axis=1) if len(inputs) > 1 else inputs[0]
    code = _add_look_up(graph, text, columns, slots)  # (B, S)
    unknown = graph.constant("unknown_code", np.array(UNKNOWN_CODE, dtype=np.int32))
    missed = graph.add("Equal", [code, unknown], "missed")
    missed = graph.add("Cast", [missed], "missed_one", to=TensorProto.INT32)
    graph.add("ReduceSum", [missed, graph.constant("axis_1", _ints(1))], UNKNOWN, keepdims=1)
    widths = [len(features.categorical)] if features.categorical else []
    widths += [column.max_values for column in features.multi_valued]
    parts = graph.constant("widths", _ints(*widths))
    graph.nodes.append(helper.make_node("Split", [code, parts], names, name="split", axis=1))
    for name, width in zip(names, widths, strict=True):
        graph.output(name, TensorProto.INT32, width)
    graph.output(UNKNOWN, TensorProto.INT32, 1)


def _add_look_up(
    graph: OnnxGraph, text: str, columns: list[CategoricalFeature], slots: list[int]
) -> str:
    """Codes (B, S) of texts (B, S), of which column j fills `slots[j]`."""
    ids = {"": 0}
    code_of_key = {}
    for number, column in enumerate(columns):
        code_of_key[number] = MISSING_CODE
        for code, category in enumerate(column.categories, FIRST_CODE):
            code_of_key[ids.setdefault(category, len(ids)) * len(columns) + number] = code
    text_id = graph.add(
        "LabelEncoder",
        [text],
        "text_id",
        domain="ai.onnx.ml",
        keys_strings=list(ids),
        values_int64s=list(ids.values()),
        default_int64=-1,  # its keys are below 0, where there is none
    )
    scaled = graph.add("Mul", [text_id, graph.constant("num_columns", _ints(len(columns)))], "row")
    place = np.repeat(np.arange(len(columns), dtype=np.int64), slots)
    key = graph.add("Add", [scaled, graph.constant("column", place)], "key")
    found = graph.add(
        "LabelEncoder",
        [key],
        "found",
        domain="ai.onnx.ml",
        keys_int64s=list(code_of_key),
        values_int64s=list(code_of_key.values()),
        default_int64=UNKNOWN_CODE,
    )
    return graph.add("Cast", [found], "code", to=TensorProto.INT32)


def _add_no_unknown(graph: OnnxGraph) -> None:
    """Without text there is nothing unknown: as many zeros as rows."""
    rows = graph.add("Shape", [NUMERIC], "rows", start=0, end=1)
    shape = graph.add("Concat", [rows, graph.constant("one_wide", _ints(1))], "shape", axis=0)
    zero = helper.make_tensor("zero_unknown", TensorProto.INT32, [1], [0])
    graph.add("ConstantOfShape", [shape], UNKNOWN, value=zero)
    graph.output(UNKNOWN, TensorProto.INT32, 1)


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
