"""``penchant publish``: serve the newest version of a model, as ``penchant promote`` does any."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from penchant.serving.registry import CHAMPION
from penchant.serving.rollout.gates import DEFAULT_GATES, Gates
from penchant.serving.rollout.roles import check_name
from penchant.serving.rollout.rollout import Rollout, is_done
from penchant.serving.targets.rendering import TargetName


def publish(
    model: str = "propensity",
    *,
    version: int | None = None,
    target: TargetName | None = None,
    gates: Gates = DEFAULT_GATES,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> str:
    """Make the newest version champion; a running ``penchant serve`` takes it up within seconds.

    It is ``penchant promote --version N`` with the newest version for N: the version is checked
    file by file, tried in a process of its own, and compared with the one served so far, which
    stays if anything fails.

    Args:
        model: registered model.
        version: version in the registry; by default the newest.
        target: what is to run it; by default what runs the model now, else cpu.
        gates: what the version has to pass; a YAML file, or one option a setting.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        What was published, in one line.

    Raises:
        ValueError: if there is no such version, it is refused, or it cannot be written.
    """
    check_name(model)
    with Console(stderr=True).status(f"publishing {model}"):
        rollout = Rollout.open(
            home, tracking_uri=tracking_uri, repository=repository, gates=gates, target=target
        )
        registered = rollout.model(model)
        chosen = max(registered.versions, default=0) if version is None else version
        step = rollout.follow(registered, CHAMPION, chosen)
    if not is_done(step):
        raise ValueError(f"{step}; `penchant promote --model {model}` can accept what is undecided")
    return f"published {model} version {chosen} as {rollout.repository.served(model).folder}"
