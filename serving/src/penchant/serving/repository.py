"""Triton's model repository: new versions appear whole or not at all.

<repository>/<model>/config.pbtxt     names the one version N that is served; replaced last
<repository>/<model>/<N>/…            model.py, the graphs, manifest.json, golden.npz
<repository>/<model>/warmup/<N>/…     a golden row as raw tensors
<repository>.staging/                 beside it: Triton takes every folder inside for a model
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.clients.contract import CONTRACT_PARAMETER
from penchant.clients.wire_contract import read_contract
from penchant.serving.durable import (
    exclusive,
    set_times,
    sync_folder,
    sync_folders,
    time_after,
    write_durably,
)
from penchant.serving.fuse import served_graphs
from penchant.serving.model_config import (
    VERSION_PARAMETER,
    WARMUP_FOLDER,
    config_pbtxt,
    warmup_tensors,
)
from penchant.serving.package import ModelPackage
from penchant.serving.served_model import ServedModel, version_files

CONFIG: Final = "config.pbtxt"
WITHDRAWN: Final = "withdrawn.pbtxt"
"""What the config of a model becomes that is no longer served."""
KEPT_VERSIONS: Final = 3
"""Versions whose files stay, the served one included."""
LOCK_TIMEOUT_S: Final = 60.0
"""Seconds to wait for another publisher."""
RESTORE_TIMEOUT_S: Final = 10.0
"""The same where a server waits to be watched meanwhile."""

_VERSION_FOLDER: Final = re.compile(r"[1-9][0-9]*")
_logger: Final = logging.getLogger(__name__)

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
        """Names of the models that have a config, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{CONFIG}"))

    def num_processes(self, model: str) -> int:
        """Python processes that serve the model, whoever wrote its config.

        Raises:
            ValueError: if the config cannot be read.
        """
        config = self.config(model)
        if config.backend != "python":
            return 0
        return sum(max(group.count, 1) for group in config.instance_group) or 1

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
            )
        except (IndexError, ValueError) as error:
            raise self._unreadable(model, error) from error

    def config(self, model: str) -> Any:
        """The model's config as Triton's message, whoever wrote it.

        Raises:
            ValueError: if it cannot be read.
        """
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

        Until the last rename the old version stays served and loadable, whatever happens; from then
        on the new one is published, whatever happens.

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
        graphs = served_graphs(package, version)
        try:
            with self._locked():
                number = self._next_number(model)
                files = version_files(package, graphs)
                config = config_pbtxt(package.contract, number, package_version=version)
                warmup = warmup_tensors(package.contract, package.golden())
                self._commit(model, number, files=files, warmup=warmup, config=config.encode())
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
            for number in text_format.Parse(
                config, pb.ModelConfig()
            ).version_policy.specific.versions:
                if not (home / str(number)).is_dir():
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
        before = self._number(model)
        try:
            self._on_step("stage")
            for name, content in files.items():
                write_durably(staged / "version" / name, content)
            for name, content in warmup.items():
                write_durably(staged / "warmup" / name, content)
            write_durably(staged / CONFIG, config)
            set_times(staged, time_after(home))
            sync_folders(staged)
            (home / WARMUP_FOLDER).mkdir(parents=True, exist_ok=True)
            for part, place in zip(("version", "warmup"), placed, strict=True):
                self._on_step(f"place {part}")
                (staged / part).rename(place)
                sync_folder(place.parent)
            sync_folder(self.folder)
            self._on_step("commit")
            (staged / CONFIG).replace(home / CONFIG)
        except OSError:
            for place in placed:
                shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        try:
            sync_folder(home)
            self._on_step("collect")
            _collect(home, kept={before, number})
        except OSError as error:
            # The version is served already: to call this a failure would be wrong.
            _logger.warning("%s: published, but not tidied up: %s", home, error)

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
        home = self.folder / model
        names = [path.name for path in (*home.glob("*"), *(home / WARMUP_FOLDER).glob("*"))]
        taken = [int(name) for name in names if _VERSION_FOLDER.fullmatch(name)]
        return max([*taken, self._number(model)]) + 1

    def _number(self, model: str) -> int:
        """The number that the config names; 0 where there is none, or none that can be read."""
        try:
            return self.served(model).number
        except ValueError:
            return 0


def _pass_over(step: str) -> None:
    """What is called at each step where nobody asked."""


def _collect(home: Path, kept: Collection[int]) -> None:
    """Remove all but the newest versions, and those that are served or may be come back to."""
    for parent in (home, home / WARMUP_FOLDER):
        found = [
            int(path.name) for path in parent.iterdir() if _VERSION_FOLDER.fullmatch(path.name)
        ]
        for number in set(sorted(found)[:-KEPT_VERSIONS]) - set(kept):
            # What stays behind costs room only, and the publication is already done.
            shutil.rmtree(parent / str(number), ignore_errors=True)
