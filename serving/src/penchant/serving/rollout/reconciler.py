"""Make the model repository follow the registry's aliases.

For each model: read what is wanted, look at what is served, take the difference as steps, try every
version that is to be published, publish those that pass, and write on each version what became of
it. What is served changes by one rename of a config; killed at any moment, the next round goes on.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from penchant.clients.home import Home
from penchant.serving.durable import exclusive
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.actual_state import look
from penchant.serving.rollout.desired_state import DesiredState, RegisteredModel
from penchant.serving.rollout.gates import BLOCK, PASS, Finding, Gates, Verdict
from penchant.serving.rollout.live_server import LiveServer
from penchant.serving.rollout.packages import Packages
from penchant.serving.rollout.plan import Plan, Step
from penchant.serving.rollout.planner import PlannedModel, plan_model
from penchant.serving.rollout.quality import not_compared
from penchant.serving.rollout.roles import as_served, served_name
from penchant.serving.rollout.trial import run_trial
from penchant.serving.targets.choose import make_target
from penchant.serving.targets.rendering import TargetName
from penchant.serving.tracking_uri import StoreError

LOCK_TIMEOUT_S: Final = 120.0
"""Longest wait for another reconciler: it may be trying a version."""

_logger: Final = logging.getLogger(__name__)


class Reconciler:
    """One registry, one repository, and the gates between them."""

    def __init__(
        self,
        desired: DesiredState,
        repository: Path,
        home: Home,
        gates: Gates,
        *,
        target: TargetName | None = None,
        on_step: Callable[[str], None] = lambda step: None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            desired: what is wanted.
            repository: folder that Triton loads models from.
            home: where a server may run from.
            gates: what a version has to pass.
            target: what is to run the models; by default what runs each of them now, else cpu.
            on_step: called with the name of each step before it is done.
            lock_timeout_s: how long to wait for another reconciler.
        """
        self._desired = desired
        self._repository = Repository(repository, on_step=on_step)
        self._home = home
        self._gates = gates
        self._target = target
        self._on_step = on_step
        self._lock_timeout_s = lock_timeout_s

    def plan(self, models: Sequence[str] = ()) -> Plan:
        """What a round would do, without the trials; nothing is written.

        Raises:
            StoreError: if the store fails.
            ValueError: if a named model is not registered.
        """
        with tempfile.TemporaryDirectory() as folder:
            packages = Packages(self._desired, Path(folder))
            steps = [
                step
                for model in self._desired.models(models)
                for step in self._planned(model, packages).steps
            ]
        return Plan(steps=steps)

    def reconcile(self, models: Sequence[str] = ()) -> Plan:
        """Do it; what became of each step.

        Raises:
            StoreError: if the store fails; what is served stays.
            ValueError: if a named model is not registered, or another reconciler works too long.
        """
        with self._alone():
            return Plan(
                steps=[
                    step
                    for model in self._desired.models(models)
                    for step in self._reconcile_model(model)
                ]
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, also of another process."""
        staging = self._repository.staging
        staging.mkdir(parents=True, exist_ok=True)
        with exclusive(staging / "reconcile.lock", timeout_s=self._lock_timeout_s):
            yield

    def _planned(self, model: RegisteredModel, packages: Packages) -> PlannedModel:
        return plan_model(model, self._repository, packages, self._gates, target=self._target)

    def _reconcile_model(self, model: RegisteredModel) -> list[Step]:
        with tempfile.TemporaryDirectory() as folder:
            packages = Packages(self._desired, Path(folder))
            planned = self._planned(model, packages)
            for step, verdict in planned.found:
                self._write_verdict(model, step, verdict)
            done = [self._take(model, step, packages) for step in planned.steps]
        for version in planned.forgotten:
            record.write(self._desired, model, version, {record.KEY: ""})
        return done

    def _take(self, model: RegisteredModel, step: Step, packages: Packages) -> Step:
        """Take one step; a failure of the store or of the disk is a reason to try again later."""
        try:
            if step.action == "publish":
                return self._publish(model, step, packages)
            if step.action == "withdraw":
                return self._withdraw(step)
        except (StoreError, OSError) as error:
            return step.because("wait", str(error))
        return step

    def _withdraw(self, step: Step) -> Step:
        """Withdraw, if the registry says in so many words that the alias is gone.

        That a list of aliases lacks it may be a mistake; a served model would pay for it.
        """
        aliases = (step.role, CHAMPION)
        if not any(self._desired.is_without(step.model, alias) for alias in aliases):
            return step.because("wait", "the registry does not say so when asked again")
        self._on_step("withdraw")
        self._repository.withdraw(served_name(step.model, step.role))
        return step

    def _publish(self, model: RegisteredModel, step: Step, packages: Packages) -> Step:
        """Try a version, and publish it where it passes."""
        assert step.version is not None
        if step.role == CHALLENGER and look(self._repository, step.model).version is None:
            return step.because("wait", "no champion is served, beside which it would be")
        package = packages.get(step.model, step.version)
        target = make_target(step.target, engines=self._home.engines)
        try:
            target.require(as_served(package, step.role), step.version)
        except ValueError as error:
            return step.because("wait", str(error))
        self._on_step("try")
        verdict = self._try(model, step, packages)
        self._on_step("write the verdict")
        self._write_verdict(model, step, verdict)
        if verdict.outcome == BLOCK:
            return step.because("refuse", verdict.reason)
        if verdict.outcome != PASS and not self._is_accepted(model, step):
            return step.because("hold", verdict.reason)
        name, served = served_name(step.model, step.role), as_served(package, step.role)
        try:
            self._repository.publish(served, version=step.version, target=target)
        except ValueError as error:
            return step.because("wait", str(error))
        return self._verify(model, step, name)

    def _try(self, model: RegisteredModel, step: Step, packages: Packages) -> Verdict:
        """What the gates find; one that goes back has been served already."""
        from penchant.serving.preflight import preflight

        assert step.version is not None
        package = packages.get(step.model, step.version)
        num_files = len(package.manifest.files)
        findings = [_passed("integrity", f"all {num_files} files are as they were sealed")]
        try:
            preflight(
                package,
                version=step.version,
                in_steps=step.target != "cpu",
                timeout_s=self._gates.preflight.timeout_s,
            )
        except ValueError as error:
            return Verdict(findings=[*findings, _blocked("preflight", str(error))])
        findings.append(_passed("preflight", "every golden row is answered as PyTorch did"))
        if record.goes_back(model, step) or step.served == step.version:
            return Verdict(findings=findings)
        served, champion = look(self._repository, step.model).version, None
        if served is not None:
            champion = packages.find(step.model, served)
            if champion is None:
                why = f"version {served}, which is served, is not registered with its package"
                findings.append(not_compared(why))
        return Verdict(findings=[*findings, *run_trial(package, champion, self._gates)])

    def _is_accepted(self, model: RegisteredModel, step: Step) -> bool:
        """Whether an undecided version may be served: as challenger it may, to gather evidence."""
        assert step.version is not None
        is_accepted = bool(model.tag(step.version, record.ACCEPTED))
        return step.role != CHAMPION or self._gates.undecided == "pass" or is_accepted

    def _verify(self, model: RegisteredModel, step: Step, name: str) -> Step:
        """Where a server runs, wait until it answers with the version; write since when."""
        assert step.version is not None
        self._on_step("verify")
        server = LiveServer.of(self._home, self._repository)
        problem = server.await_version(name, step.version) if server else ""
        if not problem:
            self._on_step("write that it is served")
            tags = {record.OUTCOME: "served", record.SERVED_SINCE: record.now()}
            try:
                record.write(self._desired, model, step.version, tags)
            except StoreError as error:
                _logger.warning("%s is served, but that is not written: %s", step, error)
            return step
        if "took it back" not in problem:
            return step.because("wait", problem)
        self._write_verdict(model, step, Verdict(findings=[_blocked("server", problem)]))
        return step.because("refuse", problem)

    def _write_verdict(self, model: RegisteredModel, step: Step, verdict: Verdict) -> None:
        record.write_verdict(self._desired, model, step, verdict, self._gates)


def _passed(gate: str, reason: str) -> Finding:
    return Finding(gate=gate, metric="", outcome=PASS, reason=reason)


def _blocked(gate: str, reason: str) -> Finding:
    return Finding(gate=gate, metric="", outcome=BLOCK, reason=reason)
