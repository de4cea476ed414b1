"""The ``penchant`` command: a table of verbs, each a plain function whose signature is its options.

Nothing heavy is imported until a verb is asked for, so that help, the version
and a mistyped verb answer at once, and the bare client has a command that explains itself.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final

from penchant.clients.binding import bind as bind
from penchant.clients.errors import PenchantError
from penchant.clients.spelling import nearest_word

VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("penchant.training.demo:demo", "train, publish, serve and score on real shop data"),
    "inspect data": (
        "penchant.training.inspect_data:inspect_data",
        "show what a recipe would read: types, missing values, leakage suspects",
    ),
    "simulate": (
        "penchant.training.simulation.simulate:simulate",
        "write a realistic event log of any size, with the truth beside it",
    ),
    "build examples": (
        "penchant.training.events.build_examples:build_examples",
        "write what was known of each visitor of an event log at a moment, and what she did then",
    ),
    "build engine": (
        "penchant.serving.engines.build_plan:build_plan",
        "build the TensorRT engines that serve a registered version on this GPU",
    ),
    "train propensity": (
        "penchant.training.train:train_propensity",
        "train, calibrate, evaluate and register a propensity model",
    ),
    "train journeys": (
        "penchant.training.journeys.train:train_journeys",
        "train, blend, evaluate and register a model of what visitors want next",
    ),
    "evaluate": (
        "penchant.training.evaluate:evaluate",
        "cross-validate a recipe against strong baselines",
    ),
    "publish": ("penchant.serving.publish:publish", "put a registered model where Triton loads it"),
    "promote": (
        "penchant.serving.rollout.promote:promote",
        "make a registered version champion or challenger, if it passes the gates",
    ),
    "rollback": (
        "penchant.serving.rollout.rollback:rollback",
        "serve again what was served before",
    ),
    "reconcile": (
        "penchant.serving.rollout.reconcile:reconcile",
        "make the server follow the registry's aliases, once or for good",
    ),
    "status": (
        "penchant.serving.rollout.status:status",
        "show what is wanted, what is served, and why they differ",
    ),
    "serve": ("penchant.serving.serve:serve", "start Triton, watch it and say where it listens"),
    "score": ("penchant.clients.score:score", "score a Parquet file through a running server"),
    "recommend": (
        "penchant.clients.recommend:recommend",
        "say what each visitor of an event log wants next, through a running server",
    ),
    "perf": ("penchant.perf.measure:perf", "measure the endpoint against its floor and ceiling"),
    "perf top-items": (
        "penchant.perf.top_items:top_items",
        "measure a catalogue's top-k against a full sort",
    ),
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
    nearest = nearest_word(typed, VERBS) or nearest_word(first, VERBS)
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
