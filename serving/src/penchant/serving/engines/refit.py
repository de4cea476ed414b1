"""Puts a retrain's weights into the engine that is there, instead of building one anew.

That takes a net of the same nodes and shapes, which the exporter and the conversion of precision
give for the same recipe and catalogue size. TensorRT then says whether weights are missing, and
the refitted engine has to give the new net's answers; else an engine is built.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from penchant.clients.wire_contract import WireContract
from penchant.serving.engines.builder import build_engine, can_refit, read_net
from penchant.serving.engines.check_plan import mismatch
from penchant.serving.engines.device import Device
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.logger import BuildLog
from penchant.serving.engines.plan import Plan, PlanRecord
from penchant.serving.engines.precision import convert
from penchant.serving.engines.profiles import batch_profiles, graph_batches

Check = Callable[[Plan], None]
"""Raises ValueError where a plan gives other answers than its net."""


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """A net whose weights a plan is to get, and where that happens."""

    old_net: Path
    """The graph that the plan has the weights of."""
    net: Path
    """The graph whose weights it is to get."""
    contract: WireContract
    """The contract of the new net's package."""
    package_version: int
    """The new net's version, for the record."""
    library: EngineLibrary
    """What refits and builds."""
    device: Device | None
    """The GPU that is here."""
    check: Check
    """Whether a plan answers as the new net does."""


def refit_or_build(plan: Plan, retrain: Retrain, *, timing_cache: Path | None = None) -> Plan:
    """The plan with the new net's weights; one built anew where that cannot be, with the reason.

    Args:
        plan: an engine of the old net.
        retrain: what it is to become.
        timing_cache: folder with the timings of earlier builds.

    Raises:
        ValueError: if the net cannot be built either, or the built engine answers wrongly.
    """
    try:
        return refit(plan, retrain)
    except ValueError as error:
        reason = f"built anew, not refitted: {error}"
    built = build_engine(
        retrain.net,
        contract=retrain.contract,
        precision=plan.record.precision,
        package_version=retrain.package_version,
        refittable=can_refit(retrain.library, retrain.device),
        library=retrain.library,
        device=retrain.device,
        timing_cache=timing_cache,
    )
    retrain.check(built)
    return replace(built, notes=(reason, *built.notes))


def refit(plan: Plan, retrain: Retrain) -> Plan:
    """The plan with another net's weights, checked.

    Raises:
        ValueError: if plan or machine cannot be refitted, the nets differ in more than weights, a
            weight is missing, renamed or no number, or the answers are not the new net's.
    """
    started = time.perf_counter()
    record = plan.record
    _check_refittable(record, retrain)
    (old, _), (new, digest) = read_net(retrain.old_net), read_net(retrain.net)
    old, new = convert(old, record.precision), convert(new, record.precision)
    changed = changed_weights(old.graph, new.graph)
    content = _refitted(plan, new, changed, retrain.library)
    refitted = Plan(
        replace(
            record,
            package_version=retrain.package_version,
            build_s=round(time.perf_counter() - started, 3),
            net_sha256=digest,
            sha256=sha256(content).hexdigest(),
            size_bytes=len(content),
        ),
        content,
    )
    retrain.check(refitted)
    return refitted


def _check_refittable(record: PlanRecord, retrain: Retrain) -> None:
    reason = mismatch(record, net=retrain.old_net, library=retrain.library, device=retrain.device)
    if reason is not None:
        raise ValueError(f"plan {record.file_name}: {reason}")
    if not record.refittable:
        raise ValueError(f"plan {record.file_name}: expected one built to be refitted, got another")
    if not can_refit(retrain.library, retrain.device):
        raise ValueError(
            f"{retrain.library.name} {retrain.library.version}: expected a release that refits "
            "rightly, got one that drops biases by its own release notes; run: pip install "
            "--upgrade 'penchant[gpu]'"
        )
    batches = batch_profiles(retrain.contract), graph_batches(retrain.contract)
    if (record.profiles, record.graph_batches) != batches:
        raise ValueError(
            f"plan {record.file_name}: expected one for batches of up to "
            f"{retrain.contract.max_batch_size} rows within {retrain.contract.latency_budget_ms:g} "
            "ms, got one for others"
        )


