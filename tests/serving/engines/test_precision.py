"""Mixed precision: what is lowered, what stays, and that answers stay the same within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from tests.serving.engines.nets import Net, propensity_net

from penchant.serving.engines.precision import PRODUCTS, Precision, convert

Answers = dict[str, npt.NDArray[Any]]
NUM_ITEMS = 1000


@pytest.fixture(scope="module")
def propensity(shoppers: Net) -> onnx.ModelProto:
    return onnx.load(shoppers.path)


@pytest.fixture(scope="module")
def ranking(journey: Net) -> onnx.ModelProto:
    return onnx.load(journey.path)


def rows(model: onnx.ModelProto, count: int = 64) -> Answers:
    """Random inputs of the net; nothing is excluded and all categories are allowed."""
    random = np.random.default_rng(0)
    given: Answers = {}
    for value in model.graph.input:
        shape = (count, value.type.tensor_type.shape.dim[1].dim_value)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            given[value.name] = random.random(shape, np.float32)
        else:
            given[value.name] = random.integers(0, 3, shape, np.int32)
    if "age" in given:
        shape = given["age"].shape
        given["age"] = np.sort(random.exponential(1e6, shape), 1)[:, ::-1].astype(np.float32)
        given["item_code"] = random.integers(0, NUM_ITEMS, shape, np.int32)
        for name in ("exclude_code", "allow_code"):
            given[name][:] = 0
    return given


def run(model: onnx.ModelProto, given: Answers) -> Answers:
    names = [output.name for output in model.graph.output]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, given), strict=True))


def made_in(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_full_precision_leaves_the_graph_alone(
    propensity: onnx.ModelProto, precision: Precision
) -> None:
    assert convert(propensity, precision) is propensity


def test_products_are_lowered_but_the_last_of_each_way(propensity: onnx.ModelProto) -> None:
    before = propensity.SerializeToString()
    low = convert(propensity, "fp16")
    assert propensity.SerializeToString() == before, "the net given is not changed"
    onnx.checker.check_model(low, full_check=True)
    kind = made_in(low)
    assert list(low.graph.input) == list(propensity.graph.input)
    assert list(low.graph.output) == list(propensity.graph.output)
    products = [node for node in low.graph.node if node.op_type in PRODUCTS]
    heads = [node for node in products if "served.net.head" in node.input]
    assert len(heads) == 3, "of the row, of each feature alone, of all features but it"
    for node in products:
        expected = TensorProto.FLOAT if node in heads else TensorProto.FLOAT16
        assert kind[node.output[0]] == expected, node.name
    for node in low.graph.node:
        if node.op_type in {"Sigmoid", "Log", "Clip", "Softmax", "ReduceSum"}:
            assert kind[node.output[0]] == TensorProto.FLOAT, node.name


def test_scores_of_items_and_their_ranking_stay_in_fp32(ranking: onnx.ModelProto) -> None:
    kind = made_in(convert(ranking, "bf16"))
    nodes = convert(ranking, "bf16").graph.node
    for node in nodes:
        if node.op_type in {"TopK", "Softmax", "LayerNormalization", "ScatterElements", "Exp"}:
            assert kind[node.output[0]] == TensorProto.FLOAT, node.name
    scores = [n for n in nodes if n.op_type == "MatMul" and kind[n.output[0]] == TensorProto.FLOAT]
    assert len(scores) == 1, "the product of a query with all items"


def test_weights_are_stored_low_once_and_no_longer_in_fp32(propensity: onnx.ModelProto) -> None:
    low = convert(propensity, "fp16")
    stored = {tensor.name: tensor.data_type for tensor in low.graph.initializer}
    assert stored["served.net.layers.0.weight:fp16"] == TensorProto.FLOAT16
    assert "served.net.layers.0.weight" not in stored
    assert stored["served.net.head"] == TensorProto.FLOAT
    read = {name for node in low.graph.node for name in node.input}
    assert set(stored) <= read


def test_a_retrain_gives_the_same_graph(propensity: onnx.ModelProto, tmp_path: Path) -> None:
    """Else no engine could be refitted; a converter that looks at weights would not keep this."""
    retrained = onnx.load(propensity_net("online_shoppers", tmp_path, seed=1).path)
    graphs = []
    for net in (propensity, retrained):
        low = convert(net, "fp16").graph
        graphs.append([(n.op_type, *n.input, "->", *n.output) for n in low.node])
        graphs[-1] += sorted((t.name, str(t.data_type), str(t.dims)) for t in low.initializer)
    assert graphs[0] == graphs[1]
    weights = [
        {t.name: t.raw_data for t in net.graph.initializer} for net in (propensity, retrained)
    ]
    assert weights[0] != weights[1]


def test_propensities_are_the_same_in_half_precision(propensity: onnx.ModelProto) -> None:
    given = rows(propensity)
    expected, got = run(propensity, given), run(convert(propensity, "fp16"), given)
    np.testing.assert_allclose(got["propensity"], expected["propensity"], atol=1e-4)
    np.testing.assert_allclose(got["reason"], expected["reason"], atol=1e-3)
    assert not np.array_equal(got["propensity"], expected["propensity"]), "it is another precision"


def test_items_are_the_same_in_half_precision(ranking: onnx.ModelProto) -> None:
    given = rows(ranking)
    expected, got = run(ranking, given), run(convert(ranking, "fp16"), given)
    for row in range(len(expected["top_code"])):
        same = set(expected["top_code"][row, :10]) & set(got["top_code"][row, :10])
        assert len(same) >= 9
    np.testing.assert_allclose(got["top_score"], expected["top_score"], rtol=0.02)


def test_propensities_are_the_same_in_bfloat16(propensity: onnx.ModelProto) -> None:
    """By ONNX's own reference: ONNX Runtime multiplies no bfloat16 on a CPU."""
    given = rows(propensity, 4)
    expected = run(propensity, given)["propensity"]
    reference = ReferenceEvaluator(convert(propensity, "bf16"))
    answers: Any = reference.run(["propensity"], given)
    got = answers[0]
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert not np.array_equal(got, expected)


def test_a_weight_too_large_for_fp16_is_refused_by_name(propensity: onnx.ModelProto) -> None:
    large = onnx.ModelProto()
    large.CopyFrom(propensity)
    name = "served.net.layers.0.weight"
    (tensor,) = [each for each in large.graph.initializer if each.name == name]
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[0] = -70_000
    tensor.CopyFrom(numpy_helper.from_array(weight, name))
    with pytest.raises(ValueError, match=f"65504 for fp16, got 70000 in '{name}'; build with bf16"):
        convert(large, "fp16")
    convert(large, "bf16")


def test_an_unknown_precision_is_refused(propensity: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="one of fp32, tf32, fp16, bf16, got 'int8'"):
        convert(propensity, "int8")  # type: ignore[arg-type]
