"""``penchant publish``: put a registered version where Triton loads it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from penchant.clients.contract import MODEL_NAME
from penchant.clients.home import Home
from penchant.serving.preflight import preflight
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.repository import Repository
from penchant.serving.tracking_uri import masked


def publish(
    model: str = "propensity",
    *,
    version: int | None = None,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> str:
    """Publish a registered version; a running ``penchant serve`` takes it up within seconds.

    The version is checked file by file and tried in a process of its own first. Until all is in
    place the version served so far stays.

    Args:
        model: registered model.
        version: version in the registry; by default the newest.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        What was published, in one line.

    Raises:
        ValueError: if there is no such version, it is damaged, or it cannot be written.
    """
    if not MODEL_NAME.fullmatch(model):
        raise ValueError(
            "model: expected the name of a registered model, 1 to 64 of A-Z a-z 0-9 _, got "
            f"{model!r}; correct --model"
        )
    console = Console(stderr=True)
    folder = Repository(repository or Home(home).model_repository)
    with console.status(f"publishing {model}"), tempfile.TemporaryDirectory() as temporary:
        registry = Registry(Home(home), tracking_uri).connect()
        chosen = registry.newest(model) if version is None else version
        if chosen is None:
            raise ValueError(
                f"model: expected a registered model, got {model!r}, of which there is no version "
                f"in {masked(registry.tracking_uri)}; `penchant train propensity` or `penchant "
                "train journeys` registers one"
            )
        package = registry.fetch(model, chosen, Path(temporary))
        preflight(package, version=chosen)
        number = folder.publish(package, version=chosen)
        # Only now: whoever follows the alias finds a version that the repository holds.
        registry.set_alias(model, CHAMPION, chosen)
    return f"published {model} version {chosen} as {folder.folder / model / str(number)}"
