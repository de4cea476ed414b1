"""Builds an engine of a package's net, for the GPU that is here.

One code path for TensorRT 10.12 and later, TensorRT 11 and TensorRT-RTX: networks are strongly
typed, and precision is written into the graph before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from penchant.clients.wire_contract import WireContract
from penchant.serving.engines.device import Device, this_device
from penchant.serving.engines.library import EngineLibrary, find_engine_library
from penchant.serving.engines.logger import BuildLog
from penchant.serving.engines.memory import in_gib, memory_need
from penchant.serving.engines.parser import parse
from penchant.serving.engines.plan import Plan, PlanRecord
from penchant.serving.engines.precision import Precision, convert, has_tf32
from penchant.serving.engines.profiles import BatchProfile, batch_profiles, graph_batches
from penchant.serving.engines.timing_cache import TimingCache

WRONG_REFITS: Final = frozenset({"11.3.0"})
"""Releases of TensorRT that lose biases of engines built to be refitted, by their own notes."""


@dataclass(frozen=True, kw_only=True)
class _Machine:
    library: EngineLibrary
    device: Device | None


def build_engine(
    net: Path,
    *,
    contract: WireContract,
    precision: Precision = "fp32",
    package_version: int = 0,
    refittable: bool = False,
    library: EngineLibrary | None = None,
    device: Device | None = None,
    timing_cache: Path | None = None,
) -> Plan:
    """Build a plan of ``net.onnx``.

    With TensorRT-RTX on a machine without a GPU it is a rehearsal, which shows that the net
    converts and how large the plan is; nothing serves it.

    Args:
        net: the package's net.onnx.
        contract: the package's contract, for the batches that it allows.
        precision: what products are computed in.
        package_version: version of the package in the registry, for the record.
        refittable: whether later weights can be put into the engine; may make it slower.
        library: what builds; by default the one that is installed.
        device: what it is built for; by default this machine's GPU.
        timing_cache: folder with the timings of earlier builds on this GPU.

    Raises:
        ValueError: if there is no library or no GPU that it needs, too little GPU memory, or the
            net does not convert; the message says what is wrong and what to do.
    """
    machine = _Machine(library=library or find_engine_library(), device=device or this_device())
    _check_machine(machine, refittable=refittable)
    model, digest = read_net(net)
    profiles = batch_profiles(contract)
    model = convert(model, precision)
    _check_memory(model, contract.max_batch_size, machine)
    log = BuildLog(machine.library)
    start = time.perf_counter()
    flags = ("REFIT",) * refittable + ("TF32",) * has_tf32(precision)
    content, notes = _build(model, profiles, flags, machine, log, timing_cache)
    record = PlanRecord(
        model=contract.model,
        package_version=package_version,
        library=machine.library.name,
        library_version=machine.library.version,
        device=machine.device.name if machine.device else "",
        compute_capability=machine.device.compute_capability if machine.device else "",
        driver=machine.device.driver if machine.device else "",
        precision=precision,
        profiles=profiles,
        graph_batches=graph_batches(contract),
        build_s=round(time.perf_counter() - start, 3),
        net_sha256=digest,
        sha256=sha256(content).hexdigest(),
        size_bytes=len(content),
        refittable=refittable,
    )
    return Plan(record, content, notes)


def read_net(net: Path) -> tuple[onnx.ModelProto, str]:
    """A net and its file's SHA-256.

    Raises:
        ValueError: if there is no such file, it is no ONNX graph, or a weight is NaN.
    """
    try:
        content = net.read_bytes()
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise DecodeError("a graph without nodes")
    except (OSError, DecodeError) as error:
        raise ValueError(
            f"net: expected the net.onnx of a package, got {type(error).__name__} ({error}) for "
            f"{net}; name that of a sealed package, or train again"
        ) from error
    _check_weights(model.graph)
    return model, sha256(content).hexdigest()


def _check_weights(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            bad = int(np.isnan(value).sum())
            if bad:
                raise ValueError(
                    f"net: expected numbers in weight {tensor.name!r}, got {bad} NaN of "
                    f"{value.size}; train again"
                )


def can_refit(library: EngineLibrary, device: Device | None) -> bool:
    """Whether engines that are built here can be refitted: on a GPU, by a release that does it."""
    return device is not None and library.version not in WRONG_REFITS


def _check_machine(machine: _Machine, *, refittable: bool) -> None:
    name, version = machine.library.name, machine.library.version
    if machine.device is None and machine.library.needs_gpu:
        raise ValueError(
            f"{name} {version}: expected a GPU to build on, got none that CUDA finds (see "
            "`nvidia-smi`); build on the machine that is to serve, or run: pip uninstall tensorrt "
            "&& pip install tensorrt-rtx-cu13, to try here whether the net converts"
        )
    if refittable and machine.device is None:
        raise ValueError(
            f"refittable: expected a GPU, got none: {name} does not build such engines without "
            "one; leave it out for a rehearsal"
        )
    if refittable and version in WRONG_REFITS:
        raise ValueError(
            f"refittable: expected a TensorRT other than {version}, whose refittable engines drop "
            "biases by its own release notes; run: pip install --upgrade 'penchant[gpu]'"
        )


def _check_memory(model: onnx.ModelProto, max_rows: int, machine: _Machine) -> None:
    need = memory_need(model, max_rows)
    if machine.device is None or need.total <= machine.device.free_bytes:
        return
    raise ValueError(
        f"GPU memory: expected up to {need} free for batches of {max_rows} rows, got "
        f"{in_gib(machine.device.free_bytes)} of {in_gib(machine.device.memory_bytes)} on "
        f"{machine.device.name}; end what else runs there, lower the recipe's max_batch_size, or "
        "take a larger GPU"
    )


def _build(
    model: onnx.ModelProto,
    profiles: tuple[BatchProfile, ...],
    flags: tuple[str, ...],
    machine: _Machine,
    log: BuildLog,
    timing_cache: Path | None,
) -> tuple[bytes, tuple[str, ...]]:
    """The plan, and what is worth knowing of its build."""
    module = machine.library.module
    builder = module.Builder(log.logger)
    network = builder.create_network(_creation_flags(module))
    parser = parse(model, network, machine.library, log)
    config = builder.create_builder_config()
    config.clear_flag(module.BuilderFlag.TF32)
    for flag in flags:
        config.set_flag(getattr(module.BuilderFlag, flag))
    for profile in profiles:
        config.add_optimization_profile(_profile(builder, network, profile))
    cache, trouble = None, None
    if machine.device is not None:
        _build_for_this_gpu(config, module)
        if timing_cache is not None:
            cache = TimingCache(timing_cache, machine.library, machine.device, flags)
            trouble = cache.attach(config)
    engine = builder.build_serialized_network(network, config)
    del parser
    if engine is None:
        raise ValueError(
            f"{machine.library.name} {machine.library.version} built no engine: "
            f"{'; '.join(log.errors) or 'it gave no reason'}; if memory ran out, end what else "
            "runs on the GPU, or lower the recipe's max_batch_size"
        )
    if cache is not None:
        cache.keep(config)
    return bytes(engine), (*([trouble] if trouble else []), *log.warnings)


def _creation_flags(module: Any) -> int:
    """Strongly typed, by its flag where the library has other networks too."""
    flag = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _build_for_this_gpu(config: Any, module: Any) -> None:
    """TensorRT-RTX would build for a list of GPUs; TensorRT knows no other than this one."""
    if hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = 1
        config.set_compute_capability(module.ComputeCapability.CURRENT, 0)


def _profile(builder: Any, network: Any, batch: BatchProfile) -> Any:
    profile = builder.create_optimization_profile()
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        row = tuple(tensor.shape)[1:]
        sizes = (batch.min_rows, batch.opt_rows, batch.max_rows)
        profile.set_shape(tensor.name, *((rows, *row) for rows in sizes))
    return profile