def changed_weights(old: onnx.GraphProto, new: onnx.GraphProto) -> set[str]:
    """Names of the constants that differ, of two graphs that differ in nothing else.

    Raises:
        ValueError: if they do, naming what is missing, renamed, of another shape, or no number.
    """
    before, after = ({t.name: t for t in graph.initializer} for graph in (old, new))
    missing, added = set(before) - set(after), set(after) - set(before)
    if missing or added:
        raise ValueError(
            f"net: expected the weights of the plan, got {_few(added) if added else 'none'} "
            f"for {_few(missing) if missing else 'none'}: missing, renamed or of another net"
        )
    for name, tensor in after.items():
        expected, got = _shape(before[name]), _shape(tensor)
        if expected != got:
            raise ValueError(f"net: expected {expected} for weight {name!r}, got {got}")
    if [_outline(node) for node in old.node] != [_outline(node) for node in new.node]:
        raise ValueError("net: expected the nodes that the plan was built of, got others")
    changed = {name for name, tensor in after.items() if _bytes(tensor) != _bytes(before[name])}
    for name in changed:
        _check_finite(name, after[name])
    return changed


def _refitted(plan: Plan, new: onnx.ModelProto, changed: set[str], library: EngineLibrary) -> bytes:
    """The plan's bytes with the weights of a net that is already in its precision."""
    module, log = library.module, BuildLog(library)
    runtime = module.Runtime(log.logger)
    engine = runtime.deserialize_cuda_engine(plan.content)
    if engine is None:
        raise ValueError(_refused(plan, "an engine that loads", log.errors))
    refitter = module.Refitter(engine, log.logger)
    fixed = changed - set(refitter.get_all_weights())
    if fixed:
        raise ValueError(
            f"plan {plan.record.file_name}: expected weights that its engine can take, got "
            f"changes of {_few(fixed)}, which are built into it"
        )
    parser = module.OnnxParserRefitter(refitter, log.logger)
    if not parser.refit_from_bytes(new.SerializeToString()):
        said = [parser.get_error(place).desc() for place in range(parser.num_errors)]
        raise ValueError(_refused(plan, "weights that it takes", [*said, *log.errors]))
    missing = refitter.get_missing_weights()
    if missing:
        raise ValueError(_refused(plan, "all weights", [f"none for {_few(set(missing))}"]))
    if not refitter.refit_cuda_engine():
        raise ValueError(_refused(plan, "weights that it takes", log.errors))
    return _serialized(engine, module)


def _serialized(engine: Any, module: Any) -> bytes:
    """The engine, to be refitted again tomorrow: TensorRT since 10.14 wants to be told."""
    config = engine.create_serialization_config()
    flag = getattr(module.SerializationFlag, "INCLUDE_REFIT", None)
    if flag is not None:
        config.set_flag(flag)
    return bytes(engine.serialize_with_config(config))


def _refused(plan: Plan, expected: str, said: list[str]) -> str:
    got = "; ".join(said) or "a refusal without a reason"
    return f"plan {plan.record.file_name}: expected {expected}, got: {got}"


def _check_finite(name: str, tensor: TensorProto) -> None:
    value = numpy_helper.to_array(tensor)
    if tensor.data_type == TensorProto.BFLOAT16 or value.dtype.kind == "f":
        bad = int((~np.isfinite(value.astype(np.float32))).sum())
        if bad:
            raise ValueError(
                f"net: expected numbers in weight {name!r}, got {bad} NaN or infinite of "
                f"{value.size}; train again"
            )


def _bytes(tensor: TensorProto) -> bytes:
    return bytes(numpy_helper.to_array(tensor).tobytes())


def _shape(tensor: TensorProto) -> str:
    return f"{TensorProto.DataType.Name(tensor.data_type)} {tuple(tensor.dims)}"


def _outline(node: NodeProto) -> bytes:
    """A node without the exporter's notes, which hold line numbers."""
    bare = NodeProto()
    bare.CopyFrom(node)
    del bare.metadata_props[:]
    bare.doc_string = ""
    return bytes(bare.SerializeToString(deterministic=True))


def _few(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
