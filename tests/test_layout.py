"""Guards of the layout: one implicit namespace package, one table of verbs."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from penchant.clients.command import VERBS

ROOT = Path(__file__).parents[1]
COMPONENTS = ("clients", "perf", "serving", "training")


def test_no_component_hides_the_others() -> None:
    # An __init__.py at the namespace's root would shadow the other three source roots.
    assert list(ROOT.glob("*/src/penchant/__init__.py")) == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_is_a_typed_package(component: str) -> None:
    folder = ROOT / component / "src" / "penchant" / component

    assert (folder / "__init__.py").is_file()
    assert (folder / "py.typed").is_file()


@pytest.mark.parametrize(
    "name",
    [
        ".ci/run",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile.gpu",
        "LICENSE",
        "Makefile",
        "README.md",
        "clients/README.md",
        "constraints.txt",
        "docs/architecture.md",
        "model_repository/README.md",
        "pyproject.toml",
    ],
)
def test_public_file_exists_and_says_something(name: str) -> None:
    assert (ROOT / name).stat().st_size > 200


@pytest.mark.parametrize("words", VERBS)
def test_verb_is_a_documented_function_with_typed_options(words: str) -> None:
    module, name = VERBS[words][0].split(":")
    function = getattr(importlib.import_module(module), name)

    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_module_configures_logging(component: str) -> None:
    for path in (ROOT / component / "src").rglob("*.py"):
        calls = [
            node.func.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        assert "basicConfig" not in calls, path


def test_constraints_pin_versions_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert pins
    for pin in pins:
        name, equals, version = pin.partition("==")
        assert equals, pin
        assert name, pin
        assert version, pin
        assert not set("/@+ ") & set(pin), pin
