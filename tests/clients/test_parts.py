"""The folder of finished parts: whose they are, and what is left when it is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penchant.clients.parts import Parts

KILLED_WHILE_REMOVING = """
import os, pathlib, shutil, signal, sys
import pyarrow as pa
from penchant.clients.parts import Parts

def die_half_way(folder, **options):
    if pathlib.Path(folder).exists():
        (pathlib.Path(folder) / "origin.json").unlink()
        os.kill(os.getpid(), signal.SIGKILL)

shutil.rmtree = die_half_way
with Parts(pathlib.Path(sys.argv[1]), of={"input": "a"}) as parts:
    parts.write(0, pa.table({"row": [0, 1]}))
    parts.assemble()
"""


def _rows(path: Path) -> list[int]:
    rows: list[int] = pq.read_table(path)["row"].to_pylist()
    return rows


def test_a_kill_while_parts_are_removed_leaves_nothing_to_adopt(tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_REMOVING, str(output)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert _rows(output) == [0, 1]
    with Parts(output, of={"input": "b"}) as parts:
        assert parts.num_done() == 0
        parts.write(0, pa.table({"row": [7]}))
        parts.assemble()
    assert _rows(output) == [7]
    assert os.listdir(tmp_path) == ["scored.parquet"]


def test_parts_that_do_not_say_what_they_are_of_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    with Parts(output, of={"input": "a"}) as parts:
        parts.write(0, pa.table({"row": [0]}))
    (parts.folder / "origin.json").unlink()
    with (
        pytest.raises(ValueError, match=r"without an origin\.json .*delete that folder"),
        Parts(output, of={"input": "a"}),
    ):
        pass


def test_a_run_that_finished_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    with Parts(output, of={"input": "a"}):
        pass
    with Parts(output, of={"input": "b"}) as parts:
        parts.write(0, pa.table({"row": [0]}))
    with pytest.raises(ValueError, match="whose input was"), Parts(output, of={"input": "a"}):
        pass
    with Parts(output, of={"input": "b"}) as parts:
        assert parts.num_done() == 1
