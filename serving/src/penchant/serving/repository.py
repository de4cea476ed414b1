"""Triton's model repository: new versions appear whole or not at all.

<repository>/<model>/config.pbtxt     names the one version N that is served; replaced last
<repository>/<model>/<N>/…            model.py, model.onnx, score.onnx, manifest.json, golden.npz
<repository>/<model>/warmup/<N>/…     a golden row as raw tensors
<repository>.staging/                 beside it: Triton takes every folder inside for a model
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CONTRACT_PARAMETER, SCORE_OUTPUTS, Contract
from penchant.serving.fuse import fuse, score_only
from penchant.serving.golden import GoldenRows, read_golden
from penchant.serving.model_config import (
    VERSION_PARAMETER,
    WARMUP_FOLDER,
    CpuTarget,
    config_pbtxt,
    warmup_tensors,
)
from penchant.serving.package import GOLDEN, MANIFEST, ModelPackage

CONFIG: Final = "config.pbtxt"
FULL_GRAPH: Final = "model.onnx"
SCORE_GRAPH: Final = "score.onnx"
KEPT_VERSIONS: Final = 3
"""Versions whose files stay, the served one included."""
LOCK_TIMEOUT_S: Final = 60.0
"""Seconds to wait for another publisher."""

_RUNNER: Final = Path(__file__).with_name("runner.py")
_STEP_NS: Final = 1_000_000_000
_VERSION_FOLDER: Final = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What ``config.pbtxt`` says is served."""

    name: str
    """Public model name."""
    number: int
    """Triton's version number N."""
    package_version: int
    """The package's version, which every answer carries."""
    outputs: tuple[str, ...]
    """Names of the outputs that it offers."""
    contract: Contract
    """Its wire contract."""
    folder: Path
    """Folder of version N."""

    def graph(self, outputs: Collection[str]) -> Path:
        """The graph that computes these outputs, as the runner chooses it."""
        return self.folder / (SCORE_GRAPH if set(outputs) <= set(SCORE_OUTPUTS) else FULL_GRAPH)

    def golden(self) -> GoldenRows:
        """The package's golden rows."""
        return read_golden(self.folder / GOLDEN, self.contract)


