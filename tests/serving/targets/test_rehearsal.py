"""The rehearsal on a real Triton: an ensemble that nobody can tell from the cpu target."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journey_packages import NUMBERS, TEXT, raw_visitors, write_tiny_journey
from tests.packages import CONTRACT, raw_rows, write_tiny_package
from tests.serving.test_wire import (
    ALL_OUTPUTS,
    BAD_REQUESTS,
    Tensors,
    answers,
    assert_refused_alone,
    raw_requests,
    to_request,
)
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.grpc import service_pb2, service_pb2_grpc

from penchant.serving.package import ModelPackage
from penchant.serving.parity import TOLERANCE, Tolerance
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor, running_server
from penchant.serving.targets.rehearsal import RehearsalTarget

VERSION = 9
TIMEOUT_S = 30.0
CPU = "cpu_"
"""Prefix of the models that are served by the cpu target beside the rehearsed ones."""
ROWS: Mapping[str, Callable[[int, int], Tensors]] = {
    "tiny": lambda num_rows, seed: raw_rows(num_rows, seed=seed),
    "tiny_journey": lambda num_rows, seed: raw_visitors(TEXT, num_rows, seed=seed),
    "tiny_numbers": lambda num_rows, seed: raw_visitors(NUMBERS, num_rows, seed=seed),
}
EVERY = pytest.mark.parametrize("model", ROWS)


def _renamed(package: ModelPackage, name: str) -> ModelPackage:
    contract = replace(package.contract, model=name)  # type: ignore[type-var]  # all are dataclasses
    return replace(package, manifest=replace(package.manifest, contract=contract))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    folder = tmp_path_factory.mktemp("packages")
    return {
        "tiny": write_tiny_package(folder / "tiny"),
        "tiny_journey": write_tiny_journey(folder / "journey", TEXT),
        "tiny_numbers": write_tiny_journey(folder / "numbers", NUMBERS),
    }


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, packages: dict[str, ModelPackage]
) -> Iterator[Supervisor]:
    repository = Repository(tmp_path_factory.mktemp("rehearsed") / "model_repository")
    for name, package in packages.items():
        repository.publish(package, version=VERSION, target=RehearsalTarget())
        repository.publish(_renamed(package, CPU + name), version=VERSION)
    with running_server(repository.folder) as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Supervisor) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def _ask(stub: Any, model: str, rows: Tensors, outputs: tuple[str, ...]) -> Tensors:
    request = to_request(rows, outputs, model=model)
    return answers(stub.ModelInfer(request, timeout=TIMEOUT_S))


def _assert_equal(found: Tensors, expected: Tensors) -> None:
    """Text and whole numbers are the same; others within a hundredth of what parity allows."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        if value.dtype.kind == "f":
            near = TOLERANCE.get(name, Tolerance()).around(value) / 100
            assert (np.abs(found[name] - value) <= near).all(), name
        else:
            assert found[name].tolist() == value.tolist(), name


@EVERY
@pytest.mark.parametrize("size", [1, 7, 64])
def test_every_golden_row_is_answered_as_on_the_cpu_target(
    stub: Any, packages: dict[str, ModelPackage], model: str, size: int
) -> None:
    package = packages[model]
    outputs = tuple(spec.name for spec in package.contract.outputs)
    golden = package.golden()

    for start in range(0, golden.num_rows, size):
        rows = golden.rows(start, start + size).inputs
        _assert_equal(_ask(stub, model, rows, outputs), _ask(stub, CPU + model, rows, outputs))


@EVERY
def test_any_outputs_can_be_asked_for(
    stub: Any, packages: dict[str, ModelPackage], model: str
) -> None:
    names = [spec.name for spec in packages[model].contract.outputs]
    rows = ROWS[model](5, 2)

    for outputs in (*itertools.combinations(names, 1), *itertools.combinations(names, 2)):
        _assert_equal(_ask(stub, model, rows, outputs), _ask(stub, CPU + model, rows, outputs))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=raw_requests())
def test_any_bytes_are_answered_as_on_the_cpu_target(stub: Any, rows: Tensors) -> None:
    _assert_equal(
        _ask(stub, "tiny", rows, ALL_OUTPUTS), _ask(stub, CPU + "tiny", rows, ALL_OUTPUTS)
    )


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_refused_and_its_neighbours_are_not_touched(stub: Any, name: str) -> None:
    assert_refused_alone(stub, name)


@settings(max_examples=30, deadline=None)
@given(
    num_rows=st.lists(st.integers(1, CONTRACT.max_batch_size), min_size=2, max_size=6),
    outputs=st.lists(
        st.lists(st.sampled_from(ALL_OUTPUTS), min_size=1, unique=True).map(tuple),
        min_size=6,
        max_size=6,
    ),
)
def test_concurrent_callers_get_their_own_rows_and_outputs(
    stub: Any, num_rows: list[int], outputs: list[tuple[str, ...]]
) -> None:
    rows = [raw_rows(number, seed=at) for at, number in enumerate(num_rows)]

    calls = [
        stub.ModelInfer.future(to_request(tensors, outputs[at]), timeout=TIMEOUT_S)
        for at, tensors in enumerate(rows)
    ]

    for tensors, wanted, call in zip(rows, outputs, calls, strict=False):
        _assert_equal(answers(call.result()), _ask(stub, CPU + "tiny", tensors, wanted))


