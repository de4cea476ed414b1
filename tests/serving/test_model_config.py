"""config.pbtxt, read back through Triton's protobuf."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format
from tests.packages import CONTRACT
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import deserialize_bytes_tensor

from penchant.clients.contract import Contract
from penchant.serving.model_config import warmup_tensors
from penchant.serving.package import ModelPackage
from penchant.serving.targets.cpu import CpuTarget


def _parsed(target: CpuTarget | None = None) -> pb.ModelConfig:
    text = (target or CpuTarget()).config(CONTRACT, 9, package_version=4)
    return text_format.Parse(text, pb.ModelConfig())


def test_tensors_are_the_contract_s() -> None:
    config = _parsed()

    assert [(t.name, t.data_type, tuple(t.dims)) for t in config.input] == [
        ("numeric", pb.TYPE_FP32, (2,)),
        ("categorical", pb.TYPE_STRING, (2,)),
        ("multi_interests", pb.TYPE_STRING, (3,)),
    ]
    assert [(t.name, t.data_type, tuple(t.dims)) for t in config.output] == [
        ("propensity", pb.TYPE_FP32, (2,)),
        ("reason", pb.TYPE_FP32, (2, 5)),
        ("base", pb.TYPE_FP32, (2,)),
        ("unknown", pb.TYPE_INT32, (1,)),
        ("version", pb.TYPE_INT64, (1,)),
    ]
    assert config.max_batch_size == CONTRACT.max_batch_size


def test_exactly_one_version_is_served_on_the_cpu() -> None:
    config = _parsed(CpuTarget(instances=3, intra_op_threads=4))

    assert list(config.version_policy.specific.versions) == [9]
    assert [(g.kind, g.count) for g in config.instance_group] == [
        (pb.ModelInstanceGroup.KIND_CPU, 3)
    ]
    assert config.parameters["intra_op_threads"].string_value == "4"
    assert config.parameters["package_version"].string_value == "4"


def test_a_caller_can_read_the_contract_from_the_config() -> None:
    assert Contract.from_json(_parsed().parameters["contract"].string_value) == CONTRACT


def test_the_queue_is_bounded_and_never_waits_for_company() -> None:
    batching = _parsed().dynamic_batching

    policy = batching.default_queue_policy
    assert batching.max_queue_delay_microseconds == 0
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.default_timeout_microseconds == 50 * CONTRACT.latency_budget_ms * 1000
    assert policy.allow_timeout_override
    assert policy.max_queue_size == 512


def test_warm_up_is_a_golden_row_alone_and_in_the_largest_batch(
    tiny_package: ModelPackage,
) -> None:
    golden = tiny_package.golden()
    contents = warmup_tensors(CONTRACT.inputs, golden.inputs)
    samples = _parsed().model_warmup

    assert [sample.batch_size for sample in samples] == [1, CONTRACT.max_batch_size]
    for sample in samples:
        assert {name: spec.input_data_file for name, spec in sample.inputs.items()} == {
            name: f"9/{name}" for name in contents
        }
    numeric = np.frombuffer(contents["numeric"], np.float32)
    np.testing.assert_array_equal(numeric, golden.inputs["numeric"][0])
    texts = [item.decode() for item in deserialize_bytes_tensor(contents["categorical"])]
    assert texts == golden.inputs["categorical"][0].tolist()


def test_a_target_without_instances_is_refused() -> None:
    with pytest.raises(ValueError, match="instances"):
        CpuTarget(instances=0)
