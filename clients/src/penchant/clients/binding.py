"""A function's signature as command-line options, and a command line as its arguments."""

from __future__ import annotations

import argparse
import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.clients.recipe_keys import check_config, config_files, top_level_keys
from penchant.clients.spelling import nearest_word

if TYPE_CHECKING:
    import jsonargparse


def bind(
    function: Callable[..., Any], argv: Sequence[str], *, prog: str = "penchant"
) -> dict[str, Any]:
    """Read the arguments of ``function`` from a command line, with its signature as the options.

    A parameter named ``recipe`` whose type is a dataclass is flattened: its fields are options of
    their own (``--fit.seed 1``) and the top-level keys of the YAML file given as ``--config``;
    later options win over the file. If the dataclass has ``relative_to(folder)``, it is applied
    with the folder of the file, so that paths in a recipe are relative to the recipe. Where the
    type is one of several dataclasses, it is the one that has most of the file's keys.

    Args:
        function: what is to be called; its signature and docstring give options, types and help.
        argv: the words after the verb, as in ``["--config", "recipe.yaml", "--fit.seed", "1"]``.
        prog: what the help text calls the command.

    Returns:
        Keyword arguments for ``function``.

    Raises:
        ValueError: an option, a key of the file or a value is not what ``function`` takes.
        SystemExit: help was asked for, and printed.
    """
    kinds = _recipe_types(function)
    configs = config_files(argv) if kinds else []
    recipe_type = _best_kind(kinds, configs, argv)
    for config in configs:
        check_config(config, function, recipe_type)
    parser = _build_parser(function, recipe_type, prog=prog)
    try:
        namespace = parser.parse_args(_normalize(argv, _options(parser)))
    except argparse.ArgumentError as error:
        raise ValueError(_explain(str(error), parser)) from error
    values = parser.instantiate(namespace)
    if recipe_type is None:
        return dict(vars(values))
    names = [field.name for field in dataclasses.fields(recipe_type)]
    recipe = recipe_type(**{name: values.pop(name) for name in names})
    values.pop("config", None)
    if configs and hasattr(recipe, "relative_to"):
        recipe = recipe.relative_to(configs[-1].absolute().parent)
    return {"recipe": recipe, **vars(values)}


def _recipe_types(function: Callable[..., Any]) -> list[type[Any]]:
    """The dataclass a parameter named recipe is of, or the several it may be of."""
    hint = typing.get_type_hints(function).get("recipe")
    kinds = typing.get_args(hint) or (hint,)
    return [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def _best_kind(
    kinds: Sequence[type[Any]], configs: Iterable[Path], argv: Sequence[str]
) -> type[Any] | None:
    """The dataclass with most of the keys of the files and options; the first where two have."""
    if len(kinds) < 2:
        return kinds[0] if kinds else None
    keys = [key for config in configs for key in top_level_keys(config)]
    words = [re.split(r"[.=]", word.removeprefix("--"))[0] for word in argv if word[:2] == "--"]
    keys += [word.replace("-", "_") for word in words]

    def score(kind: type[Any]) -> int:
        return len({field.name for field in dataclasses.fields(kind)}.intersection(keys))

    return max(kinds, key=score)


def _build_parser(
    function: Callable[..., Any], recipe_type: type[Any] | None, *, prog: str
) -> jsonargparse.ArgumentParser:
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    summary = (function.__doc__ or "").split("\n    Args:")[0].split("\n\n")[0]
    parser = jsonargparse.ArgumentParser(
        prog=prog, description=" ".join(summary.split()), exit_on_error=False
    )
    if recipe_type is not None:
        parser.add_argument("--config", action="config", help="Recipe file (YAML).")
        parser.add_class_arguments(recipe_type, None, instantiate=False, fail_untyped=True)
    parser.add_function_arguments(function, None, as_group=False, skip={"recipe"})
    for name, hint in typing.get_type_hints(function).items():
        if hint is bool and name in _options(parser):
            flag = _options(parser)[name]
            flag.nargs, flag.const = "?", True  # `--check` alone means `--check true`
    return parser


def _options(parser: jsonargparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and not option.endswith(("+", ".help"))
    }


def _normalize(argv: Sequence[str], options: Iterable[str]) -> list[str]:
    """Accept ``--batch-size`` for ``--batch_size``."""
    known = set(options)
    normalized = []
    for word in argv:
        name, equals, value = word.removeprefix("--").partition("=")
        plain = name.replace("-", "_")
        renames = word.startswith("--") and name not in known and plain in known
        normalized.append(f"--{plain}{equals}{value}" if renames else word)
    return normalized


def _explain(message: str, parser: jsonargparse.ArgumentParser) -> str:
    """The parser's message in our words, with the nearest option where one was mistyped."""
    typed = re.match(r"unrecognized arguments: (\S+)", message, flags=re.IGNORECASE)
    if typed:
        name = typed.group(1).removeprefix("--").partition("=")[0]
        nearest = nearest_word(name.replace("-", "_"), _options(parser))
        guess = f"did you mean --{nearest}? " if nearest else ""
        return f"{typed.group(1)}: no such option; {guess}`{parser.prog} --help` lists them"
    required = re.search(r"the following arguments are required: (.+)", message)
    if required:
        names = required.group(1).split(", ")
        wanted = ", ".join(f"--{name}" for name in names)
        config = " or a recipe file with --config" if "config" in _options(parser) else ""
        return f"{', '.join(names)}: required, but not given; add {wanted}{config}"
    message = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message)
    message = re.sub(r'^Parser key "([^"]+)":?\s*', r"\1: ", message.strip())
    message = message.replace("typing.", "").replace("Got value:", "Got")
    return re.sub(r"\n\s*", " ", message)
