"""The floor beside the model: the same configuration, nothing inside."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

from google.protobuf import text_format

from penchant.serving.repository import CONFIG, Repository

SUFFIX: Final = "_floor"
"""The floor of ``propensity`` is the model ``propensity_floor``."""


def write_floor(repository: Repository, model: str) -> str:
    """Write the floor of ``model`` into the repository that holds the model.

    Its configuration is the model's own without warm-up and parameters, so that batching, queue
    and instances are the same.

    Returns:
        The floor's model name.
    """
    config = repository.config(model)
    name = model + SUFFIX
    config.name = name
    del config.model_warmup[:]
    config.parameters.clear()
    versions = config.version_policy.specific.versions
    version = versions[0] if versions else 1
    folder = repository.folder / name / str(version)
    folder.mkdir(parents=True)
    runner = resources.files("penchant.perf").joinpath("floor_runner.py")
    (folder / "model.py").write_text(runner.read_text(encoding="utf-8"), encoding="utf-8")
    _write_config(repository, name, config)
    return name


def keep_outputs(repository: Repository, model: str, names: tuple[str, ...]) -> None:
    """Drop all other outputs from a model's configuration.

    perf_analyzer asks for every output that a model has; a caller who wants the score does not.
    """
    config = repository.config(model)
    kept = [output for output in config.output if output.name in names]
    del config.output[:]
    config.output.extend(kept)
    _write_config(repository, model, config)


def wait_without_limit(repository: Repository, model: str) -> None:
    """Let requests wait in the model's queue for as long as it takes.

    perf_analyzer ends with its first refused request, and a machine that is busy otherwise may keep
    one waiting for longer than the model's callers would.
    """
    config = repository.config(model)
    config.dynamic_batching.default_queue_policy.default_timeout_microseconds = 0
    _write_config(repository, model, config)


def _write_config(repository: Repository, model: str, config: Any) -> None:
    text = text_format.MessageToString(config, as_utf8=True)
    (repository.folder / model / CONFIG).write_text(text, encoding="utf-8")
