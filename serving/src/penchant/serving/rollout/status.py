"""``penchant status``: what is wanted, what is served, and why they differ where they do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penchant.clients.home import Home
from penchant.serving.registry import Registry
from penchant.serving.repository import Repository
from penchant.serving.rollout.desired_state import DesiredState
from penchant.serving.rollout.live_server import LiveServer
from penchant.serving.rollout.roles import check_name
from penchant.serving.rollout.status_rows import Row, other_rows, registered_rows
from penchant.serving.tracking_uri import StoreError

_HEADS: Final = ("model", "role", "wanted", "served", "target", "since", "health")


def status(
    *,
    model: str | None = None,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> int:
    """Show for every model which versions are wanted and served, whether they answer, and refusals.

    Where the registry does not answer, what is served is shown still.

    Args:
        model: only this registered model; by default all.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        Exit code: 0, or 1 where something is not served as wanted, or does not answer.

    Raises:
        ValueError: if there is no such model.
    """
    if model is not None:
        check_name(model)
    console = Console(soft_wrap=True)
    place = Repository(repository or Home(home).model_repository)
    server = LiveServer.of(Home(home), place)
    problem = ""
    try:
        registry = Registry(Home(home), tracking_uri).connect()
        models = DesiredState(registry).models([] if model is None else [model])
    except StoreError as error:
        problem, models = str(error), []
    rows = registered_rows(models, place, server)
    if model is None or problem:
        rows += other_rows({each.name for each in models}, place, server)
    console.print(_table(rows) if rows else "no model is registered, none is served")
    for row in rows:
        if row.refusal:
            console.print(Text(f"{row.model}, {row.role}: {row.refusal}"))
    if problem:
        console.print(Text(f"What is wanted is not known: {problem}"))
    return int(bool(problem) or not all(row.is_well for row in rows))


def _table(rows: list[Row]) -> Table:
    table = Table(box=None)
    for head in _HEADS:
        # What is long is for the last column to wrap.
        table.add_column(head, no_wrap=head != _HEADS[-1])
    for row in rows:
        numbers = (_number(row.wanted), _number(row.served))
        words = (row.target, row.since.removesuffix("+00:00"), row.health)
        table.add_row(*map(Text, (row.model, row.role, *numbers, *words)))
    return table


def _number(version: int | None) -> str:
    return "-" if version is None else str(version)
