"""From one registered model and the repository to steps; what cannot be is refused here.

Nothing is changed. A version that is to be published is fetched, so that one without a package, of
another kind or with other tensors than callers know is refused before anything is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penchant.clients.contract import CHALLENGER_SUFFIX
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout.actual_state import Served, look
from penchant.serving.rollout.desired_state import RegisteredModel
from penchant.serving.rollout.gates import BLOCK, Finding, Gates, Verdict
from penchant.serving.rollout.packages import Packages
from penchant.serving.rollout.plan import Step
from penchant.serving.rollout.record import KEY, ROLE, remembered
from penchant.serving.rollout.roles import ROLES, served_name
from penchant.serving.rollout.wire_change import wire_changes
from penchant.serving.targets.rendering import TargetName
from penchant.serving.tracking_uri import StoreError


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """What there is to do about one model."""

    steps: Sequence[Step]
    """One for each role that is wanted or served."""
    found: Sequence[tuple[Step, Verdict]]
    """Refusals that were found by looking into a package, to be written on its version."""
    forgotten: Sequence[int]
    """Versions whose remembered outcome no longer counts: their alias went elsewhere."""


def plan_model(
    model: RegisteredModel,
    repository: Repository,
    packages: Packages,
    gates: Gates,
    *,
    target: TargetName | None,
) -> PlannedModel:
    """Compare what is wanted with what is served.

    Args:
        model: as the registry has it.
        repository: what is served.
        packages: where versions are looked into.
        gates: what was remembered under these counts.
        target: what is to run the model; None for what runs it now.

    Raises:
        StoreError: never; a store that fails is a reason to wait.
    """
    planner = _Planner(model, repository, packages, gates, target)
    steps = [step for role in ROLES if (step := planner.step(role)) is not None]
    forgotten = [
        number
        for number, version in model.versions.items()
        if version.tags.get(KEY) and model.aliases.get(version.tags.get(ROLE, "")) != number
    ]
    return PlannedModel(steps=steps, found=planner.found, forgotten=forgotten)


class _Planner:
    def __init__(
        self,
        model: RegisteredModel,
        repository: Repository,
        packages: Packages,
        gates: Gates,
        target: TargetName | None,
    ) -> None:
        self._model = model
        self._repository = repository
        self._packages = packages
        self._gates = gates
        self._target = target
        self.found: list[tuple[Step, Verdict]] = []

    def step(self, role: str) -> Step | None:
        """What to do about one role; None where nothing is wanted and nothing is served."""
        wanted = self._model.aliases.get(role)
        try:
            served = look(self._repository, served_name(self._model.name, role))
        except ValueError as error:
            return self._refused(role, wanted, str(error)) if wanted else None
        if wanted is None and served.version is None:
            return None
        step = Step(
            model=self._model.name,
            role=role,
            action="keep",
            version=wanted,
            served=served.version,
            target=self._target or self._target_of(served),
        )
        problem = self._problem(step, served)
        if problem:
            return step.because("refuse", problem)
        if wanted is None:
            return self._withdrawal(step)
        if role == CHALLENGER and CHAMPION not in self._model.aliases:
            reason = "no version is champion, beside which it would be served"
            return step.because("withdraw" if served.version else "wait", reason)
        runs_on = served.model.target if served.model else step.target
        if served.version == wanted and runs_on == step.target:
            return step
        if runs_on != step.target:
            step = step.because("keep", f"on {step.target} instead of {runs_on}")
        return remembered(self._model, step, self._gates) or self._publication(step)

    def _target_of(self, served: Served) -> str:
        """What runs the model now, else what runs its champion."""
        champion = look(self._repository, self._model.name)
        found = served.model or champion.model
        return found.target if found else "cpu"

    def _refused(self, role: str, version: int | None, reason: str) -> Step:
        step = Step(model=self._model.name, role=role, action="keep", version=version, served=None)
        return step.because("refuse", reason)

    def _problem(self, step: Step, served: Served) -> str:
        """What makes it impossible to follow the aliases, whatever the version; "" if nothing."""
        name, wanted = self._model.name, step.version
        if name.endswith(CHALLENGER_SUFFIX):
            return (
                f"the name ends in {CHALLENGER_SUFFIX}, as challengers of other models do; train "
                "it under another name"
            )
        if served.is_foreign:
            folder = self._repository.folder / served_name(name, step.role)
            return (
                f"another tool manages {folder}: its config is none that penchant wrote; move it "
                "away, or give another --repository"
            )
        if wanted is not None and wanted not in self._model.versions:
            known = ", ".join(map(str, sorted(self._model.versions))) or "none"
            return (
                f"the alias {step.role} names version {wanted}, which is not registered (there "
                f"are: {known}); point it at one that is: `penchant "
                f"promote --model {name} --version N`"
            )
        champion, challenger = (self._model.aliases.get(role) for role in ROLES)
        if champion is not None and champion == challenger:
            return (
                f"version {champion} is both champion and challenger; make it one of the two: "
                f"`penchant promote --model {name}` makes it champion"
            )
        return ""

    def _withdrawal(self, step: Step) -> Step:
        """Withdraw what has no alias any more, if the registry knows what it is about."""
        if step.served not in self._model.versions:
            return step.because(
                "wait",
                f"version {step.served} is served, but not registered: this may be another "
                "registry than it came from; it is not withdrawn",
            )
        return step.because("withdraw", f"no version is {step.role}")

    def _publication(self, step: Step) -> Step:
        """Publish, unless the package itself forbids it."""
        assert step.version is not None
        try:
            package = self._packages.get(step.model, step.version)
        except StoreError as error:
            return step.because("wait", str(error))
        except ValueError as error:
            return self._unfit(step, "integrity", str(error))
        champion = look(self._repository, step.model).model
        changes = wire_changes(champion.contract, package.contract) if champion else []
        if changes:
            reason = (
                f"callers of version {champion.package_version if champion else ''}, which is "
                f"served, would break: {'; '.join(changes)}. Train it under another name, or take "
                "the alias champion away first"
            )
            return self._unfit(step, "signature", reason)
        return step.because("publish", step.reason)

    def _unfit(self, step: Step, gate: str, reason: str) -> Step:
        finding = Finding(gate=gate, metric="", outcome=BLOCK, reason=reason)
        refused = step.because("refuse", reason)
        self.found.append((refused, Verdict(findings=[finding])))
        return refused
