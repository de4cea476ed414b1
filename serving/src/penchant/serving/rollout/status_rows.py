"""What is wanted and what is served, side by side: a row for each model and role."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.actual_state import Served, look
from penchant.serving.rollout.desired_state import RegisteredModel
from penchant.serving.rollout.live_server import LiveServer
from penchant.serving.rollout.roles import ROLES, served_name


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


def registered_rows(
    models: Iterable[RegisteredModel], repository: Repository, server: LiveServer | None
) -> list[Row]:
    """A row for each registered model and role that is wanted or served."""
    return [
        row
        for model in models
        for role in ROLES
        if (row := _row(model, role, repository, server)) is not None
    ]


def other_rows(
    known: Collection[str], repository: Repository, server: LiveServer | None
) -> list[Row]:
    """A row for each model that penchant published and that is not known as registered.

    Args:
        known: names of the registered models.
        repository: what is served.
        server: what serves it, if anything does.
    """
    names = {served_name(model, role) for model in known for role in ROLES}
    rows = []
    for name in repository.models():
        served = look(repository, name)
        if name in names or served.model is None:
            continue
        rows.append(
            Row(
                model=name,
                role="",
                wanted=None,
                served=served.version,
                target=served.model.target,
                since="",
                health=_health(name, served, server),
                refusal="",
            )
        )
    return rows


def _row(
    model: RegisteredModel, role: str, repository: Repository, server: LiveServer | None
) -> Row | None:
    name, wanted = served_name(model.name, role), model.aliases.get(role)
    served = look(repository, name)
    if wanted is None and served.version is None:
        return None
    return Row(
        model=model.name,
        role=role,
        wanted=wanted,
        served=served.version,
        target=served.model.target if served.model else "",
        since=model.tag(served.version, record.SERVED_SINCE) if served.version else "",
        health=_health(name, served, server),
        refusal=_refusal(model, role),
    )


def _health(name: str, served: Served, server: LiveServer | None) -> str:
    if served.is_foreign:
        return "another tool's"
    if served.version is None:
        return "not served"
    return (server.problem(name) or "answers") if server else "no server runs"


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
