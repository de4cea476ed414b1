"""Keys of a recipe file against the fields that take them."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penchant.clients.spelling import nearest_word


def config_files(argv: Sequence[str]) -> list[Path]:
    """The files given with ``--config``, in their order.

    Raises:
        ValueError: the option has no value.
    """
    scanner = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scanner.add_argument("--config", action="append", type=Path, default=[])
    try:
        known, _ = scanner.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise ValueError(f"--config: expected the path of a recipe file ({error})") from error
    return list(known.config)


def top_level_keys(path: Path) -> list[str]:
    """The keys of a recipe file; none where it cannot be read, which `check_config` says."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return []
    return [str(key) for key in content] if isinstance(content, dict) else []


def check_config(
    path: Path, function: Callable[..., Any], recipe_type: type[Any] | None = None
) -> None:
    """Refuse a file that cannot be read or has a key that nothing takes.

    Args:
        path: The file.
        function: What takes its keys.
        recipe_type: Dataclass of the function's parameter `recipe`; its type hint when None.

    Raises:
        ValueError: naming the file, the key and the nearest that exists.
    """
    import yaml

    if not path.is_file():
        raise ValueError(f"--config: no file {path}; give the path of a recipe (YAML)")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML in UTF-8, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys with values, got {type(content).__name__}")
    hints = typing.get_type_hints(function)
    known = {name: hints[name] for name in hints if name not in ("recipe", "return")}
    known |= typing.get_type_hints(recipe_type or hints["recipe"])
    _check_keys(content, known, place="", path=path)


def _check_keys(content: dict[Any, Any], known: dict[str, Any], *, place: str, path: Path) -> None:
    for key, value in content.items():
        if key not in known:
            nearest = nearest_word(str(key), known)
            guess = f"did you mean '{nearest}'?" if nearest else f"known: {', '.join(known)}"
            raise ValueError(f"{path}: unknown key '{place}{key}'; {guess}")
        for kind in _dataclasses_in(known[key]):
            inner = typing.get_type_hints(kind)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    _check_keys(item, inner, place=f"{place}{key}.", path=path)


def _dataclasses_in(hint: Any) -> list[type[Any]]:
    """The dataclass a type names, alone, optional or in a sequence; of a union of several, none."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    if typing.get_origin(hint) is dict:
        return []
    found = [kind for argument in typing.get_args(hint) for kind in _dataclasses_in(argument)]
    return found if len(found) == 1 else []