def _counts(server: Supervisor, stub: Any, model: str) -> dict[str, int]:
    """Requests answered so far by each step."""
    request = service_pb2.ModelStatisticsRequest()
    statistics = stub.ModelStatistics(request, metadata=tuple(server.headers.items()))
    return {
        each.name.split("_")[-2]: each.inference_stats.success.count
        for each in statistics.model_stats
        if each.name in server.repository.parts(model)
    }


def test_a_caller_without_reasons_does_not_pay_for_them(server: Supervisor, stub: Any) -> None:
    before = _counts(server, stub, "tiny")
    for _ in range(50):
        _ask(stub, "tiny", raw_rows(2), ("propensity", "unknown", "version"))
    after = _counts(server, stub, "tiny")

    # The server's canaries, one a second, ask for reasons too.
    assert after["net"] - before["net"] >= 50
    assert after["explain"] - before["explain"] < 25


def test_callers_see_one_model_with_the_contract_s_tensors(server: Supervisor, stub: Any) -> None:
    config = stub.ModelConfig(service_pb2.ModelConfigRequest(name="tiny")).config
    cpu = stub.ModelConfig(service_pb2.ModelConfigRequest(name=CPU + "tiny")).config

    assert set(server.models) == {*ROWS, *(CPU + name for name in ROWS)}
    assert config.input == cpu.input
    assert config.output == cpu.output
    assert config.max_batch_size == cpu.max_batch_size
    assert config.parameters["package_version"] == cpu.parameters["package_version"]
    assert config.parameters["target"].string_value == "rehearsal"


def test_the_canary_asks_the_ensemble(server: Supervisor) -> None:
    assert server.num_restarts == 0
    for model in ROWS:
        assert server.repository.served(model).target == "rehearsal"
        assert server.repository.num_processes(model) == 2 * len(server.repository.parts(model))


def _configs(packages: dict[str, ModelPackage], model: str) -> dict[str, Any]:
    rendering = RehearsalTarget().prepare(packages[model], VERSION)(4)
    return {
        each.name: text_format.Parse(each.config, pb.ModelConfig())
        for each in (rendering.public, *rendering.parts)
    }


@EVERY
def test_every_step_waits_for_a_limited_time_and_the_first_for_a_limited_number(
    packages: dict[str, ModelPackage], model: str
) -> None:
    for name, config in _configs(packages, model).items():
        if name == model:
            assert not config.HasField("dynamic_batching")
            continue
        policy = config.dynamic_batching.default_queue_policy
        assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
        assert policy.default_timeout_microseconds == 1_000_000
        assert policy.allow_timeout_override
        # Of the embedded Triton a later step that is full never answers.
        assert policy.max_queue_size == (512 if "_encode_" in name else 0)
        assert config.backend == "python"
        assert [(g.kind, g.count) for g in config.instance_group] == [
            (pb.ModelInstanceGroup.KIND_CPU, 2)
        ]


def test_a_step_tells_whose_it_is_and_nothing_of_the_package(
    packages: dict[str, ModelPackage],
) -> None:
    configs = _configs(packages, "tiny")

    assert list(configs) == [
        "tiny",
        "tiny_encode_4",
        "tiny_net_4",
        "tiny_explain_4",
        "tiny_decode_4",
    ]
    for name, config in configs.items():
        if name != "tiny":
            assert set(config.parameters) == {"intra_op_threads", "part_of"}
            assert config.parameters["part_of"].string_value == "tiny"
            assert list(config.version_policy.specific.versions) == [4]


def test_a_step_is_warmed_up_with_what_it_gets_of_a_golden_row(
    packages: dict[str, ModelPackage],
) -> None:
    rendering = RehearsalTarget().prepare(packages["tiny"], VERSION)(4)
    net = next(part for part in rendering.parts if part.name == "tiny_net_4")
    config = text_format.Parse(net.config, pb.ModelConfig())

    assert [sample.batch_size for sample in config.model_warmup] == [1, CONTRACT.max_batch_size]
    for sample in config.model_warmup:
        assert {name: each.input_data_file for name, each in sample.inputs.items()} == {
            name: f"4/{name}" for name in net.warmup
        }
    position = np.frombuffer(net.warmup["position"], np.float32)
    numeric = packages["tiny"].golden().inputs["numeric"][0]
    expected = np.clip((numeric - [0, 10]) / [30, 25], 0, 8)
    np.testing.assert_allclose(position, np.nan_to_num(expected), atol=1e-6)
