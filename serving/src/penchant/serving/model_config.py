"""``config.pbtxt`` of a served model, written through Triton's own protobuf."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CONTRACT_PARAMETER, TensorSpec
from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import GoldenRows, wire_bytes

THREADS_PARAMETER: Final = "intra_op_threads"
"""Name of the config parameter that the runner reads its thread count from."""
VERSION_PARAMETER: Final = "package_version"
"""Name of the config parameter that holds the package's version."""
WARMUP_FOLDER: Final = "warmup"
"""Triton looks for warm-up tensors in this folder of the model; ours stand in ``warmup/<N>/``."""

QUEUE_TIMEOUT_BUDGETS: Final = 50.0
"""Longest wait in the queue, as a multiple of the latency budget. A caller's own timeout can only
lower it, so it has to leave room for those who score in bulk."""
MAX_QUEUE_SIZE: Final = 512
"""Requests that may wait; the next one is refused at once."""

_DATA_TYPE: Final = {
    "FP32": pb.TYPE_FP32,
    "INT32": pb.TYPE_INT32,
    "INT64": pb.TYPE_INT64,
    "BYTES": pb.TYPE_STRING,
}


def default_instances() -> int:
    """One process a usable core, but 2 at least and 8 at most."""
    return min(max(len(os.sched_getaffinity(0)), 2), 8)


@dataclass(frozen=True, kw_only=True)
class CpuTarget:
    """How the Python backend runs a model."""

    instances: int = field(default_factory=default_instances)
    """Python processes, each with its own copy of the graph; by default one a core, 2 to 8.

    At least two: a queue with limits keeps Triton's batcher from preparing the next batch while the
    only process is busy, and a request that arrives just before that process waits again then lies
    half a second, until the batcher looks by itself."""
    intra_op_threads: int = 1
    """ONNX Runtime threads of each process."""

    def __post_init__(self) -> None:
        for name in ("instances", "intra_op_threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


def config_pbtxt(
    contract: WireContract, number: int, *, package_version: int, target: CpuTarget | None = None
) -> str:
    """Text of ``config.pbtxt`` that serves exactly the version folder ``number``.

    Args:
        contract: tensors, limits and budget of the model.
        number: Triton's own version number N.
        package_version: the registry's version, which every answer carries.
        target: how to run it.
    """
    target = target or CpuTarget()
    config = pb.ModelConfig(
        name=contract.model,
        backend="python",
        max_batch_size=contract.max_batch_size,
        version_policy=pb.ModelVersionPolicy(
            specific=pb.ModelVersionPolicy.Specific(versions=[number])
        ),
        input=[
            pb.ModelInput(name=spec.name, data_type=_DATA_TYPE[spec.dtype], dims=spec.shape)
            for spec in contract.inputs
        ],
        output=[
            pb.ModelOutput(name=spec.name, data_type=_DATA_TYPE[spec.dtype], dims=spec.shape)
            for spec in contract.outputs
        ],
        instance_group=[
            pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=target.instances)
        ],
        dynamic_batching=_dynamic_batching(contract),
        model_warmup=_warmup(contract, number),
    )
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[THREADS_PARAMETER].string_value = str(target.intra_op_threads)
    config.parameters[VERSION_PARAMETER].string_value = str(package_version)
    return str(text_format.MessageToString(config, as_utf8=True))


def warmup_tensors(contract: WireContract, golden: GoldenRows) -> dict[str, bytes]:
    """Content of each file in the warm-up folder: the first golden row, as on the wire."""
    row = golden.rows(0, 1).inputs
    return {spec.name: wire_bytes(row[spec.name], spec.dtype) for spec in contract.inputs}


def _dynamic_batching(contract: WireContract) -> pb.ModelDynamicBatching:
    # No queue delay: a lone request would pay it in full, and under load a batch forms by itself
    # while the instance is busy.
    policy = pb.ModelQueuePolicy(
        timeout_action=pb.ModelQueuePolicy.REJECT,
        default_timeout_microseconds=round(
            contract.latency_budget_ms * 1000 * QUEUE_TIMEOUT_BUDGETS
        ),
        allow_timeout_override=True,
        max_queue_size=MAX_QUEUE_SIZE,
    )
    return pb.ModelDynamicBatching(max_queue_delay_microseconds=0, default_queue_policy=policy)


def _warmup(contract: WireContract, number: int) -> list[pb.ModelWarmup]:
    """One row, and the largest batch: Triton repeats the row for it."""
    sizes = sorted({1, contract.max_batch_size})
    return [
        pb.ModelWarmup(
            name=f"golden_{size}",
            batch_size=size,
            inputs={spec.name: _warmup_input(spec, number) for spec in contract.inputs},
        )
        for size in sizes
    ]


def _warmup_input(spec: TensorSpec, number: int) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(
        data_type=_DATA_TYPE[spec.dtype],
        dims=spec.shape,
        input_data_file=f"{number}/{spec.name}",
    )
