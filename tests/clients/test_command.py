"""The penchant command: verbs, help, errors."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

from penchant.clients import command
from penchant.clients.command import VERBS, main
from penchant.clients.errors import ServerUnavailable


def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    text = capsys.readouterr().out
    assert [words for words in VERBS if words not in text] == []


def test_group_without_verb_lists_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install"]) == command.USAGE_ERROR

    text = capsys.readouterr().err
    assert "install tritonserver" in text
    assert "train propensity" not in text


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (["trian", "propensity"], "train propensity"),
        (["train", "propnsity"], "train propensity"),
        (["prf"], "perf"),
        (["instal", "perf-analyzer"], "install perf-analyzer"),
    ],
)
def test_mistyped_verb_suggests_the_nearest(
    capsys: pytest.CaptureFixture[str], argv: list[str], nearest: str
) -> None:
    assert main(argv) == command.USAGE_ERROR
    assert f"`penchant {nearest}`" in capsys.readouterr().err


def test_help_and_errors_import_nothing_heavy() -> None:
    code = """
        import sys
        from penchant.clients.command import main
        for argv in ([], ["--help"], ["--version"], ["train"], ["trian"]):
            main(argv)
        heavy = {"numpy", "grpc", "tritonclient", "jsonargparse", "rich", "pyarrow", "torch",
                 "pandas", "mlflow", "onnx", "onnxruntime", "yaml"}
        sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
    """

    start = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert child.returncode == 0, child.stderr
    # Without anything heavy this takes a tenth; the bound only catches a mistake.
    assert time.perf_counter() - start < 5


def _verb(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    """Make ``penchant perf`` call a function of this module."""
    monkeypatch.setattr(sys.modules[__name__], "called", function, raising=False)
    monkeypatch.setitem(VERBS, "perf", (f"{__name__}:called", "a verb of this test"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.mark.parametrize(
    "error",
    [
        ValueError("goal: expected 0 or 1, got 7"),
        OSError(28, "No space left on device"),
        ServerUnavailable("no server at 127.0.0.1:8001"),
    ],
)
def test_error_is_one_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> None:
        """Fail."""
        raise error

    monkeypatch.delenv("PENCHANT_DEBUG", raising=False)
    _verb(monkeypatch, fail)

    assert main(["perf"]) == command.USAGE_ERROR
    assert capsys.readouterr().err == f"penchant: {error}\n"


def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        """Fail."""
        raise ValueError("goal: expected 0 or 1, got 7")

    monkeypatch.setenv("PENCHANT_DEBUG", "1")
    _verb(monkeypatch, fail)

    assert main(["perf"]) == command.USAGE_ERROR
    assert "Traceback" in capsys.readouterr().err


def test_interruption_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait() -> None:
        """Wait for Ctrl-C."""
        raise KeyboardInterrupt

    _verb(monkeypatch, wait)

    assert main(["perf"]) == command.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("export descriptors", "cli"),
        ("install tritonserver", "serving"),
        ("inspect data", "training"),
    ],
)
def test_missing_package_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)

    assert main(words.split()) == command.USAGE_ERROR

    text = capsys.readouterr().err
    assert f"pip install 'penchant[{extra}]'" in text
    assert "jsonargparse" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "code", "printed"), [(None, 0, ""), (3, 3, ""), ("in .venv", 0, "in .venv\n")]
)
def test_answer_of_a_verb(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: object,
    code: int,
    printed: str,
) -> None:
    def answering() -> object:
        """Answer."""
        return answer

    _verb(monkeypatch, answering)

    assert main(["perf"]) == code
    assert capsys.readouterr().out == printed
