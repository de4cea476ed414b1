"""Versions of the tiny model that rollout has to tell apart: as good, worse, slower, unfit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.packages import CONTRACT, raw_rows, score, sealed

from penchant.clients.contract import Contract
from penchant.serving.fuse import fuse
from penchant.serving.golden import write_golden
from penchant.serving.holdout import HOLDOUT, write_holdout
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession

HELD_OUT: Final = 3000
SLOW_WIDTH: Final = 2048
"""A slow version multiplies by a matrix of this side for every request."""

Change = Callable[[onnx.GraphProto], None]


def variant(
    tiny: ModelPackage,
    folder: Path,
    *changes: Change,
    contract: Contract = CONTRACT,
    num_held_out: int = HELD_OUT,
) -> ModelPackage:
    """The tiny package with another net, golden rows to fit, and held-out rows."""
    shutil.copytree(tiny.folder, folder)
    net = onnx.load(str(folder / "net.onnx"))
    for change in changes:
        change(net.graph)
    onnx.save(net, str(folder / "net.onnx"))
    inputs = raw_rows(80, seed=1)
    session = GraphSession(fuse(ModelPackage(folder, tiny.manifest), 1))
    names = [name for name in session.outputs if name != "version"]
    write_golden(folder / "golden.npz", inputs, session.run(inputs, names))
    if num_held_out:
        rows = raw_rows(num_held_out, seed=2)
        chance = score(rows)["propensity"]
        label = np.random.default_rng(3).random(chance.shape) < chance
        write_holdout(folder / HOLDOUT, rows, label.astype(np.float32))
    return sealed(folder, contract)


def wrong_golden(tiny: ModelPackage, folder: Path) -> ModelPackage:
    """It answers otherwise than its golden rows say."""
    shutil.copytree(tiny.folder, folder)
    inputs = raw_rows(5)
    outputs = score(inputs)
    write_golden(folder / "golden.npz", inputs, outputs | {"propensity": outputs["propensity"] / 2})
    return sealed(folder)


def renamed_goal(tiny: ModelPackage, folder: Path) -> ModelPackage:
    """The same graphs, whose second goal is called otherwise."""
    contract = replace(CONTRACT, goals=(CONTRACT.goals[0], "churn"))
    return variant(tiny, folder, contract=contract)


def noisy(amount: float, seed: int = 0) -> Change:
    """Move the weights of the numeric columns by random amounts."""

    def change(graph: onnx.GraphProto) -> None:
        random = np.random.default_rng(seed)
        for tensor in graph.initializer:
            if tensor.name.startswith(("numeric_weight", "weight_")):
                value = numpy_helper.to_array(tensor)
                moved = value + random.normal(0, amount, value.shape).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))

    return change


def overconfident(graph: onnx.GraphProto) -> None:
    """Add to every logit: the ranking stays, the calibration does not."""
    for tensor in graph.initializer:
        if tensor.name == "base_logit":
            moved = numpy_helper.to_array(tensor) + np.float32(1.5)
            tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))


def slow(graph: onnx.GraphProto) -> None:
    """Multiply something large that comes to nothing."""
    random = np.random.default_rng(0)
    for name, shape in (("wide", (2, SLOW_WIDTH)), ("square", (SLOW_WIDTH, SLOW_WIDTH))):
        value = random.normal(0, 1e-3, shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(value, name))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis_slow"))
    nodes = [
        helper.make_node("MatMul", ["position", "wide"], ["slow_0"]),
        helper.make_node("MatMul", ["slow_0", "square"], ["slow_1"]),
        helper.make_node("ReduceSum", ["slow_1", "axis_slow"], ["slow_2"], keepdims=1),
        helper.make_node("Mul", ["slow_2", "nothing"], ["slow_3"]),
        helper.make_node("Add", ["logit_fast", "slow_3"], ["logit"]),
    ]
    for node in graph.node:
        if list(node.output) == ["logit"]:
            node.output[0] = "logit_fast"
    at = next(i for i, node in enumerate(graph.node) if "logit_fast" in node.output) + 1
    rest = list(graph.node[at:])
    del graph.node[at:]
    graph.node.extend([*nodes, *rest])
    assert graph.initializer[0].data_type == TensorProto.FLOAT
