"""``pip install .`` alone: a client, and nothing heavier than NumPy and gRPC."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"lightgbm", "mlflow", "onnx", "onnxruntime", "pandas", "pyarrow", "scipy", "torch"}


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment into which only a copy of this project was installed."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
    shutil.copytree(ROOT, source, ignore=ignored)
    _run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    install = ("install", "--quiet", "--disable-pip-version-check")
    _run(str(python), "-m", "pip", *install, "--constraint", str(ROOT / "constraints.txt"), source)
    return python


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_client_is_installed_without_anything_heavy(clean_python: Path) -> None:
    listed = json.loads(_run(clean_python, "-m", "pip", "list", "--format", "json"))

    names = {entry["name"].lower() for entry in listed}
    assert "penchant" in names
    assert not names & HEAVY
    assert len(names - {"pip", "setuptools"}) <= 12


def test_client_can_be_imported(clean_python: Path) -> None:
    code = "from penchant.clients import PropensityClient; print(PropensityClient.__name__)"

    assert _run(clean_python, "-c", code) == "PropensityClient\n"


def test_command_answers_helpfully(clean_python: Path) -> None:
    penchant = clean_python.with_name("penchant")

    assert "train propensity" in _run(penchant, "--help")

    done = subprocess.run([penchant, "score"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'penchant[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_recipes_with_their_data_come_along(clean_python: Path) -> None:
    code = """
from importlib import metadata
names = [str(path) for path in metadata.files("penchant")]
print(any(n.endswith(".yaml") for n in names), any(n.endswith(".parquet") for n in names))
print(any(n == "penchant/__init__.py" for n in names))
"""

    assert _run(clean_python, "-c", code).split() == ["True", "True", "False"]
