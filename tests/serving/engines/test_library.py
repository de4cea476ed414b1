"""Which library builds; modules put in its place stand for those that are not installed here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penchant.serving.engines.library import find_engine_library

NAMES = ("tensorrt", "tensorrt_rtx")


def install(name: str, content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Python find this module first."""
    (folder / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, name, None)  # remembered, so that the import is undone
    monkeypatch.delitem(sys.modules, name)


def test_tensorrt_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tensorrt", "__version__ = '10.14.1.48'", tmp_path, monkeypatch)
    found = find_engine_library()
    assert (found.name, found.version, found.needs_gpu) == ("tensorrt", "10.14.1.48", True)


def test_tensorrt_rtx_is_taken_where_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    found = find_engine_library()
    assert (found.name, found.needs_gpu) == ("tensorrt_rtx", False)
    assert found.module.__version__ == found.version


def test_neither_is_refused_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"got neither; run: pip install 'penchant\[gpu\]'"):
        find_engine_library()


def test_an_old_tensorrt_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tensorrt", "__version__ = '10.9.0.34'", tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"expected version 10\.12 or later, got 10\.9\.0\.34"):
        find_engine_library()


@pytest.mark.parametrize(
    "content",
    ["raise OSError('libnvinfer.so.10: cannot open')", "import no_such_bindings"],
)
def test_one_that_does_not_load_is_refused(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tensorrt", content, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"tensorrt: expected a library that loads, got .*run:"):
        find_engine_library()
