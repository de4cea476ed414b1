"""Triton's model repository: new versions appear whole or not at all.

<repository>/<model>/config.pbtxt     names the one version N that is served; replaced last
<repository>/<model>/<N>/…            manifest.json, golden.npz; on cpu model.py and the graphs
<repository>/<model>/warmup/<N>/…     a golden row as raw tensors
<repository>/<model>_<step>_<N>/…     the steps of version N, where it is an ensemble: each a model
<repository>.staging/                 beside it: Triton takes every folder inside for a model
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CONTRACT_PARAMETER
from penchant.clients.wire_contract import read_contract
from penchant.serving.durable import exclusive, set_times, sync_folder, time_after, write_durably
from penchant.serving.model_config import (
    PART_OF_PARAMETER,
    TARGET_PARAMETER,
    VERSION_PARAMETER,
    WARMUP_FOLDER,
)
from penchant.serving.package import ModelPackage
from penchant.serving.publication import (
    CONFIG,
    KEPT_VERSIONS,
    Publication,
    read_config,
    version_numbers,
)
from penchant.serving.served_model import ServedModel
from penchant.serving.targets.cpu import CpuTarget
from penchant.serving.targets.rendering import Target

__all__ = ["CONFIG", "KEPT_VERSIONS", "Repository", "Stamp"]

WITHDRAWN: Final = "withdrawn.pbtxt"
"""What the config of a model becomes that is no longer served."""
LOCK_TIMEOUT_S: Final = 60.0
"""Seconds to wait for another publisher."""
RESTORE_TIMEOUT_S: Final = 10.0
"""The same where a server waits to be watched meanwhile."""

Stamp = tuple[int, int]
"""Time of change in ns and inode of a config."""


class Repository:
    """The folder that Triton loads models from."""

    def __init__(
        self,
        folder: Path,
        *,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is created yet.

        Args:
            folder: the repository.
            on_step: called with the name of each step of a publication before it is done.
        """
        self.folder = folder
        self._on_step = on_step or _pass_over

    @property
    def staging(self) -> Path:
        """Folder beside the repository, on the same file system, where versions are made."""
        return self.folder.with_name(self.folder.name + ".staging")

    def models(self) -> list[str]:
        """Names of the models that have a config, sorted; steps of others are none."""
        configs = self.folder.glob(f"*/{CONFIG}")
        return sorted(path.parent.name for path in configs if not _is_part(path))

    def parts(self, model: str) -> tuple[str, ...]:
        """Names of the models that our ensemble is made of; none where the model runs by itself.

        Raises:
            ValueError: if the config cannot be read.
        """
        return tuple(_parts(self.config(model)))

    def num_processes(self, model: str) -> int:
        """Python processes that serve the model and its parts, whoever wrote their configs.

        Raises:
            ValueError: if a config cannot be read.
        """
        config = self.config(model)
        num = sum(self.num_processes(part) for part in _parts(config))
        if config.backend == "python":
            num += sum(max(group.count, 1) for group in config.instance_group) or 1
        return num

    def is_published(self, model: str) -> bool:
        """Whether penchant wrote the model's config, rather than somebody else."""
        path = self.folder / model / CONFIG
        return path.is_file() and f'"{VERSION_PARAMETER}"' in path.read_text(encoding="utf-8")

    def read_config(self, model: str) -> bytes | None:
        """The model's config as it stands there; None where it has none."""
        try:
            return (self.folder / model / CONFIG).read_bytes()
        except OSError:
            return None

    def stamp(self, model: str) -> Stamp | None:
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
        config = self.config(model)
        try:
            number = config.version_policy.specific.versions[0]
            return ServedModel(
                name=model,
                number=number,
                package_version=int(config.parameters[VERSION_PARAMETER].string_value),
                outputs=tuple(output.name for output in config.output),
                contract=read_contract(config.parameters[CONTRACT_PARAMETER].string_value),
                folder=self.folder / model / str(number),
                target=config.parameters[TARGET_PARAMETER].string_value or "cpu",
            )
        except (IndexError, ValueError) as error:
            raise self._unreadable(model, error) from error

    def config(self, model: str) -> Any:
        """The model's config as Triton's message, whoever wrote it.

        Raises:
            ValueError: if it cannot be read.
        """
        try:
            return read_config(self.folder / model / CONFIG)
        except (OSError, ValueError) as error:
            raise self._unreadable(model, error) from error

    def _unreadable(self, model: str, error: Exception) -> ValueError:
        return ValueError(
            f"model {model!r}: expected a config that penchant wrote in "
            f"{self.folder / model / CONFIG}, got {error}; `penchant publish` writes one"
        )

    def publish(self, package: ModelPackage, *, version: int, target: Target | None = None) -> int:
        """Make the package the served version of its model.

        Until the last rename the old version stays served and loadable, whatever happens; from then
        on the new one is published, whatever happens.

        Args:
            package: what to publish.
            version: the package's version in the registry, stamped into every answer.
            target: what is to run it; by default the CPU.

        Returns:
            Triton's new version number N.

        Raises:
            ValueError: if the package does not fit together or cannot be served so, the disk is
                full or cannot be written, or another publisher holds the lock too long; the old
                version stays.
        """
        model = package.manifest.name
        render = (target or CpuTarget()).prepare(package, version)
        try:
            with self._locked():
                number, before = self._next_number(model), self._number(model)
                publication = Publication(
                    render(number),
                    number,
                    repository=self.folder,
                    staging=self.staging,
                    on_step=self._on_step,
                )
                publication.commit()
                publication.tidy(before=before)
        except OSError as error:
            raise ValueError(
                f"publishing {model!r} version {version} in {self.folder}: "
                f"{error.strerror or error}; nothing changed, the version served "
                "so far stays; free space or mend the folder, then publish again"
            ) from error
        return number

    def restore(self, model: str, config: bytes, *, instead_of: Stamp | None) -> Stamp | None:
        """Put an earlier config back in place of one whose version proved bad.

        Args:
            model: whose config.
            config: what stood in the file; the versions that it names must still be there.
            instead_of: stamp of the config that is to go.

        Returns:
            The stamp of the config now; None, and nothing done, if another was published meanwhile.

        Raises:
            OSError: if it cannot be written.
            ValueError: if a version's files are gone, or a publisher holds the lock too long.
        """
        home = self.folder / model
        with self._locked(RESTORE_TIMEOUT_S):
            if self.stamp(model) != instead_of:
                return None
            named = text_format.Parse(config, pb.ModelConfig())
            for number in named.version_policy.specific.versions:
                needed = [home / str(number), *(self.folder / part for part in _parts(named))]
                if not all(path.is_dir() for path in needed):
                    raise ValueError(f"the files of its version {number} before are gone")
            staged = self.staging / f"{model}-restored"
            write_durably(staged / CONFIG, config)
            set_times(staged, time_after(home))
            (staged / CONFIG).replace(home / CONFIG)
            sync_folder(home)
            return self.stamp(model)

    def withdraw(self, model: str) -> None:
        """Take a model out of what is served; the files of its versions stay for a while.

        Raises:
            OSError: if that cannot be written; the model stays served.
            ValueError: if a publisher holds the lock too long.
        """
        home = self.folder / model
        with self._locked():
            # Renamed rather than removed: times of change must only grow, see `time_after`.
            (home / CONFIG).replace(home / WITHDRAWN)
            sync_folder(home)

    @contextmanager
    def _locked(self, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """One publisher at a time; what a crashed one left in staging is removed."""
        self.staging.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.staging / "lock", timeout_s=timeout_s):
            for path in self.staging.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            yield

    def _next_number(self, model: str) -> int:
        """A number that no version has had, and that no name of a step is taken with."""
        home = self.folder / model
        taken = [*version_numbers(home), *version_numbers(home / WARMUP_FOLDER)]
        ends = [path.name.rpartition("_")[2] for path in self.folder.glob(f"{model}_*_*")]
        taken += [int(end) for end in ends if end.isascii() and end.isdigit()]
        return max([*taken, self._number(model)], default=0) + 1

    def _number(self, model: str) -> int:
        """The number that the config names; 0 where there is none, or none that can be read."""
        try:
            return self.served(model).number
        except ValueError:
            return 0


def _is_part(config: Path) -> bool:
    """Whether a config is that of an ensemble's step; asked several times a second."""
    try:
        return f'"{PART_OF_PARAMETER}"' in config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _parts(config: Any) -> list[str]:
    """The models that our ensemble's config is made of; somebody else's stand for themselves."""
    if VERSION_PARAMETER not in config.parameters:
        return []
    return [step.model_name for step in config.ensemble_scheduling.step]


def _pass_over(step: str) -> None:
    """What is called at each step where nobody asked."""
