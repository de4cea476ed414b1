"""``penchant promote``: make a version champion or challenger, if it passes the gates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console

from penchant.serving.registry import CHAMPION
from penchant.serving.rollout import record
from penchant.serving.rollout.gates import DEFAULT_GATES, Gates
from penchant.serving.rollout.roles import check_name
from penchant.serving.rollout.rollout import Rollout, default_version, is_done
from penchant.serving.targets.rendering import TargetName


def promote(
    model: str,
    *,
    version: int | None = None,
    to: Literal["champion", "challenger"] = CHAMPION,
    accept_undecided: bool = False,
    alias_only: bool = False,
    target: TargetName | None = None,
    gates: Gates = DEFAULT_GATES,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> str:
    """Move an alias to a version and serve it; a version that the gates refuse changes nothing.

    Args:
        model: registered model.
        version: version in the registry; by default the challenger.
        to: the role that it gets: champion answers to the model's name, challenger to
            <model>_challenger, beside it.
        accept_undecided: serve it also where the evidence does not tell it from a worse one; who
            accepted it is written on the version.
        alias_only: only move the alias; a `penchant reconcile --watch` elsewhere does the rest.
        target: what is to run it; by default what runs the model now, else cpu.
        gates: what the version has to pass; a YAML file, or one option a setting.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        What is served now, in one line.

    Raises:
        ValueError: if there is no such version, or it is refused, with the reason.
    """
    check_name(model)
    with Console(stderr=True).status(f"promoting {model}"):
        rollout = Rollout.open(
            home, tracking_uri=tracking_uri, repository=repository, gates=gates, target=target
        )
        registered = rollout.model(model)
        chosen = default_version(registered) if version is None else version
        if accept_undecided and chosen in registered.versions:
            rollout.desired.write(model, chosen, {record.ACCEPTED: record.acceptance()})
            registered = rollout.model(model)
        if alias_only:
            rollout.move(registered, to, chosen)
            return f"the alias {to} of {model} names version {chosen}"
        step = rollout.follow(registered, to, chosen)
    if not is_done(step):
        raise ValueError(
            f"{step}. The alias names what it named before; `penchant status` shows what is served"
            if step.action != "wait"
            else f"{step}. The alias names it; `penchant reconcile` tries again"
        )
    return f"{to} of {model} is version {chosen}"
