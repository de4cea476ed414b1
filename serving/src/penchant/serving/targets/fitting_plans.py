"""Which of the plans that were built of a net may be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penchant.serving.engines.check_plan import check_plan, mismatch
from penchant.serving.engines.device import Device, this_device
from penchant.serving.engines.library import TENSORRT, EngineLibrary, find_engine_library
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.precision import Precision
from penchant.serving.pieces import StepName


@dataclass(frozen=True)
class Built:
    """Where `penchant build engine` puts the plans of a version."""

    folder: Path
    """Of the version; the plans of each step lie in a folder of its name."""
    model: str
    """Name of the registered model."""
    version: int
    """Its version in the registry."""

    @property
    def command(self) -> str:
        """What builds them."""
        return f"penchant build engine --model {self.model} --version {self.version}"


def serving_machine() -> tuple[EngineLibrary, Device]:
    """TensorRT and the GPU that plans are to run on here.

    Raises:
        ValueError: if one of them is missing; the message says how to get it.
    """
    library, device = find_engine_library(), this_device()
    if library.name != TENSORRT:
        raise ValueError(
            f"tensorrt: expected the library whose plans Triton runs, got {library.name} alone; "
            "run: pip install 'penchant[gpu]'"
        )
    if device is None:
        raise ValueError(
            "tensorrt: expected a GPU to serve on, got none that CUDA finds; see `nvidia-smi`, or "
            "publish with --target cpu"
        )
    return library, device


def fitting_plans(
    built: Built,
    step: StepName,
    net: Path,
    *,
    library: EngineLibrary,
    device: Device,
    precision: Precision | None = None,
) -> list[Plan]:
    """The plan for this machine, first, and those for other cards that can stand beside it.

    Args:
        built: where the version's plans are.
        step: whose plans.
        net: the graph that they have to be built of.
        library: what is to run them.
        device: where they are to run.
        precision: which plans to take; by default those that were built last.

    Raises:
        ValueError: if none fits this machine; the message says why, and holds the command that
            builds one.
    """
    folder = built.folder / step
    pattern = f"*-{precision}-*.json" if precision else "*.json"
    records = sorted(folder.glob(pattern), key=lambda path: -path.stat().st_mtime_ns)
    problems = []
    for path in records:
        try:
            own = check_plan(path, net=net, library=library, device=device)
        except ValueError as error:
            problems.append(str(error))
        else:
            return [own, *_others(records, own, net=net, library=library, device=device)]
    reason = "; ".join(problems) or f"got none; run: {built.command}"
    raise ValueError(
        f"tensorrt: expected a plan in {folder} for {device.name} (compute capability "
        f"{device.compute_capability}) and TensorRT {library.version}: {reason}"
    )


def _others(
    records: Sequence[Path], own: Plan, *, net: Path, library: EngineLibrary, device: Device
) -> list[Plan]:
    """Plans for other cards: of the same net and library, and to be run in the same way."""
    found = {own.record.compute_capability: own}
    for path in records:
        try:
            plan = Plan.open(path)
        except ValueError:
            continue  # Damaged, and not this machine's: whoever has that card is told.
        there = replace(device, compute_capability=plan.record.compute_capability)
        if _is_alike(plan, own) and not mismatch(
            plan.record, net=net, library=library, device=there
        ):
            found.setdefault(plan.record.compute_capability, plan)
    return list(found.values())[1:]


def _is_alike(plan: Plan, own: Plan) -> bool:
    """Whether one config can say how both are run."""
    other, record = plan.record, own.record
    return (other.precision, other.profiles, other.graph_batches) == (
        record.precision,
        record.profiles,
        record.graph_batches,
    )
