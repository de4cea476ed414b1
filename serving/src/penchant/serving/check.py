"""What serving needs on this machine, and what of it is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penchant.serving.model_config import default_instances
from penchant.serving.process import free_port
from penchant.serving.repository import Repository
from penchant.serving.tritonserver import (
    INSTALL_REMEDY,
    PYTHON_VERSION,
    SECRET_NOTE,
    SHM_DEFAULT_BYTES,
    STUB_NUMPY,
    STUB_NUMPY_SHA256,
    TritonServer,
    find_tritonserver,
    libpython,
)

MIN_GLIBC: Final = (2, 35)
"""What the wheel's binaries are linked against."""
_PORTS: Final = {"grpc_port": "gRPC", "metrics_port": "metrics"}


@dataclass(frozen=True)
class Finding:
    """One thing that serving needs."""

    name: str
    """What it is."""
    found: str
    """What is there."""
    remedy: str | None = None
    """What to do; None where nothing is missing."""


def min_shm_bytes() -> int:
    """Room for a model's processes, before and after a reload."""
    return 2 * default_instances() * SHM_DEFAULT_BYTES


def check_serving(repository: Repository, *, ports: Mapping[str, int], console: Console) -> int:
    """Print what is there and what is missing, and who has to be kept out.

    Args:
        repository: the models to serve.
        ports: port by option of the verb, 0 for any free one.
        console: where to print.

    Returns:
        Exit code: 0 where nothing is missing.
    """
    findings = list(find_missing(repository, ports=ports))
    table = Table("", "needed", "found", "what to do", box=None)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.remedy is None else "[red]missing[/red]"
        # As text: rich would take the brackets of an extra for markup.
        table.add_row(mark, *map(Text, (finding.name, finding.found, finding.remedy or "")))
    console.print(table)
    console.print(Text(f"Note: {SECRET_NOTE}"))
    return int(any(finding.remedy for finding in findings))


def find_missing(repository: Repository, *, ports: Mapping[str, int]) -> list[Finding]:
    """Look at everything that serving needs, without starting anything."""
    findings = []
    try:
        server = find_tritonserver()
        findings.append(Finding("tritonserver", str(server.executable)))
        findings += _stub_findings(server)
    except ValueError:
        findings.append(Finding("tritonserver", "none", INSTALL_REMEDY))
    findings += [_onnxruntime(), _shared_memory()]
    findings += [_port(option, port) for option, port in ports.items()]
    findings.append(_models(repository))
    return findings


def _stub_findings(server: TritonServer) -> list[Finding]:
    if server.stub is None:
        return []
    stub = f"Python backend for Python {PYTHON_VERSION}"
    usable = " or ".join(STUB_NUMPY_SHA256)
    other = f"use Python {usable}, or the tritonserver of Triton's container"
    findings = [
        Finding(stub, str(server.stub)) if server.stub.is_file() else Finding(stub, "none", other)
    ]
    numpy = server.stub_packages / "numpy" if server.stub_packages else None
    if numpy is None or not numpy.is_dir():
        findings.append(Finding(f"{STUB_NUMPY} for the backend", "none", INSTALL_REMEDY))
    else:
        findings.append(Finding(f"{STUB_NUMPY} for the backend", str(numpy)))
    library = libpython()
    remedy = f"install this Python's shared library (Debian: libpython{PYTHON_VERSION})"
    findings.append(
        Finding("libpython", str(library)) if library else Finding("libpython", "none", remedy)
    )
    return [*findings, _glibc()]


def _glibc() -> Finding:
    name = f"glibc {MIN_GLIBC[0]}.{MIN_GLIBC[1]}"
    library, version = platform.libc_ver()
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if library == "glibc" and parts >= MIN_GLIBC:
        return Finding(name, version)
    return Finding(name, f"{library} {version}".strip() or "none", "use a newer Linux")


def _onnxruntime() -> Finding:
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return Finding("onnxruntime", "none", "pip install 'penchant[serving]'")
    return Finding("onnxruntime", str(Path(spec.origin).parent))


def _shared_memory() -> Finding:
    needed = min_shm_bytes()
    name = f"{needed >> 20} MB of /dev/shm"
    try:
        status = os.statvfs("/dev/shm")
    except OSError as error:
        return Finding(name, str(error), "mount a tmpfs at /dev/shm")
    free = status.f_bavail * status.f_frsize
    remedy = None if free >= needed else "free some, or enlarge it (docker run --shm-size)"
    return Finding(name, f"{free >> 20} MB", remedy)


def _port(option: str, port: int) -> Finding:
    name = f"a free port for {_PORTS[option]}"
    try:
        return Finding(name, str(free_port(port, option)))
    except ValueError:
        remedy = f"stop what listens there, or choose another with --{option}"
        return Finding(name, f"{port} is taken", remedy)


def _models(repository: Repository) -> Finding:
    models = repository.models()
    if models:
        return Finding("a published model", ", ".join(models))
    remedy = "penchant train propensity or journeys, then penchant publish"
    return Finding("a published model", f"none in {repository.folder}", remedy)
