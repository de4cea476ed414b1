"""One version on its way into the repository: staged, placed, committed by one rename."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from penchant.serving.durable import (
    set_times,
    sync_folder,
    sync_folders,
    time_after,
    write_durably,
)
from penchant.serving.model_config import PART_OF_PARAMETER, WARMUP_FOLDER
from penchant.serving.targets.rendering import Rendering

CONFIG: Final = "config.pbtxt"
KEPT_VERSIONS: Final = 3
"""Versions whose files stay, the served one included."""

_VERSION_FOLDER: Final = re.compile(r"[1-9][0-9]*")
_logger: Final = logging.getLogger(__name__)


def read_config(path: Path) -> Any:
    """A model's config as Triton's message.

    Raises:
        ValueError: if it is no config; OSError and UnicodeDecodeError where it cannot be read.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(str(error)) from error


def part_of(model: Path) -> str | None:
    """Whose step the model of a folder is; None where it stands for itself, or says nothing."""
    with suppress(OSError, ValueError):
        return read_config(model / CONFIG).parameters[PART_OF_PARAMETER].string_value or None
    return None


def parts_of(folder: Path, model: str) -> Iterator[tuple[Path, int]]:
    """Folders of the steps of a model's versions, with the number of each."""
    for path in folder.glob(f"{model}_*_*"):
        number = path.name.rpartition("_")[2]
        if _VERSION_FOLDER.fullmatch(number) and part_of(path) == model:
            yield path, int(number)


def version_numbers(home: Path) -> list[int]:
    """Numbers of the version folders in a folder, ascending."""
    names = [path.name for path in home.glob("*")]
    return sorted(int(name) for name in names if _VERSION_FOLDER.fullmatch(name))


class Publication:
    """A rendering that becomes what is served, whole or not at all."""

    def __init__(
        self,
        rendering: Rendering,
        number: int,
        *,
        repository: Path,
        staging: Path,
        on_step: Callable[[str], None],
    ) -> None:
        """Nothing is written yet.

        Args:
            rendering: the models.
            number: Triton's version number N.
            repository: where they go.
            staging: a folder on the same file system.
            on_step: called with the name of each step before it is done.

        Raises:
            ValueError: if another model's step has the public model's name.
        """
        self._public, self._parts = rendering.public, rendering.parts
        self._number = number
        self._home = repository / self._public.name
        self._staged = staging / f"{self._public.name}-{number}"
        self._on_step = on_step
        owner = part_of(self._home)
        if owner is not None:
            raise ValueError(
                f"model: expected a name that is free in {repository}, got {self._public.name!r}, "
                f"which is a step of {owner!r}; register the model under another name"
            )

    def commit(self) -> None:
        """Make it the served version.

        Raises:
            OSError: if it cannot be written; what was placed is removed again.
        """
        home, number = self._home, str(self._number)
        places = {self._staged / "version": home / number}
        if self._public.warmup:
            places[self._staged / "warmup"] = home / WARMUP_FOLDER / number
        places |= {self._staged / part.name: home.with_name(part.name) for part in self._parts}
        try:
            self._on_step("stage")
            self._stage()
            (home / WARMUP_FOLDER).mkdir(parents=True, exist_ok=True)
            for staged, place in reversed(places.items()):
                self._on_step(f"place {staged.name}")
                staged.rename(place)
                sync_folder(place.parent)
            sync_folder(home.parent)
            self._on_step("commit")
            (self._staged / CONFIG).replace(home / CONFIG)
        except OSError:
            for place in places.values():
                shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(self._staged, ignore_errors=True)

    def tidy(self, *, before: int) -> None:
        """Put the commit on the disk for good, and remove old versions.

        Args:
            before: number of the version that was served before, which stays.
        """
        try:
            sync_folder(self._home)
            self._on_step("collect")
            _collect(self._home, kept={before, self._number})
        except OSError as error:
            # The version is served already: to call this a failure would be wrong.
            _logger.warning("%s: published, but not tidied up: %s", self._home, error)

    def _stage(self) -> None:
        staged, number = self._staged, str(self._number)
        _write(staged / "version", self._public.files)
        _write(staged / "warmup", self._public.warmup)
        write_durably(staged / CONFIG, self._public.config.encode())
        for part in self._parts:
            _write(staged / part.name / number, part.files)
            _write(staged / part.name / WARMUP_FOLDER / number, part.warmup)
            write_durably(staged / part.name / CONFIG, part.config.encode())
        set_times(staged, time_after(self._home))
        sync_folders(staged)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write_durably(folder / name, content)


def _collect(home: Path, kept: Collection[int]) -> None:
    """Remove all but the newest versions, and those that are served or may be come back to."""
    for parent in (home, home / WARMUP_FOLDER):
        for number in set(version_numbers(parent)[:-KEPT_VERSIONS]) - set(kept):
            # What stays behind costs room only, and the publication is already done.
            shutil.rmtree(parent / str(number), ignore_errors=True)
    left = version_numbers(home)
    for part, number in parts_of(home.parent, home.name):
        if number not in left:
            shutil.rmtree(part, ignore_errors=True)
