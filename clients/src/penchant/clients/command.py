"""The ``penchant`` command: a table of verbs, each a plain function whose signature is its options.

Nothing heavy is imported until a verb is asked for, so that help, the version
and a mistyped verb answer at once, and the bare client has a command that explains itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penchant.clients.errors import PenchantError

if TYPE_CHECKING:
    import jsonargparse

VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("penchant.training.demo:demo", "train, publish, serve and score on real shop data"),
    "inspect data": (
        "penchant.training.inspect_data:inspect_data",
        "show what a recipe would read: types, missing values, leakage suspects",
    ),
    "train propensity": (
        "penchant.training.train:train_propensity",
        "train, calibrate, evaluate and register a propensity model",
    ),
    "evaluate": (
        "penchant.training.evaluate:evaluate",
        "cross-validate a recipe against strong baselines",
    ),
    "publish": ("penchant.serving.publish:publish", "put a registered model where Triton loads it"),
    "serve": ("penchant.serving.serve:serve", "start Triton, watch it and say where it listens"),
    "score": ("penchant.clients.score:score", "score a Parquet file through a running server"),
    "perf": ("penchant.perf.measure:perf", "measure the endpoint against its floor and ceiling"),
    "export descriptors": (
        "penchant.clients.descriptors:write_descriptors",
        "write the gRPC service's descriptor set, for callers in other languages",
    ),
    "install tritonserver": (
        "penchant.serving.tritonserver:install_tritonserver",
        "put a real Triton into this environment, without Docker or root",
    ),
    "install perf-analyzer": (
        "penchant.perf.perf_analyzer:install_perf_analyzer",
        "put Triton's load generator into this environment",
    ),
}
"""Words of the verb -> (``module:function``, a line of help), as a new user meets them."""

USAGE_ERROR: Final = 2
"""Exit code after a mistake of the user's, as argparse has it."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code.

    Text that a verb returns is printed, an integer is the exit code, anything else is dropped.
    ``PENCHANT_DEBUG=1`` shows the traceback of an error that is otherwise one message.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    words, options = _split(arguments)
    if words not in VERBS:
        return _answer_without_verb(arguments)
    try:
        result = _run(words, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError, PenchantError) as error:
        _show(error)
        return USAGE_ERROR
    if isinstance(result, str):
        sys.stdout.write(f"{result}\n")
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def bind(
    function: Callable[..., Any], argv: Sequence[str], *, prog: str = "penchant"
) -> dict[str, Any]:
    """Read the arguments of ``function`` from a command line, with its signature as the options.

    A parameter named ``recipe`` whose type is a dataclass is flattened: its fields are options of
    their own (``--fit.seed 1``) and the top-level keys of the YAML file given as ``--config``;
    later options win over the file. If the dataclass has ``relative_to(folder)``, it is applied
    with the folder of the file, so that paths in a recipe are relative to the recipe.

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
    recipe_type = _recipe_type(function)
    configs = _config_files(argv) if recipe_type else []
    for config in configs:
        _check_config(config, function)
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


def _run(words: str, options: list[str]) -> Any:
    target, _ = VERBS[words]
    module_name, function_name = target.split(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        arguments = bind(function, options, prog=f"penchant {words}")
        return function(**arguments)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "penchant"):
            raise
        component = module_name.split(".")[1]
        extra = "cli" if component == "clients" else component
        raise ValueError(
            f"`penchant {words}` needs {missing}, which is not installed; "
            f"run: pip install 'penchant[{extra}]'"
        ) from error


def _show(error: Exception) -> None:
    if os.environ.get("PENCHANT_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        sys.stderr.write(f"penchant: {error}\n")


# Help and mistyped verbs


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    for count in (2, 1):
        words = " ".join(arguments[:count])
        if words in VERBS:
            return words, arguments[count:]
    return "", arguments


def _answer_without_verb(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        sys.stdout.write(_overview(VERBS))
        return 0
    if first in ("-V", "--version"):
        sys.stdout.write(f"penchant {version('penchant')}\n")
        return 0
    group = [words for words in VERBS if words.startswith(first + " ")]
    rest = arguments[1:2]
    if group and (not rest or rest[0].startswith("-")):
        asked = bool(rest) and rest[0] in ("-h", "--help")
        (sys.stdout if asked else sys.stderr).write(_overview(group))
        return 0 if asked else USAGE_ERROR
    typed = " ".join(word for word in arguments[:2] if not word.startswith("-")) or first
    nearest = _nearest(typed, VERBS) or _nearest(first, VERBS)
    guess = f"; did you mean `penchant {nearest}`?" if nearest else ";"
    sys.stderr.write(f"penchant: no verb '{typed}'{guess} `penchant --help` lists all verbs\n")
    return USAGE_ERROR


def _overview(verbs: Iterable[str]) -> str:
    width = max(len(words) for words in VERBS)
    lines = [f"  {words:<{width}}  {VERBS[words][1]}" for words in verbs]
    return "\n".join(
        [
            "usage: penchant VERB [options]",
            "",
            *lines,
            "",
            "`penchant VERB --help` shows the options of a verb, `penchant --version` the version.",
            "Parts install apart: pip install 'penchant[all]', or cli, serving, training, perf.",
            "",
        ]
    )


def _nearest(word: str, words: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


# Options from a signature


def _recipe_type(function: Callable[..., Any]) -> type[Any] | None:
    kind = typing.get_type_hints(function).get("recipe")
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


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
        nearest = _nearest(name.replace("-", "_"), _options(parser))
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


# Keys of a recipe file


def _config_files(argv: Sequence[str]) -> list[Path]:
    scanner = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scanner.add_argument("--config", action="append", type=Path, default=[])
    try:
        known, _ = scanner.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise ValueError(f"--config: expected the path of a recipe file ({error})") from error
    return list(known.config)


def _check_config(path: Path, function: Callable[..., Any]) -> None:
    """Refuse a file that cannot be read or has a key that nothing takes."""
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
    known |= typing.get_type_hints(hints["recipe"])
    _check_keys(content, known, place="", path=path)


def _check_keys(content: dict[Any, Any], known: dict[str, Any], *, place: str, path: Path) -> None:
    for key, value in content.items():
        if key not in known:
            nearest = _nearest(str(key), known)
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
