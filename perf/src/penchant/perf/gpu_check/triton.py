"""Section: the small models behind a real Triton, asked over gRPC on this machine.

With the engines of the tensorrt target where Triton is one that has its backend and TensorRT is
there; else with the cpu target, and the reason. A lone caller asks again as soon as it has the
answer, with golden rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from penchant.perf.gpu_check.cases import SmallModel, small_models
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings
from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.library import TENSORRT, import_engine_library
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import net_files
from penchant.serving.repository import Repository
from penchant.serving.supervisor import running_server
from penchant.serving.targets.tensorrt import TensorRTTarget
from penchant.serving.tritonserver import find_tritonserver

VERSION: Final = 1
BATCHES: Final = (1, 64)
LEAST_CALLS: Final = 20


def rows(settings: Settings) -> Iterator[Row]:
    """A row a model and size of request."""
    folder = settings.folder / "triton"
    repository = Repository(folder / "model_repository")
    try:
        triton = find_tritonserver()
    except ValueError as error:
        yield {"not run": str(error)}
        return
    models = small_models(settings)
    for model in models:
        yield {"model": model.kind} | _publish(
            model, repository, folder / "engines", backends=triton.backends
        )
    with (
        running_server(repository.folder) as server,
        InferenceServerClient(server.address) as client,
    ):
        for model in models:
            for size in BATCHES:
                if size <= model.package.contract.max_batch_size:
                    yield _asked(client, model, size, settings) | {"triton": server.version}


def _publish(model: SmallModel, repository: Repository, engines: Path, *, backends: Path) -> Row:
    """Publish on the GPU, or on the CPU with the reason."""
    try:
        require_backend(backends)
        _build(model.package, engines)
        target = TensorRTTarget(engines=engines)
        repository.publish(model.package, version=VERSION, target=target)
    except ValueError as error:
        repository.publish(model.package, version=VERSION)
        return {"target": "cpu", "because": str(error)[:300]}
    return {"target": "tensorrt"}


def require_backend(backends: Path) -> None:
    """Refuse a Triton that cannot run engines, as the one that installs without a container.

    Raises:
        ValueError: Naming where its backend is not.
    """
    if not (backends / "tensorrt").is_dir():
        raise ValueError(f"Triton: expected one with the tensorrt backend, got none in {backends}")


def _build(package: ModelPackage, engines: Path) -> None:
    if import_engine_library(TENSORRT) is None:
        raise ValueError("tensorrt is not installed")
    home = engines / package.manifest.name / str(VERSION)
    parts = engines / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    for step, net in net_files(package, parts).items():
        plan = build_engine(net, contract=package.contract, package_version=VERSION)
        plan.save(home / step)


def _asked(client: InferenceServerClient, model: SmallModel, size: int, settings: Settings) -> Row:
    contract = model.package.contract
    inputs = _inputs(model, size)
    outputs = [InferRequestedOutput(name) for name in contract.score_outputs]
    times_us: list[float] = []
    started = time.perf_counter()
    while len(times_us) < LEAST_CALLS or time.perf_counter() - started < 5 * settings.measure_s:
        before = time.perf_counter()
        client.infer(contract.model, inputs, outputs=outputs)
        times_us.append((time.perf_counter() - before) * 1e6)
    p50_us, p99_us = np.percentile(times_us, [50, 99], method="higher")
    row: Row = {
        "model": model.kind,
        "batch": size,
        "p50_us": float(p50_us),
        "p99_us": float(p99_us),
    }
    return row | {"rows_per_s": size * len(times_us) / (sum(times_us) / 1e6)}


def _inputs(model: SmallModel, size: int) -> list[InferInput]:
    golden = model.package.golden()
    place = np.arange(size) % golden.num_rows
    found = []
    for spec in model.package.contract.inputs:
        value = golden.inputs[spec.name][place]
        given = InferInput(spec.name, list(value.shape), spec.dtype)
        given.set_data_from_numpy(value.astype(object) if spec.dtype == "BYTES" else value)
        found.append(given)
    return found
