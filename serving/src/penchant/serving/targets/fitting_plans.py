"""Which of the plans that were built of a net may be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from penchant.serving.engines.check_plan import check_plan, mismatch
from penchant.serving.engines.device import Device, this_device
from penchant.serving.engines.library import TENSORRT, EngineLibrary, find_engine_library
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.precision import Precision


def fitting_plans(
    folder: Path,
    *,
    net: Path,
    model: str,
    version: int,
    precision: Precision,
    library: EngineLibrary | None = None,
    device: Device | None = None,
) -> list[Plan]:
    """The plan for this machine, first, and those for other cards that can stand beside it.

    Args:
        folder: where the plans of the net lie.
        net: the graph that they have to be built of.
        model: public model name.
        version: the package's version.
        precision: which plans to take.
        library: what is to run them; by default the one that is installed.
        device: where they are to run; by default this machine's GPU.

    Raises:
        ValueError: if none fits this machine; the message says why, and holds the command that
            builds one.
    """
    library = library or find_engine_library()
    if library.name != TENSORRT:
        raise ValueError(
            f"tensorrt: expected the library that Triton runs plans with, got {library.name} "
            "alone; run: pip install 'penchant[gpu]'"
        )
    device = device or this_device()
    build = f"penchant build engine --model {model} --version {version} --precision {precision}"
    if device is None:
        raise ValueError(
            "tensorrt: expected a GPU to serve on, got none that CUDA finds; see `nvidia-smi`, or "
            "publish with --target cpu"
        )
    own, problems = None, []
    records = sorted(folder.glob(f"*-{precision}-*.json"))
    for path in records:
        try:
            own = check_plan(path, net=net, library=library, device=device)
            break
        except ValueError as error:
            problems.append(str(error))
    if own is None:
        reason = "; ".join(problems) or f"got none; run: {build}"
        raise ValueError(
            f"tensorrt: expected a plan in {folder} for {device.name} (compute capability "
            f"{device.compute_capability}) and TensorRT {library.version}: {reason}"
        )
    return [own, *_others(records, own, net=net, library=library, device=device)]


def _others(
    records: Sequence[Path], own: Plan, *, net: Path, library: EngineLibrary, device: Device
) -> list[Plan]:
    """Plans for other cards: of the same net and library, and to be run in the same way."""
    found: dict[str, Plan] = {}
    for path in records:
        try:
            plan = Plan.open(path)
        except ValueError:
            continue  # Damaged, and not this machine's: whoever has that card is told.
        record = plan.record
        there = replace(device, compute_capability=record.compute_capability)
        is_alike = (record.profiles, record.graph_batches) == (
            own.record.profiles,
            own.record.graph_batches,
        )
        if is_alike and mismatch(record, net=net, library=library, device=there) is None:
            found.setdefault(record.compute_capability, plan)
    found.pop(own.record.compute_capability, None)
    return list(found.values())
