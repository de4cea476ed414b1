"""Which server a home knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penchant.clients.home import Home


def test_the_address_of_a_server_that_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.endpoint.write_text(json.dumps({"grpc": "127.0.0.1:8001", "pid": os.getpid()}))
    assert home.server_address() == "127.0.0.1:8001"


def test_a_server_that_was_killed_is_not_believed_in(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(timeout=30)
    home.endpoint.write_text(json.dumps({"grpc": "127.0.0.1:8001", "pid": process.pid}))
    with pytest.raises(ValueError, match=r"has ended .*start `penchant serve`, or give --url"):
        home.server_address()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"grpc": "127.0.0.1:8001", "pid": "x"}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.endpoint.write_text(content)
    with pytest.raises(ValueError, match=r"endpoint\.json is damaged"):
        home.server_address()