class Repository:
    """The folder that Triton loads models from."""

    def __init__(
        self,
        folder: Path,
        *,
        target: CpuTarget | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is created yet.

        Args:
            folder: the repository.
            target: how published models are to run.
            on_step: called with the name of each step of a publication before it is done.
        """
        self.folder = folder
        self.target = target
        self._on_step = on_step or _pass_over

    @property
    def staging(self) -> Path:
        """Folder beside the repository, on the same file system, where versions are made."""
        return self.folder.with_name(self.folder.name + ".staging")

    def models(self) -> list[str]:
        """Names of the models that have a config, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{CONFIG}"))

    def num_processes(self, model: str) -> int:
        """Python processes that serve the model, whoever wrote its config.

        Raises:
            ValueError: if the config cannot be read.
        """
        config = self._config(model)
        if config.backend != "python":
            return 0
        return sum(max(group.count, 1) for group in config.instance_group) or 1

    def is_published(self, model: str) -> bool:
        """Whether penchant wrote the model's config, rather than somebody else."""
        path = self.folder / model / CONFIG
        return path.is_file() and f'"{VERSION_PARAMETER}"' in path.read_text(encoding="utf-8")

    def stamp(self, model: str) -> tuple[int, int] | None:
        """Changes whenever the model's config does; None where it has none."""
        try:
            status = (self.folder / model / CONFIG).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def served(self, model: str) -> ServedModel:
        """What the model's config says.

        Raises:
            ValueError: if there is no such model, or penchant did not write its config.
        """
        config = self._config(model)
        try:
            number = config.version_policy.specific.versions[0]
            return ServedModel(
                name=model,
                number=number,
                package_version=int(config.parameters[VERSION_PARAMETER].string_value),
                outputs=tuple(output.name for output in config.output),
                contract=Contract.from_json(config.parameters[CONTRACT_PARAMETER].string_value),
                folder=self.folder / model / str(number),
            )
        except (IndexError, ValueError) as error:
            raise self._unreadable(model, error) from error

    def _config(self, model: str) -> Any:
        try:
            text = (self.folder / model / CONFIG).read_text(encoding="utf-8")
            return text_format.Parse(text, pb.ModelConfig())
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            raise self._unreadable(model, error) from error

    def _unreadable(self, model: str, error: Exception) -> ValueError:
        return ValueError(
            f"model {model!r}: expected a config that penchant wrote in "
            f"{self.folder / model / CONFIG}, got {error}; `penchant publish` writes one"
        )

    def publish(self, package: ModelPackage, *, version: int) -> int:
        """Make the package the served version of its model.

        Until the last rename the old version stays served and loadable, whatever happens.

        Args:
            package: what to publish.
            version: the package's version in the registry, stamped into every answer.

        Returns:
            Triton's new version number N.

        Raises:
            ValueError: if the package does not fit together, the disk is full or cannot be written,
                or another publisher holds the lock too long; the old version stays.
        """
        model = package.manifest.name
        graph = fuse(package, version)
        try:
            with self._locked():
                number = self._next_number(model)
                files = _version_files(package, graph)
                config = config_pbtxt(
                    package.contract, number, package_version=version, target=self.target
                )
                warmup = warmup_tensors(package.contract, package.golden())
                self._commit(model, number, files=files, warmup=warmup, config=config.encode())
        except OSError as error:
            raise ValueError(
                f"publishing {model!r} version {version} in {self.folder}: "
                f"{error.strerror or error}; nothing changed, the version served "
                "so far stays; free space or mend the folder, then publish again"
            ) from error
        return number

    def _commit(
        self,
        model: str,
        number: int,
        *,
        files: dict[str, bytes],
        warmup: dict[str, bytes],
        config: bytes,
    ) -> None:
        staged = self.staging / f"{model}-{number}"
        home = self.folder / model
        placed = [home / str(number), home / WARMUP_FOLDER / str(number)]
        try:
            self._on_step("stage")
            for name, content in files.items():
                _write(staged / "version" / name, content)
            for name, content in warmup.items():
                _write(staged / "warmup" / name, content)
            _write(staged / CONFIG, config)
            _set_times(staged, _newer_than(home))
            _sync_folders(staged)
            (home / WARMUP_FOLDER).mkdir(parents=True, exist_ok=True)
            for part, place in zip(("version", "warmup"), placed, strict=True):
                self._on_step(f"place {part}")
                (staged / part).rename(place)
                _sync(place.parent)
            _sync(self.folder)
            self._on_step("commit")
            (staged / CONFIG).replace(home / CONFIG)
        except OSError:
            for place in placed:
                shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        _sync(home)
        self._on_step("collect")
        _collect(home)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One publisher at a time; what a crashed one left in staging is removed."""
        self.staging.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.staging / "lock").open("w") as lock:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise ValueError(
                            f"{self.folder}: expected no other publisher, got one that still works "
                            f"after {LOCK_TIMEOUT_S:g} s; wait for it, or stop it"
                        ) from error
                    time.sleep(0.05)
            for path in self.staging.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            yield

    def _next_number(self, model: str) -> int:
        home = self.folder / model
        taken = [int(path.name) for path in home.glob("*") if _VERSION_FOLDER.fullmatch(path.name)]
        if (home / CONFIG).exists():
            taken.append(self.served(model).number)
        return max(taken, default=0) + 1


def _pass_over(step: str) -> None:
    """What is called at each step where nobody asked."""


def _version_files(package: ModelPackage, graph: onnx.ModelProto) -> dict[str, bytes]:
    return {
        "model.py": _RUNNER.read_bytes(),
        FULL_GRAPH: graph.SerializeToString(),
        SCORE_GRAPH: score_only(graph).SerializeToString(),
        MANIFEST: (package.folder / MANIFEST).read_bytes(),
        GOLDEN: (package.folder / GOLDEN).read_bytes(),
    }


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _newer_than(home: Path) -> int:
    """Time in ns after every file of the model: Triton passes over a load of files no newer."""
    times = [path.stat().st_mtime_ns for path in (home, *home.rglob("*")) if path.exists()]
    return max(time.time_ns(), max(times, default=0) + _STEP_NS)


def _set_times(folder: Path, time_ns: int) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, ns=(time_ns, time_ns))


def _sync_folders(folder: Path) -> None:
    for path in (*filter(Path.is_dir, folder.rglob("*")), folder):
        _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _collect(home: Path) -> None:
    """Remove all but the newest versions."""
    for parent in (home, home / WARMUP_FOLDER):
        found = [path for path in parent.iterdir() if _VERSION_FOLDER.fullmatch(path.name)]
        for path in sorted(found, key=lambda path: int(path.name))[:-KEPT_VERSIONS]:
            # What stays behind costs room only, and the publication is already done.
            shutil.rmtree(path, ignore_errors=True)
