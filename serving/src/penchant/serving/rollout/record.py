"""What is written on a version in the registry: what its gates found, and what it replaced.

The tags are there for people who look at the version in MLflow, and for the next round: a refusal
is remembered until the role, the gates, the champion or a person's acceptance change.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from penchant.serving.registry import CHAMPION
from penchant.serving.rollout.desired_state import DesiredState, RegisteredModel
from penchant.serving.rollout.gates import BLOCK, PASS, Gates, Verdict
from penchant.serving.rollout.plan import Step
from penchant.serving.tracking_uri import StoreError

_PREFIX: Final = "penchant.rollout."
OUTCOME: Final = _PREFIX + "outcome"
"""served, refused or undecided."""
REASON: Final = _PREFIX + "reason"
AT: Final = _PREFIX + "at"
"""When the outcome was known: ISO 8601, UTC."""
ROLE: Final = _PREFIX + "role"
EVIDENCE: Final = _PREFIX + "evidence"
"""Artifact of the version's run that holds every finding."""
KEY: Final = _PREFIX + "key"
"""Digest of what the outcome depends on; the tag goes when the alias does."""
SERVED_BEFORE: Final = _PREFIX + "served_before"
"""Version that was champion when this one was to take its place: where a rollback leads."""
SERVED_SINCE: Final = _PREFIX + "served_since"
ACCEPTED: Final = _PREFIX + "accepted"
"""Who accepted an undecided version, and when."""
ROLLED_BACK: Final = _PREFIX + "rolled_back_at"

_MOST_TEXT: Final = 900
"""Letters of a reason: what every store takes in a tag."""


def now() -> str:
    """The time, as tags have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def acceptance() -> str:
    """Who accepts, and when."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "somebody"
    return f"{user} on {socket.gethostname()} at {now()}"


def key_of(model: RegisteredModel, step: Step, gates: Gates) -> str:
    """Digest of everything that a step's outcome depends on."""
    assert step.version is not None
    accepted = model.tag(step.version, ACCEPTED)
    parts = [step.role, step.version, step.served, step.target, gates.digest(), accepted]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def remembered(model: RegisteredModel, step: Step, gates: Gates) -> Step | None:
    """The step with the outcome that is known already; None where it has to be found out."""
    assert step.version is not None
    if model.tag(step.version, KEY) != key_of(model, step, gates):
        return None
    outcome = model.tag(step.version, OUTCOME)
    if outcome not in ("refused", "undecided"):
        return None
    reason = f"{model.tag(step.version, REASON)} (known since {model.tag(step.version, AT)})"
    return step.because("refuse" if outcome == "refused" else "hold", reason)


def write_verdict(
    desired: DesiredState, model: RegisteredModel, step: Step, verdict: Verdict, gates: Gates
) -> None:
    """Write what the gates found on the version, with all evidence among its run's artifacts.

    Raises:
        StoreError: if the store fails.
    """
    assert step.version is not None
    at = now()
    run_id, path = model.versions[step.version].run_id, ""
    if run_id:
        path = f"rollout/{step.role}-v{step.version}-{at.replace(':', '')}.json"
        evidence = {
            "model": step.model,
            "version": step.version,
            "role": step.role,
            "instead_of": step.served,
            "target": step.target,
            "at": at,
            "outcome": verdict.outcome,
            "findings": [finding.as_dict() for finding in verdict.findings],
        }
        try:
            desired.log(step.model, run_id, path, evidence)
        except StoreError:
            # Runs may be deleted, and their artifacts read-only; the tags tell the reason then.
            path = ""
    outcome = {PASS: "passed", BLOCK: "refused"}.get(verdict.outcome, "undecided")
    tags = {
        OUTCOME: outcome,
        REASON: verdict.reason[:_MOST_TEXT],
        AT: at,
        ROLE: step.role,
        EVIDENCE: path,
        KEY: key_of(model, step, gates),
    }
    if (
        step.role == CHAMPION
        and step.served not in (None, step.version)
        and not goes_back(model, step)
    ):
        tags[SERVED_BEFORE] = str(step.served)
    write(desired, model, step.version, tags)


def goes_back(model: RegisteredModel, step: Step) -> bool:
    """Whether a step leads back to the version that was served before the one that is served."""
    is_champion = step.role == CHAMPION and step.served is not None
    return is_champion and model.tag(step.served or 0, SERVED_BEFORE) == str(step.version)


def write(
    desired: DesiredState, model: RegisteredModel, version: int, tags: Mapping[str, str]
) -> None:
    """Write tags; an empty one is taken away where the version has it.

    Raises:
        StoreError: if the store fails.
    """
    there = {name: value for name, value in tags.items() if value or model.tag(version, name)}
    desired.write(model.name, version, there)
