"""From packages to a repository that Triton loads: tried first, with engines for the card here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from penchant.serving.container.settings import ContainerSettings
from penchant.serving.container.sources import Versioned, find_packages
from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.golden_steps import golden_steps
from penchant.serving.pieces import net_files
from penchant.serving.preflight import preflight
from penchant.serving.repository import Repository
from penchant.serving.targets.choose import make_target
from penchant.serving.targets.fitting_plans import Built, fitting_plans, serving_machine
from penchant.serving.targets.rendering import Target


def prepare(settings: ContainerSettings, say: Callable[[str], None]) -> Repository:
    """Make the repository anew; engines that were built at an earlier start are taken again.

    Every package is tried in a process of its own, and so is every plan, before Triton sees it.

    Args:
        settings: what to serve, and on what.
        say: called with a line for each thing that takes time.

    Raises:
        ValueError: if a package is missing or damaged, does not answer its golden rows, or has no
            engine and none can be built; the message says why.
    """
    repository = Repository(settings.home.model_repository)
    shutil.rmtree(repository.folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        for found in find_packages(settings, Path(temporary)):
            name = f"{found.package.manifest.name} version {found.version}"
            say(f"trying {name}")
            in_steps = settings.target != "cpu"
            preflight(found.package, version=found.version, in_steps=in_steps)
            if settings.target == "tensorrt":
                _build_missing(found, settings, say)
            repository.publish(found.package, version=found.version, target=_target(settings))
            say(f"serving {name} on {settings.target}")
    return repository


def _target(settings: ContainerSettings) -> Target:
    engines = settings.home.engines
    return make_target(settings.target, engines=engines, precision=settings.precision)


def _build_missing(
    found: Versioned, settings: ContainerSettings, say: Callable[[str], None]
) -> None:
    """Build the plans that this machine lacks, and keep those that answer as their nets do."""
    package, version = found.package, found.version
    model = package.manifest.name
    library, device = serving_machine()
    built = Built(settings.home.engines / model / str(version), model, version)
    golden = cache(lambda: golden_steps(package, version))
    with tempfile.TemporaryDirectory() as temporary:
        for step, net in net_files(package, Path(temporary)).items():
            try:
                fitting_plans(
                    built, step, net, library=library, device=device, precision=settings.precision
                )
                continue
            except ValueError as error:
                say(f"building {step} of {model} version {version} for {device.name}: {error}")
            plan = build_engine(
                net,
                contract=package.contract,
                precision=settings.precision,
                package_version=version,
                library=library,
                device=device,
                timing_cache=settings.home.engine_timings,
            )
            golden()[step].check(plan, library)
            plan.save(built.folder / step)
