"""The floor: bytes and operations of graphs whose numbers are known."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from penchant.perf.gpu_check.work import Ceilings, Work, graph_work
from penchant.serving.engines.precision import convert

CEILINGS = Ceilings(
    bytes_per_s=1e12, flops_per_s={"fp32": 1e12, "tf32": 4e12, "fp16": 8e12, "bf16": 8e12}
)


def net(*, is_looked_up: bool = True) -> onnx.ModelProto:
    """Codes (B, 2) of 1,000 rows of 64 numbers; their mean times that same table, or another."""
    table = np.ones((1_000, 64), np.float32)
    nodes = [
        helper.make_node("Gather", ["looked_up", "code"], ["rows"]),
        helper.make_node("ReduceMean", ["rows", "axis"], ["mean"], keepdims=0),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["mean", "turned"], ["score"]),
    ]
    if not is_looked_up:
        nodes[0].input[0] = "table"
    constants = {"looked_up": table, "table": table, "axis": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("code", TensorProto.INT32, ["batch", 2])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1_000])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_weights_count_once_and_looked_up_ones_by_their_rows() -> None:
    work = graph_work(net(), 8)
    whole, rows, ends = 1_000 * 64 * 4, 8 * 2 * 64 * 4, 8 * 2 * 4 + 8 * 1_000 * 4
    axis = 8
    assert work.num_bytes == whole + rows + ends + axis
    assert work.flops == {"fp32": 2 * 8 * 64 * 1_000}


def test_a_table_that_is_multiplied_too_counts_once() -> None:
    apart, shared = graph_work(net(), 8), graph_work(net(is_looked_up=False), 8)
    assert apart.num_bytes - shared.num_bytes == 8 * 2 * 64 * 4


def test_the_floor_is_the_larger_of_bytes_and_operations() -> None:
    assert Work(2_000_000, {"fp32": 1_000_000}).floor_us(CEILINGS, has_tf32=False) == (2.0, "bytes")
    work = Work(1_000_000, {"fp32": 4_000_000, "fp16": 8_000_000})
    assert work.floor_us(CEILINGS, has_tf32=False) == (5.0, "operations")
    assert work.floor_us(CEILINGS, has_tf32=True) == (2.0, "operations")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_mixed_precision_moves_fewer_bytes(precision: str) -> None:
    two = net()
    two.graph.node.extend(
        [
            helper.make_node("MatMul", ["score", "back"], ["again"]),
            helper.make_node("MatMul", ["again", "last"], ["end"]),
        ]
    )
    for name, shape in (("back", (1_000, 64)), ("last", (64, 8))):
        two.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    del two.graph.output[:]
    two.graph.output.append(helper.make_tensor_value_info("end", TensorProto.FLOAT, ["batch", 8]))
    plain, mixed = graph_work(two, 4), graph_work(convert(two, precision), 4)  # type: ignore[arg-type]
    assert mixed.num_bytes < 0.75 * plain.num_bytes
    assert sum(mixed.flops.values()) == sum(plain.flops.values())
    assert mixed.flops[precision] > 0.9 * sum(mixed.flops.values())
