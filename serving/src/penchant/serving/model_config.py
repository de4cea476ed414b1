"""What every ``config.pbtxt`` has, written through Triton's own protobuf."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CONTRACT_PARAMETER, TensorSpec
from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import Tensors, wire_bytes

THREADS_PARAMETER: Final = "intra_op_threads"
"""Name of the config parameter that the runner reads its thread count from."""
VERSION_PARAMETER: Final = "package_version"
"""Name of the config parameter that holds the package's version."""
TARGET_PARAMETER: Final = "target"
"""Name of the config parameter that says how the model is run."""
PART_OF_PARAMETER: Final = "part_of"
"""Name of the config parameter by which a step of an ensemble says whose it is."""
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


def model_config(
    name: str,
    number: int,
    *,
    max_batch_size: int,
    inputs: Iterable[TensorSpec],
    outputs: Iterable[TensorSpec],
    **fields: Any,
) -> Any:
    """A config that serves exactly the version folder ``number``, with these tensors.

    Args:
        name: the model's.
        number: Triton's own version number N.
        max_batch_size: most rows of a batch.
        inputs: what it takes.
        outputs: what it gives.
        fields: whatever else the message holds.
    """
    return pb.ModelConfig(
        name=name,
        max_batch_size=max_batch_size,
        version_policy=pb.ModelVersionPolicy(
            specific=pb.ModelVersionPolicy.Specific(versions=[number])
        ),
        input=[
            pb.ModelInput(name=spec.name, data_type=_DATA_TYPE[spec.dtype], dims=spec.shape)
            for spec in inputs
        ],
        output=[
            pb.ModelOutput(name=spec.name, data_type=_DATA_TYPE[spec.dtype], dims=spec.shape)
            for spec in outputs
        ],
        **fields,
    )


def name_package(config: Any, contract: WireContract, *, package_version: int, target: str) -> None:
    """Have a public model's config tell what it serves, which callers read from the server."""
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[VERSION_PARAMETER].string_value = str(package_version)
    config.parameters[TARGET_PARAMETER].string_value = target


def to_text(config: Any) -> str:
    """The config as it stands in the file."""
    return str(text_format.MessageToString(config, as_utf8=True))


def dynamic_batching(contract: WireContract, *, max_queue_size: int = MAX_QUEUE_SIZE) -> Any:
    """Batches of what waits, and a queue with limits: what overflows it is refused at once.

    Args:
        contract: whose latency budget.
        max_queue_size: requests that may wait; 0 for any number.
    """
    # No queue delay: a lone request would pay it in full, and under load a batch forms by itself
    # while the instance is busy.
    policy = pb.ModelQueuePolicy(
        timeout_action=pb.ModelQueuePolicy.REJECT,
        default_timeout_microseconds=round(
            contract.latency_budget_ms * 1000 * QUEUE_TIMEOUT_BUDGETS
        ),
        allow_timeout_override=True,
        max_queue_size=max_queue_size,
    )
    return pb.ModelDynamicBatching(max_queue_delay_microseconds=0, default_queue_policy=policy)


def warmup(specs: Collection[TensorSpec], number: int, *, sizes: Iterable[int]) -> list[Any]:
    """A batch of each size; Triton repeats the one row of :func:`warmup_tensors` for it."""
    return [
        pb.ModelWarmup(
            name=f"golden_{size}",
            batch_size=size,
            inputs={
                spec.name: pb.ModelWarmup.Input(
                    data_type=_DATA_TYPE[spec.dtype],
                    dims=spec.shape,
                    input_data_file=f"{number}/{spec.name}",
                )
                for spec in specs
            },
        )
        for size in sorted(set(sizes))
    ]


def warmup_tensors(specs: Iterable[TensorSpec], rows: Tensors) -> dict[str, bytes]:
    """Content of each file in the warm-up folder: the first of these rows, as on the wire."""
    return {spec.name: wire_bytes(rows[spec.name][:1], spec.dtype) for spec in specs}
