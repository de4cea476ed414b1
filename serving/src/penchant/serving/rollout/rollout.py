"""A registry and a repository together: what the verbs are thin on top of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penchant.clients.home import Home
from penchant.serving.registry import CHALLENGER, CHAMPION, Registry
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.actual_state import look
from penchant.serving.rollout.desired_state import DesiredState, RegisteredModel
from penchant.serving.rollout.gates import DEFAULT_GATES, Gates
from penchant.serving.rollout.plan import NOT_DONE, Plan, Step
from penchant.serving.rollout.reconciler import Reconciler
from penchant.serving.rollout.roles import ROLES
from penchant.serving.targets.rendering import TargetName


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Moves aliases, and has the repository follow."""

    desired: DesiredState
    """What the registry wants."""
    repository: Repository
    """What is served."""
    reconciler: Reconciler
    """What makes one follow the other."""

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        tracking_uri: str | None = None,
        repository: Path | None = None,
        gates: Gates = DEFAULT_GATES,
        target: TargetName | None = None,
    ) -> Rollout:
        """Connect to the registry.

        Raises:
            ValueError: if it does not answer.
        """
        desired = DesiredState(Registry(Home(home), tracking_uri).connect())
        folder = repository or Home(home).model_repository
        reconciler = Reconciler(desired, folder, Home(home), gates, target=target)
        return cls(desired=desired, repository=Repository(folder), reconciler=reconciler)

    def model(self, name: str) -> RegisteredModel:
        """A registered model.

        Raises:
            ValueError: if there is none of that name.
        """
        return self.desired.models([name])[0]

    def move(self, model: RegisteredModel, role: str, version: int) -> None:
        """Point an alias at a version, which then has no other role.

        Raises:
            ValueError: if there is no such version, it is the champion that is to be challenger, or
                the store fails.
        """
        if role == CHALLENGER and model.aliases.get(CHAMPION) == version:
            raise ValueError(
                f"version: expected another than the champion, got version {version} of "
                f"{model.name!r}, which is; make another version champion first"
            )
        self.desired.point(model.name, role, version)
        # Asked for anew, it is tried anew.
        if model.tag(version, record.KEY):
            self.desired.write(model.name, version, {record.KEY: ""})
        for other in ROLES:
            if other != role and model.aliases.get(other) == version:
                self.desired.unpoint(model.name, other)

    def follow(self, model: RegisteredModel, role: str, version: int) -> Step:
        """Move an alias and have it followed; one that is refused goes back to where it was.

        Args:
            model: as it stands before.
            role: champion or challenger.
            version: the version that is to have it.

        Returns:
            What became of it.

        Raises:
            ValueError: if there is no such version, the store fails, or another reconciler works
                too long.
        """
        self.move(model, role, version)
        plan = self.reconciler.reconcile([model.name])
        step = _step_of(plan, role, version)
        if step.action in ("refuse", "hold"):
            self._put_back(model, role, version)
        return step

    def _put_back(self, before: RegisteredModel, role: str, version: int) -> None:
        """Give the aliases back what they named, unless somebody moved them meanwhile."""
        now = self.model(before.name)
        if now.aliases.get(role) != version:
            return
        for alias in ROLES:
            was, is_now = before.aliases.get(alias), now.aliases.get(alias)
            if was is not None and was != is_now and was in now.versions:
                self.desired.point(before.name, alias, was)
            elif was is None and is_now is not None:
                self.desired.unpoint(before.name, alias)

    def version_before(self, model: RegisteredModel) -> int:
        """The version that a rollback leads to.

        Raises:
            ValueError: if there is none.
        """
        champion = model.aliases.get(CHAMPION)
        if champion is None:
            raise ValueError(
                f"model: expected one with a champion, got {model.name!r} without; `penchant "
                f"promote --model {model.name} --version N` makes one"
            )
        before = model.tag(champion, record.SERVED_BEFORE)
        served = look(self.repository, model.name).version
        if not before and served not in (None, champion):
            before = str(served)
        if not before:
            raise ValueError(
                f"model: expected one whose champion took another version's place, got "
                f"{model.name!r}, whose version {champion} is the first; `penchant promote "
                f"--model {model.name} --version N` serves another"
            )
        if int(before) not in model.versions:
            raise ValueError(
                f"version: expected version {before} of {model.name!r}, which was served before "
                f"version {champion}, got none: it is no longer registered; `penchant promote "
                f"--model {model.name} --version N` serves another"
            )
        return int(before)


def default_version(model: RegisteredModel) -> int:
    """The version to promote where none is named: the challenger.

    Raises:
        ValueError: if there is none.
    """
    version = model.aliases.get(CHALLENGER)
    if version is None:
        known = ", ".join(map(str, sorted(model.versions))) or "none"
        raise ValueError(
            f"version: expected one, for {model.name!r} has no challenger; name one of its "
            f"versions ({known}) with --version"
        )
    return version


def _step_of(plan: Plan, role: str, version: int) -> Step:
    for step in plan.steps:
        if step.role == role:
            return step
    raise ValueError(
        f"version {version}: expected it to be {role}, but the registry says it has no alias now: "
        "somebody moved it meanwhile; look with `penchant status`"
    )


def is_done(step: Step) -> bool:
    """Whether the version is served."""
    return step.action not in NOT_DONE
