"""RunFolder: what a training run keeps on the disk until it is done, so that it can be resumed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE_FILE: Final = "run.json"
"""Names the MLflow run while it is unfinished."""
PACKAGE: Final = "package"


@dataclass(frozen=True)
class RunFolder:
    """The folder of the runs of one recipe; only an interrupted run finds something in it."""

    path: Path

    @property
    def package(self) -> Path:
        """Where the package is written."""
        return self.path / PACKAGE

    def interrupted_run(self, fingerprint: str) -> str | None:
        """The MLflow run to go on with; None where none of this recipe was interrupted.

        Args:
            fingerprint: Digest of the data as they are now.

        Raises:
            ValueError: The data are not what that run was fitted on.
        """
        state_file = self.path / STATE_FILE
        if not state_file.exists():
            return None
        state = json.loads(state_file.read_text(encoding="utf-8"))
        if state["data_fingerprint"] != fingerprint:
            raise ValueError(
                "resume: expected the data that the interrupted run was fitted on (fingerprint "
                f"{state['data_fingerprint'][:12]}), got {fingerprint[:12]}: its rows have "
                "changed; train anew without --resume, or bring the old data back"
            )
        return str(state["run_id"])

    def make_room(self, *, keep_checkpoints: bool) -> None:
        """Make the folder, empty or with nothing but what an interrupted run goes on from."""
        shutil.rmtree(self.package if keep_checkpoints else self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)

    def begin(self, run_id: str, *, fingerprint: str) -> None:
        """Say which run is unfinished."""
        state = {"run_id": run_id, "data_fingerprint": fingerprint}
        (self.path / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    def finish(self, report: Path, destination: Path) -> Path:
        """Say that the run is done, and keep a copy of its report; returns where it lies."""
        (self.path / STATE_FILE).unlink()
        destination.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(report, destination))


def is_worker() -> bool:
    """Whether Lightning started this command again, to train on one more device of several.

    Such a process only trains: the first one tracks, packages and registers.
    """
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("NODE_RANK", "0") != "0"
