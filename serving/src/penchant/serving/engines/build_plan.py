"""``penchant build engine``: build the engines that serve a registered version on this GPU."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from penchant.clients.home import Home
from penchant.serving.engines.builder import build_engine, can_refit
from penchant.serving.engines.device import Device, this_device
from penchant.serving.engines.golden_steps import GoldenStep, golden_steps
from penchant.serving.engines.library import EngineLibrary, find_engine_library
from penchant.serving.engines.plan import Plan, plan_key
from penchant.serving.engines.precision import Precision
from penchant.serving.engines.refit import Retrain, refit_or_build
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import StepName, net_files
from penchant.serving.registry import Registry
from penchant.serving.rollout.roles import check_name
from penchant.serving.tracking_uri import masked

MEGABYTE: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be built, of which version, where."""

    registry: Registry
    model: str
    version: int
    precision: Precision
    refit: bool
    engines: Path
    """Folder with the model's plans, by version and step."""
    timings: Path
    library: EngineLibrary
    device: Device | None


def build_plan(
    model: str = "propensity",
    *,
    version: int | None = None,
    precision: Precision = "fp32",
    refit: bool = False,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
) -> str:
    """Build what serves a registered version on this machine's GPU, and check its answers.

    Without a GPU, TensorRT-RTX rehearses it: that shows whether the net converts, and nothing more.
    What was built before stays until the new plan is whole and answers as the net does.

    Args:
        model: registered model.
        version: version in the registry; by default the newest.
        precision: fp32; tf32, faster with 10 bits of mantissa in products; fp16 or bf16, whose
            products have half the bits while logits, softmax and calibration stay in fp32.
        refit: put the weights into the engine of another version where shapes are the same, which
            is faster than to build one; what is built can be refitted later.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.

    Returns:
        What was built, for what, in how many seconds and how large.

    Raises:
        ValueError: if there is no such version, no library or GPU to build with, the net does not
            convert, or the engine's answers are not the net's.
    """
    check_name(model)
    folders, library = Home(home), find_engine_library()
    with Console(stderr=True).status(f"building {model}"):
        registry = Registry(folders, tracking_uri).connect()
        chosen = registry.newest(model) if version is None else version
        if chosen is None:
            raise ValueError(
                f"model: expected a registered model, got {model!r}, of which there is no version "
                f"in {masked(registry.tracking_uri)}; `penchant train propensity` or `penchant "
                "train journeys` registers one"
            )
        order = _Order(
            registry=registry,
            model=model,
            version=chosen,
            precision=precision,
            refit=refit,
            engines=folders.engines / model,
            timings=folders.engine_timings,
            library=library,
            device=this_device(),
        )
        return "\n".join(_build_all(order))


def _build_all(order: _Order) -> list[str]:
    """Build each step of the version that runs on a GPU; a line or more of each."""
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        package = order.registry.fetch(order.model, order.version, folder)
        golden = golden_steps(package, order.version) if order.device else {}
        for step, net in net_files(package, folder).items():
            check = partial(_check, order.library, golden.get(step))
            plan = _built(order, package, step, net, folder, check)
            path = plan.save(order.engines / str(order.version) / step)
            lines.append(_told(plan, step, path))
    return lines


def _built(
    order: _Order,
    package: ModelPackage,
    step: StepName,
    net: Path,
    folder: Path,
    check: partial[None],
) -> Plan:
    earlier = _earlier(order, step) if order.refit else None
    if earlier is not None:
        old_version = earlier.record.package_version
        retrain = Retrain(
            old_net=_net_of(order, old_version, step, folder),
            net=net,
            contract=package.contract,
            package_version=order.version,
            library=order.library,
            device=order.device,
            check=check,
        )
        plan = refit_or_build(earlier, retrain, timing_cache=order.timings)
        if plan.notes:
            return plan
        return replace(plan, notes=(f"refitted from version {old_version}",))
    plan = build_engine(
        net,
        contract=package.contract,
        precision=order.precision,
        package_version=order.version,
        refittable=order.refit and can_refit(order.library, order.device),
        library=order.library,
        device=order.device,
        timing_cache=order.timings,
    )
    check(plan)
    return plan


def _earlier(order: _Order, step: StepName) -> Plan | None:
    """The newest other version's plan of this machine that can be refitted."""
    name = f"{plan_key(order.library, order.precision, order.device)}.json"
    paths = sorted(order.engines.glob(f"*/{step}/{name}"), key=lambda path: -int(path.parts[-3]))
    for path in paths:
        if path.parts[-3] == str(order.version):
            continue
        try:
            plan = Plan.open(path)
        except ValueError:
            continue  # Damaged; whoever serves it is told.
        if plan.record.refittable:
            return plan
    return None


def _net_of(order: _Order, version: int, step: StepName, folder: Path) -> Path:
    """The graph that another version's plan was built of."""
    parts = folder / str(version)
    parts.mkdir(exist_ok=True)
    destination = folder / f"{order.model}-{version}"
    if destination.exists():
        package = ModelPackage.open(destination)
    else:
        package = order.registry.fetch(order.model, version, folder)
    return net_files(package, parts)[step]


def _check(library: EngineLibrary, golden: GoldenStep | None, plan: Plan) -> None:
    """Have the engine answer the golden rows; nothing to do without a GPU."""
    if golden is not None:
        golden.check(plan, library)


def _told(plan: Plan, step: StepName, path: Path) -> str:
    record = plan.record
    target = (
        f"{record.device} (compute capability {record.compute_capability})"
        if record.has_gpu
        else "no GPU: a rehearsal, which shows that the net converts and cannot be served"
    )
    line = (
        f"built {step} of {record.model} version {record.package_version} in {record.precision} "
        f"with {record.library} {record.library_version} for {target}: {record.build_s:.1f} s, "
        f"{record.size_bytes / MEGABYTE:.1f} MB, {path}"
    )
    return "\n".join([line, *(f"  {note}" for note in plan.notes)])
