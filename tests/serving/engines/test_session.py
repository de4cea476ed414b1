"""A plan that answers, on a played GPU: what goes there and comes back, and what is given back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from tests.serving.engines.gpus import GPU, Driver
from tests.serving.engines.played_tensorrt import PlayedTensorRT

from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.session import EngineSession
from penchant.serving.golden import Tensors
from penchant.serving.package import ModelPackage

Rows = Callable[[int], Tensors]


@pytest.fixture
def rows(tiny: ModelPackage) -> Rows:
    """What encode.onnx makes of golden visitors, over and over."""
    session = onnxruntime.InferenceSession(tiny.encode, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.name != "unknown"]
    raw = {
        name: value.astype(object) if value.dtype.kind == "U" else value
        for name, value in tiny.golden().inputs.items()
    }
    encoded = dict(zip(names, session.run(names, raw), strict=True))
    net = onnxruntime.InferenceSession(tiny.net, providers=["CPUExecutionProvider"])
    taken = [given.name for given in net.get_inputs()]
    return lambda count: {
        name: np.resize(encoded[name], (count, *encoded[name].shape[1:])) for name in taken
    }


@pytest.fixture
def played() -> PlayedTensorRT:
    return PlayedTensorRT()


@pytest.fixture
def plan(tiny: ModelPackage, played: PlayedTensorRT) -> Plan:
    return build_engine(tiny.net, contract=tiny.contract, library=played.library, device=GPU)


@pytest.mark.parametrize("count", [1, 8, 9, 64, 150])
def test_answers_are_the_nets_whatever_the_batch(
    count: int, plan: Plan, played: PlayedTensorRT, rows: Rows, tiny: ModelPackage
) -> None:
    net = onnxruntime.InferenceSession(tiny.net, providers=["CPUExecutionProvider"])
    names = [output.name for output in net.get_outputs()]
    given, driver = rows(count), Driver()
    with EngineSession(plan, played.library, cuda=driver) as session:
        got = session.run(given)
        assert driver.num_contexts == 1
    for name, value in zip(names, net.run(names, given), strict=True):
        np.testing.assert_array_equal(got[name], value)
        assert got[name].dtype == value.dtype
    assert driver.num_contexts == 0
    assert driver.memory == {}, "all memory is given back"


def test_a_plan_that_does_not_load_says_why(plan: Plan, played: PlayedTensorRT) -> None:
    driver = Driver()
    with pytest.raises(ValueError, match=r"expected a plan that loads, got: magic tag"):
        EngineSession(Plan(plan.record, b"?"), played.library, cuda=driver)
    assert driver.num_contexts == 0


def test_a_gpu_without_memory_says_which_call_failed(
    plan: Plan, played: PlayedTensorRT, rows: Rows
) -> None:
    driver = Driver(fails="cuMemAlloc_v2")
    with (
        EngineSession(plan, played.library, cuda=driver) as session,
        pytest.raises(ValueError, match="cuMemAlloc_v2: expected CUDA's code 0, got 2"),
    ):
        session.run(rows(1))


def test_without_a_driver_there_is_no_session(plan: Plan, played: PlayedTensorRT) -> None:
    with pytest.raises(ValueError, match="expected one, got no CUDA driver"):
        EngineSession(plan, played.library)
