"""``penchant reconcile``: make the server follow the registry, once or for good."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path

from rich.console import Console

from penchant.serving.rollout.gates import DEFAULT_GATES, Gates
from penchant.serving.rollout.roles import check_name
from penchant.serving.rollout.rollout import Rollout
from penchant.serving.rollout.watch import Watch
from penchant.serving.targets.rendering import TargetName


def reconcile(
    *,
    model: str | None = None,
    watch: bool = False,
    dry_run: bool = False,
    interval_s: float = 10.0,
    target: TargetName | None = None,
    gates: Gates = DEFAULT_GATES,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> int:
    """Serve what the registry's aliases champion and challenger name, and nothing else.

    Each version has to pass the gates first; one that does not leaves the old version serving, with
    the reason written on it. Prints one line for each model and role.

    Args:
        model: only this registered model; by default all.
        watch: go on, until Ctrl-C or, after the round at hand, SIGTERM; a registry that is away or
            answers wrongly changes nothing.
        dry_run: only say what there is to do.
        interval_s: with watch, seconds between two looks.
        target: what is to run them; by default what runs each of them now, else cpu.
        gates: what a version has to pass; a YAML file, or one option a setting.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        Exit code: 0, or 1 where something is not served as wanted.

    Raises:
        ValueError: if the registry does not answer, or another reconciler works too long.
    """
    if not interval_s > 0:
        raise ValueError(f"interval_s: expected more than 0 seconds, got {interval_s}; raise it")
    if watch and dry_run:
        raise ValueError("dry_run: expected without watch, got both; leave one of them out")
    if model is not None:
        check_name(model)
    console = Console(highlight=False, soft_wrap=True)
    models = [] if model is None else [model]

    def open_rollout() -> Rollout:
        return Rollout.open(
            home, tracking_uri=tracking_uri, repository=repository, gates=gates, target=target
        )

    if watch:
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
        say = partial(console.print, markup=False)
        Watch(open_rollout, interval_s, say=say).run(models, stopping)
        return 0
    rollout = open_rollout()
    with Console(stderr=True).status("following the registry"):
        plan = (rollout.reconciler.plan if dry_run else rollout.reconciler.reconcile)(models)
    console.print(str(plan), markup=False)
    return int(bool(plan.not_done))
