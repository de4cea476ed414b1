"""The floor beside the model: the same configuration, nothing inside."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

SUFFIX: Final = "_floor"
"""The floor of ``propensity`` is the model ``propensity_floor``."""
CONFIG: Final = "config.pbtxt"


def write_floor(repository: Path, model: str) -> str:
    """Write the floor of ``model`` into the repository that holds the model.

    Its configuration is the model's own without warm-up and parameters, so that batching, queue
    and instances are the same.

    Returns:
        The floor's model name.
    """
    config = read_config(repository / model)
    name = model + SUFFIX
    config.name = name
    del config.model_warmup[:]
    config.parameters.clear()
    versions = config.version_policy.specific.versions
    version = versions[0] if versions else 1
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    runner = resources.files("penchant.perf").joinpath("floor_runner.py")
    (folder / "model.py").write_text(runner.read_text(encoding="utf-8"), encoding="utf-8")
    write_config(repository / name, config)
    return name


def keep_outputs(model_folder: Path, names: tuple[str, ...]) -> None:
    """Drop all other outputs from a model's configuration.

    perf_analyzer asks for every output that a model has; a caller who wants the score does not.
    """
    config = read_config(model_folder)
    kept = [output for output in config.output if output.name in names]
    del config.output[:]
    config.output.extend(kept)
    write_config(model_folder, config)


def read_config(model_folder: Path) -> model_config_pb2.ModelConfig:
    """Read a model's ``config.pbtxt``."""
    text = (model_folder / CONFIG).read_text(encoding="utf-8")
    config: model_config_pb2.ModelConfig = text_format.Parse(text, model_config_pb2.ModelConfig())
    return config


def write_config(model_folder: Path, config: model_config_pb2.ModelConfig) -> None:
    """Write a model's ``config.pbtxt``."""
    text = text_format.MessageToString(config, as_utf8=True)
    (model_folder / CONFIG).write_text(text, encoding="utf-8")
