"""Section: write the nets that are timed, and train the small models that are compared.

Nothing is measured here but how long it takes; what is written, later sections read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from penchant.perf.gpu_check.processes import run_training
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings

BENCHMARKS = "penchant.training.benchmarks"


def rows(settings: Settings) -> Iterator[Row]:
    """A row for each of the two."""
    sizes = {
        "folder": settings.nets,
        "num_items": json.dumps(settings.num_items),
        "k": settings.k,
        "width": settings.width,
        "window": settings.window,
        "num_rows": max(settings.batch_sizes),
    }
    yield _written("nets", f"{BENCHMARKS}.bare_nets", sizes)
    choice = {
        "folder": settings.models,
        "small": str(settings.is_dry).lower(),
        "device": settings.device,
    }
    yield _written("small models", f"{BENCHMARKS}.trained_models", choice)


def _written(what: str, module: str, options: dict[str, object]) -> Row:
    started = time.perf_counter()
    arguments = [f"--{name}={value}" for name, value in options.items()]
    for _ in run_training(module, arguments):
        pass
    return {"what": what, "seconds": time.perf_counter() - started}
