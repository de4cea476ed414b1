"""Whether a plan may be served on this machine: by its record, then in a throw-away process."""

from __future__ import annotations

import subprocess
import sys
from hashlib import file_digest
from pathlib import Path
from typing import Final

from penchant.serving.engines.device import Device, this_device
from penchant.serving.engines.library import (
    TENSORRT,
    TENSORRT_RTX,
    EngineLibrary,
    find_engine_library,
    import_engine_library,
)
from penchant.serving.engines.logger import BuildLog
from penchant.serving.engines.plan import Plan, PlanRecord
from penchant.serving.preflight import offer_to_end_first

TIMEOUT_S: Final = 300.0
"""Longest time that a plan may take to load."""


def check_plan(
    path: Path,
    *,
    net: Path,
    library: EngineLibrary | None = None,
    device: Device | None = None,
) -> Plan:
    """Open a saved plan and make sure that it is this net's, and this machine's.

    Args:
        path: the plan's record.
        net: the package's net.onnx.
        library: what is to run it; by default the one that is installed.
        device: where it is to run; by default this machine's GPU.

    Raises:
        ValueError: if it is damaged, another net's or another machine's, or does not load; the
            message says why, and holds the command that builds it again.
    """
    plan = Plan.open(path)
    library = library or find_engine_library()
    reason = mismatch(plan.record, net=net, library=library, device=device or this_device())
    if reason is None:
        reason = _try_apart(path.with_name(plan.record.file_name), library)
    if reason is not None:
        raise ValueError(f"plan {path}: {reason}; run: {plan.record.build_command}")
    return plan


def mismatch(
    record: PlanRecord, *, net: Path, library: EngineLibrary, device: Device | None
) -> str | None:
    """Why a plan does not fit the net or the machine: expected and got; None where it does."""
    with net.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if record.net_sha256 != digest:
        return f"expected the plan of {net} ({digest[:16]}…), got that of {record.net_sha256[:16]}…"
    made, here = (record.library, record.library_version), (library.name, library.version)
    if made != here:
        return f"expected a plan of {' '.join(here)}, got one of {' '.join(made)}"
    if device is None:
        return "expected a GPU to serve it on, got none that CUDA finds; see `nvidia-smi`"
    if not record.has_gpu:
        return (
            f"expected a plan for {device.name}, got a rehearsal that was built without a GPU and "
            "shows no more than that the net converts"
        )
    if record.compute_capability != device.compute_capability:
        return (
            f"expected compute capability {device.compute_capability} ({device.name}), got "
            f"{record.compute_capability} ({record.device})"
        )
    return None


def _try_apart(plan: Path, library: EngineLibrary) -> str | None:
    """Load it in a process of its own; why that failed, or None."""
    command = [sys.executable, "-m", "penchant.serving.engines.check_plan", str(plan), library.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"expected it to load in {TIMEOUT_S:g} s, got a process that still tried"
    if done.returncode == 0:
        return None
    words = done.stderr.strip()[-2000:] or f"a process that ended with code {done.returncode}"
    return f"expected an engine that loads in a process of its own, got: {words}"


def load_plan(plan: Path, library: EngineLibrary) -> None:
    """What the throw-away process does.

    Raises:
        ValueError: if the library refuses the plan; the message holds its words.
    """
    log = BuildLog(library)
    runtime = library.module.Runtime(log.logger)
    if runtime is None or runtime.deserialize_cuda_engine(plan.read_bytes()) is None:
        raise ValueError("; ".join(log.errors) or f"{library.name} gave no reason")


if __name__ == "__main__":
    offer_to_end_first()
    try:
        found = import_engine_library(TENSORRT if sys.argv[2] == TENSORRT else TENSORRT_RTX)
        if found is None:
            raise ValueError(f"{sys.argv[2]} is not installed")
        load_plan(Path(sys.argv[1]), found)
    except ValueError as failure:
        sys.exit(str(failure))
