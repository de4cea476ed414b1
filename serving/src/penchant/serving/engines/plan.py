"""A plan: an engine as bytes, with the record that says for what machine it was built.

TensorRT loads a plan only where the library, its version and the GPU are those that it was built
with, and has been seen to crash on others. So the record is held against the machine first, and
the plan is then loaded in a throw-away process, before anything served sees it.

    <folder>/<library>-<version>-<precision>-sm90.json              the record; the commit point
    <folder>/<library>-<version>-<precision>-sm90-<digest>.plan     the plan that it speaks of
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from penchant.serving.durable import exclusive, sync_folder, write_durably
from penchant.serving.engines.device import Device
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.precision import Precision
from penchant.serving.engines.profiles import BatchProfile

LOCK_TIMEOUT_S: Final = 60.0
"""Longest time that another process may take to write into the same folder."""


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """What a plan was built from, with what, and for which machine."""

    model: str
    """Public model name."""
    package_version: int
    """Version of the package in the registry; 0 for one that is not registered."""
    library: str
    """``tensorrt`` or ``tensorrt_rtx``."""
    library_version: str
    """That library's version."""
    device: str
    """The GPU's name; empty where the plan was built without one."""
    compute_capability: str
    """The GPU's, such as ``9.0``; empty where the plan was built without a GPU."""
    driver: str
    """Version of the GPU's driver; empty without one."""
    precision: Precision
    """What the net's products are computed in."""
    profiles: tuple[BatchProfile, ...]
    """Batches that it takes."""
    graph_batches: tuple[int, ...]
    """Batch sizes to capture as CUDA graphs."""
    build_s: float
    """Seconds that the build took."""
    net_sha256: str
    """SHA-256 of the package's net.onnx."""
    sha256: str
    """SHA-256 of the plan."""
    size_bytes: int
    """Bytes of the plan."""
    refittable: bool
    """Whether it takes the weights of a net of the same shape."""

    @property
    def key(self) -> str:
        """What tells it from the package's other plans, as part of a file's name."""
        return _key(self.library, self.library_version, self.precision, self.compute_capability)

    @property
    def has_gpu(self) -> bool:
        """Whether it was built on a machine with a GPU, for that GPU."""
        return bool(self.compute_capability)

    @property
    def file_name(self) -> str:
        """Name of the plan's file."""
        return f"{self.key}-{self.sha256[:16]}.plan"

    @property
    def build_command(self) -> str:
        """What builds it anew on the machine that is to serve it."""
        return (
            f"penchant build engine --model {self.model} --version {self.package_version} "
            f"--precision {self.precision}"
        )

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> PlanRecord:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: if the text is no record.
        """
        try:
            body: dict[str, Any] = json.loads(text)
            known = {each.name: body[each.name] for each in fields(cls)}
            known["profiles"] = tuple(BatchProfile(**each) for each in known["profiles"])
            known["graph_batches"] = tuple(known["graph_batches"])
            return cls(**known)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"plan record: expected the JSON object that `penchant build engine` writes, got "
                f"{text[:80]!r} ({type(error).__name__}: {error}); build the engine again"
            ) from error


@dataclass(frozen=True)
class Plan:
    """An engine as bytes, with its record."""

    record: PlanRecord
    content: bytes
    notes: tuple[str, ...] = ()
    """What the build warned of."""

    def save(self, folder: Path) -> Path:
        """Write plan and record; an earlier plan of the same key stays until this one is whole.

        Returns:
            The record's path.

        Raises:
            ValueError: if another process writes there for too long.
            OSError: if the disk does not take it; what was there before stays.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.record.key}.json"
        with exclusive(folder / ".lock", timeout_s=LOCK_TIMEOUT_S):
            _replace(folder / self.record.file_name, self.content)
            _replace(path, self.record.to_json().encode())
            sync_folder(folder)
            for old in folder.glob(f"{self.record.key}-*.plan"):
                if old.name != self.record.file_name:
                    old.unlink()
        return path

    @classmethod
    def open(cls, path: Path) -> Plan:
        """Read a saved plan by its record's path.

        Raises:
            ValueError: if the record or the plan is missing or damaged; the message holds the
                command that builds it again.
        """
        try:
            record = PlanRecord.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"plan {path}: expected a readable record, got {type(error).__name__}; "
                "`penchant build engine` writes one"
            ) from error
        plan = path.with_name(record.file_name)
        try:
            content = plan.read_bytes()
        except OSError as error:
            raise ValueError(
                f"plan {plan}: expected the plan of {path.name}, got {type(error).__name__}; run: "
                f"{record.build_command}"
            ) from error
        if sha256(content).hexdigest() != record.sha256:
            raise ValueError(
                f"plan {plan}: expected {record.size_bytes} bytes with SHA-256 "
                f"{record.sha256[:16]}…, got {len(content)} others: it is damaged; run: "
                f"{record.build_command}"
            )
        return cls(record, content)


def plan_key(library: EngineLibrary, precision: Precision, device: Device | None) -> str:
    """:attr:`PlanRecord.key` of what a library builds here."""
    capability = device.compute_capability if device else ""
    return _key(library.name, library.version, precision, capability)


def _key(library: str, version: str, precision: str, compute_capability: str) -> str:
    target = f"sm{compute_capability.replace('.', '')}" if compute_capability else "no_gpu"
    return f"{library}-{version}-{precision}-{target}"


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        write_durably(partial, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
