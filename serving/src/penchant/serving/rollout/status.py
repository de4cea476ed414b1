"""``penchant status``: what is wanted, what is served, and why they differ where they do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penchant.clients.home import Home
from penchant.serving.rollout import record
from penchant.serving.rollout.actual_state import look
from penchant.serving.rollout.desired_state import RegisteredModel
from penchant.serving.rollout.live_server import LiveServer
from penchant.serving.rollout.roles import ROLES, check_name, served_name
from penchant.serving.rollout.rollout import Rollout

_HEADS = ("model", "role", "wanted", "served", "target", "since", "health", "last refusal")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model in one role."""

    model: str
    role: str
    wanted: int | None
    """Version that the alias names."""
    served: int | None
    """Version that the repository serves."""
    target: str
    """What it runs on; "" where nothing is served."""
    since: str
    """When it was served first; "" where the registry does not say."""
    health: str
    """Whether the running server answers rightly."""
    refusal: str
    """The newest version that was not let through, when, and why."""

    @property
    def is_well(self) -> bool:
        """Whether what is wanted is served, and answers if a server runs."""
        return self.wanted == self.served and self.health in ("answers", "no server runs")


def status(
    *,
    model: str | None = None,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
    repository: Path | None = None,
) -> int:
    """Show for every model which versions are wanted and served, whether they answer, and refusals.

    Args:
        model: only this registered model; by default all.
        home: the folder that penchant works in.
        tracking_uri: MLflow store; by default that of MLFLOW_TRACKING_URI, else the one in home.
        repository: where Triton loads models from; by default in home.

    Returns:
        Exit code: 0, or 1 where something is not served as wanted, or does not answer.

    Raises:
        ValueError: if the registry does not answer, or there is no such model.
    """
    if model is not None:
        check_name(model)
    rollout = Rollout.open(home, tracking_uri=tracking_uri, repository=repository)
    rows = find_rows(rollout, Home(home), [] if model is None else [model])
    table = Table(*_HEADS, box=None)
    for row in rows:
        numbers = (_number(row.wanted), _number(row.served))
        words = (row.target, row.since, row.health, row.refusal)
        table.add_row(*map(Text, (row.model, row.role, *numbers, *words)))
    Console(soft_wrap=True).print(table if rows else Text("no model is registered, none is served"))
    return int(not all(row.is_well for row in rows))


def find_rows(rollout: Rollout, home: Home, models: list[str]) -> list[Row]:
    """A row for each model and role that is wanted or served.

    Raises:
        ValueError: if the registry does not answer, or there is no such model.
    """
    server = LiveServer.of(home, rollout.repository)
    return [
        row
        for model in rollout.desired.models(models)
        for role in ROLES
        if (row := _row(rollout, server, model, role)) is not None
    ]


def _row(
    rollout: Rollout, server: LiveServer | None, model: RegisteredModel, role: str
) -> Row | None:
    name, wanted = served_name(model.name, role), model.aliases.get(role)
    served = look(rollout.repository, name)
    if wanted is None and served.version is None:
        return None
    health = "not served"
    if served.is_foreign:
        health = "another tool's"
    elif served.version is not None:
        health = "no server runs"
        if server:
            health = server.problem(name) or "answers"
    since = model.tag(served.version, record.SERVED_SINCE) if served.version else ""
    return Row(
        model=model.name,
        role=role,
        wanted=wanted,
        served=served.version,
        target=served.model.target if served.model else "",
        since=since,
        health=health,
        refusal=_refusal(model, role),
    )


def _refusal(model: RegisteredModel, role: str) -> str:
    """The newest refusal for a role, in words; "" where none is known."""
    refused = [
        number
        for number in model.versions
        if model.tag(number, record.ROLE) == role
        and model.tag(number, record.OUTCOME) in ("refused", "undecided")
    ]
    if not refused:
        return ""
    last = max(refused, key=lambda number: model.tag(number, record.AT))
    outcome, at, reason = (
        model.tag(last, name) for name in (record.OUTCOME, record.AT, record.REASON)
    )
    return f"version {last} {outcome} at {at}: {reason}"


def _number(version: int | None) -> str:
    return "-" if version is None else str(version)
