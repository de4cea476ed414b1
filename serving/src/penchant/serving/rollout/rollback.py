"""``penchant rollback``: serve again what was served before."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from penchant.serving.registry import CHAMPION
from penchant.serving.rollout import record
from penchant.serving.rollout.roles import check_name
from penchant.serving.rollout.rollout import Rollout, is_done


def rollback(
    model: str,
    *,
    alias_only: bool = False,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> str:
    """Make the version champion again whose place the champion took, and serve it.

    Which one that was is written on the champion in the registry, so that any machine can do it; a
    second rollback goes one further back. It has been served before: it only has to be whole and to
    answer its golden rows.

    Args:
        model: registered model.
        alias_only: only move the alias; a `penchant reconcile --watch` elsewhere does the rest.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        What is served now, in one line.

    Raises:
        ValueError: if no version was served before, or it can no longer be.
    """
    check_name(model)
    with Console(stderr=True).status(f"rolling {model} back"):
        rollout = Rollout.open(home, tracking_uri=tracking_uri, repository=repository)
        registered = rollout.model(model)
        before = rollout.version_before(registered)
        champion = registered.aliases[CHAMPION]
        rollout.desired.write(model, champion, {record.ROLLED_BACK: record.now()})
        if alias_only:
            rollout.move(registered, CHAMPION, before)
            return f"the alias {CHAMPION} of {model} names version {before} again"
        step = rollout.follow(registered, CHAMPION, before)
    if not is_done(step):
        raise ValueError(f"{step}. `penchant promote --model {model} --version N` serves another")
    return f"champion of {model} is version {before} again, instead of version {champion}"
