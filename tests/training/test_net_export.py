from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from penchant.serving.engines.refit import changed_weights
from penchant.training.calibration import BetaCalibration, GoalCalibration
from penchant.training.net_export import OUTPUTS, export_net
from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_net import PropensityNet
from penchant.training.served_propensity import ServedPropensity, reference_shape

CONFIG = NetworkConfig(trunks=2, members=3, width=16, embedding_size=4)
REFUSED_BY_TENSORRT = {
    "NonZero",
    "Loop",
    "If",
    "Scan",
    "SequenceConstruct",
    "Dropout",
    "RandomUniform",
}
SLOTS = 3


def serve(sizes: FeatureSizes) -> ServedPropensity:
    torch.manual_seed(0)
    net = PropensityNet(sizes, num_goals=2, config=CONFIG)
    goals = [GoalCalibration(slope_yes=1.3, shift=-0.2), GoalCalibration()]
    reference = torch.randn(reference_shape(net)) * 0.2
    return ServedPropensity(net, calibration=BetaCalibration(goals), reference=reference)


def draw(sizes: FeatureSizes, rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rows)
    inputs: dict[str, np.ndarray] = {}
    if sizes.bins:
        shape = (rows, len(sizes.bins))
        inputs["missing"] = (random.random(shape) < 0.2).astype(np.float32)
        position = random.random(shape) * np.array(sizes.bins) * (1 - inputs["missing"])
        inputs["position"] = position.astype(np.float32)
    if sizes.categories:
        columns = [random.integers(0, size, rows) for size in sizes.categories]
        inputs["category"] = np.stack(columns, 1).astype(np.int32)
    for index, size in enumerate(sizes.multi):
        inputs[f"code_m{index}"] = random.integers(0, size, (rows, SLOTS)).astype(np.int32)
    return inputs


def answer(served: ServedPropensity, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    rows = len(next(iter(inputs.values())))
    nothing = np.zeros((rows, 0), dtype=np.float32)
    main = [torch.from_numpy(inputs.get(n, nothing)) for n in ("position", "missing", "category")]
    multi = [torch.from_numpy(v) for n, v in inputs.items() if n.startswith("code_")]
    with torch.inference_mode():
        return [output.numpy() for output in served(*main, multi)]


@pytest.mark.parametrize(
    "sizes",
    [
        FeatureSizes(bins=(8, 1, 20), categories=(4, 3), multi=(5, 7)),
        FeatureSizes(bins=(6,)),
        FeatureSizes(categories=(6, 3)),
        FeatureSizes(multi=(6,)),
    ],
    ids=["all", "numeric", "categorical", "multi"],
)
def test_the_graph_answers_as_pytorch_does(sizes: FeatureSizes, tmp_path: Path) -> None:
    served = serve(sizes)
    path = tmp_path / "net.onnx"

    export_net(served, path, multi_slots={f"m{i}": SLOTS for i in range(len(sizes.multi))})

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, 7, 64):
        inputs = draw(sizes, rows)
        assert {tensor.name for tensor in session.get_inputs()} == set(inputs)
        for got, expected in zip(session.run(OUTPUTS, inputs), answer(served, inputs), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    graph = onnx.load(path).graph
    assert not REFUSED_BY_TENSORRT & {node.op_type for node in graph.node}
    for tensor in (*graph.input, *graph.output):
        assert [bool(dim.dim_param) for dim in tensor.type.tensor_type.shape.dim][1:].count(
            True
        ) == 0


def test_the_score_needs_nothing_of_the_reasons(tmp_path: Path) -> None:
    served = serve(FeatureSizes(bins=(8, 3), categories=(4,)))
    path = tmp_path / "net.onnx"
    export_net(served, path)
    graph = onnx.load(path).graph
    by_output = {name: node for node in graph.node for name in node.output}
    needed, pending = set(), ["propensity"]
    while pending:
        name = pending.pop()
        if name in by_output and name not in needed:
            needed.add(name)
            pending += by_output[name].input

    assert len(needed) < len(graph.node) / 2


def test_a_nameless_multi_valued_column_is_refused(tmp_path: Path) -> None:
    served = serve(FeatureSizes(multi=(6,)))

    with pytest.raises(ValueError, match="multi_slots: expected one entry for each of 1"):
        export_net(served, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_few_more_values_and_bins_change_weights_alone(tmp_path: Path) -> None:
    """So that an engine of yesterday's net can take the weights of today's."""
    graphs = []
    for number, sizes in enumerate(
        (
            FeatureSizes(bins=(30, 1), categories=(9, 3), multi=(5,)),
            FeatureSizes(bins=(32, 2), categories=(12, 4), multi=(8,)),
        )
    ):
        path = tmp_path / f"{number}.onnx"
        export_net(serve(sizes), path, multi_slots={"m0": SLOTS})
        graphs.append(onnx.load(path).graph)
    changed = changed_weights(*graphs)
    assert {"served.net.embedding.numeric.scale", "served.net.head"} <= changed
    integers = {t.name for t in graphs[0].initializer if t.data_type == onnx.TensorProto.INT64}
    assert not changed & integers, "codes keep their places"
