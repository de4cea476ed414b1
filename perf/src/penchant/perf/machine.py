"""The machine and the versions that a measurement is only valid with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something was measured."""

    cpu: str
    """Name of the processor."""
    cores: int
    """Cores that this process may use."""
    load_average: float
    """Runnable processes over the last minute, before the measurement began."""
    system: str
    """Kernel and C library."""
    python: str
    """Version of Python."""
    penchant: str
    """Version of penchant."""
    onnxruntime: str
    """Version of ONNX Runtime."""

    @property
    def is_busy(self) -> bool:
        """Whether something else used the machine, so that only ratios can be trusted."""
        return self.load_average > 0.5 * self.cores


def this_machine() -> Machine:
    """Describe the machine that this runs on."""
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        load_average=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        python=platform.python_version(),
        penchant=metadata.version("penchant"),
        onnxruntime=metadata.version("onnxruntime"),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
