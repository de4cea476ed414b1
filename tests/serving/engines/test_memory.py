"""GPU memory and sizes of tensors, from the shapes alone. Shapes: B rows, N items."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from penchant.serving.engines.memory import RESERVE_BYTES, memory_need, tensor_sizes

WIDTH, ITEMS = 16, 5_000_000


@pytest.fixture(scope="module")
def ranker() -> onnx.ModelProto:
    """x (B, 16) times a table, then a sum; the table's numbers do not matter and are not there."""
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[WIDTH, ITEMS])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("MatMul", ["x", "table"], ["score"]),
        helper.make_node("Exp", ["score"], ["exp"]),
        helper.make_node("ReduceSum", ["exp", "axes"], ["sum"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", 1])],
        [table, axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_sizes_follow_the_batch(ranker: onnx.ModelProto) -> None:
    assert tensor_sizes(ranker, 3) == {
        "score": (3 * ITEMS, 12 * ITEMS),
        "exp": (3 * ITEMS, 12 * ITEMS),
        "sum": (3, 12),
    }


def test_what_is_alive_at_one_time_is_needed_at_one_time(ranker: onnx.ModelProto) -> None:
    need = memory_need(ranker, 100)
    assert need.weights == WIDTH * ITEMS * 4 + 8
    assert need.tensors == 2 * 100 * ITEMS * 4, "scores and what is made of them"
    assert need.total == need.weights + need.tensors + RESERVE_BYTES


def test_more_elements_than_tensorrt_takes_are_refused_with_what_it_takes(
    ranker: onnx.ModelProto,
) -> None:
    memory_need(ranker, 429)
    with pytest.raises(ValueError, match="2,150,000,000 in 'score' at 430 rows; lower it to 429"):
        memory_need(ranker, 430)
