"""One start of tritonserver: its models, their canaries, and what is published meanwhile.

A version that does not load, or that answers its first canary wrongly, is taken back: the config
that was served before stands in the repository again, so that a later restart finds it too.
"""

from __future__ import annotations

import time

from penchant.serving.canary import (
    BusyError,
    Canary,
    CanaryError,
    UnreachableError,
    WrongAnswerError,
)
from penchant.serving.health import Health
from penchant.serving.loaded_parts import LoadedParts
from penchant.serving.process import TritonProcess
from penchant.serving.repository import Stamp
from penchant.serving.server_plan import ServerPlan


class WatchedServer:
    """A tritonserver process, the canary in front of it, and what both have told."""

    def __init__(self, plan: ServerPlan) -> None:
        """Start the process; its models are not loaded yet."""
        self._plan = plan
        self._repository = plan.repository
        stamps = {model: self._repository.stamp(model) for model in self._repository.models()}
        self._stamps: dict[str, Stamp | None] = dict(stamps)
        self.models = [model for model in stamps if plan.rejected.get(model) != stamps[model]]
        self._processes = {model: self._num_processes(model) for model in self.models}
        self._unproven = set(self.models)
        self._gone: set[str] = set()
        self._parts = LoadedParts(self._repository, self.models)
        self.process = TritonProcess(
            plan.server,
            self._repository.folder,
            models=(*self._parts.names, *self.models),
            ports=plan.ports,
            home=plan.home.folder,
            open_statistics=plan.open_statistics,
        )
        self._canary = Canary(plan.address, self.process.headers, self._repository)
        self._health = Health(self._canary, self.process, plan.watch)
        self._timeout_s = plan.watch.canary_timeout_s

    @property
    def in_doubt(self) -> bool:
        """Whether something failed when it was last looked at, so that a second look is due."""
        return self._health.in_doubt

    def kill(self) -> None:
        """End it at once."""
        self._canary.close()
        self.process.kill()

    def stop(self) -> None:
        """Let it finish what it has taken, and end it."""
        self._canary.close()
        self.process.stop()

    def version(self) -> str:
        """Triton's version.

        Raises:
            CanaryError: if the server does not say.
        """
        return self._canary.server_version(timeout_s=self._timeout_s)

    def await_models(self, *, forgiving: bool) -> None:
        """Wait until every model has given the right answer.

        Args:
            forgiving: whether a model that does not may be taken back or left out.

        Raises:
            ValueError: if they do not; the message holds the server's last words.
        """
        deadline = time.monotonic() + self._plan.watch.start_timeout_s
        waiting = set(self.models)
        problems: dict[str, str] = {}
        while waiting:
            code = self.process.exit_code()
            if code is not None or time.monotonic() > deadline or self._plan.stopping.is_set():
                ended = "is not ready in time" if code is None else f"ended with code {code}"
                if forgiving and not self._plan.stopping.is_set():
                    self._suspect(waiting, f"tritonserver {ended}")
                raise self._no_start(f"tritonserver {ended}; {'; '.join(problems.values())}")
            hopeless = [model for model in sorted(waiting) if self._first_canary(model, problems)]
            waiting &= self._unproven
            for model in sorted({*hopeless, *self._given_up(waiting)}):
                problem = problems.get(model, f"model {model!r} does not load")
                if not forgiving:
                    raise self._no_start(problem)
                if not self._take_back(model, problem):
                    if self.models in ([], [model]):
                        raise self._no_start(problem)
                    self.models = [other for other in self.models if other != model]
                    waiting.discard(model)
            self._plan.stopping.wait(0.05 if waiting else 0)

    def trouble(self, *, canaries: bool) -> str | None:
        """What makes a restart necessary; None where all is well."""
        code = self.process.exit_code()
        if code is not None:
            return f"tritonserver ended with code {code}"
        for model in self._repository.models():
            if self._repository.stamp(model) != self._stamps.get(model):
                trouble = self._reload(model)
                if trouble:
                    return trouble
        self._drop_withdrawn()
        if not canaries:
            return None
        trouble = self._health.trouble(self.models, self._processes)
        if not self._health.in_doubt:
            for model in tuple(self._unproven):
                self._prove(model)
            self._drop_old_parts()
        return trouble

    def _first_canary(self, model: str, problems: dict[str, str]) -> bool:
        """Ask a model that is being loaded; whether there is no use in asking again."""
        try:
            self._canary.ask(model, timeout_s=self._timeout_s)
        except (CanaryError, ValueError) as error:
            problems[model] = str(error)
            if self._repository.stamp(model) != self._stamps[model]:
                # Published while the server read its config: have it read again.
                self._reload(model)
                return False
            return isinstance(error, WrongAnswerError)
        problems.pop(model, None)
        self._prove(model)
        return False

    def _suspect(self, models: set[str], problem: str) -> None:
        """Take back what has never answered, before the start that failed is repeated."""
        for model in sorted(models):
            if self._plan.proven.get(model) != self._repository.read_config(model):
                self._take_back(model, problem)

    def _given_up(self, models: set[str]) -> list[str]:
        """Those of the models that the server has tried to load in vain."""
        try:
            states = self._canary.states(timeout_s=self._timeout_s)
        except CanaryError:
            return []
        return [model for model in sorted(models) if states.get(model, ("",))[0] == "UNAVAILABLE"]

    def _no_start(self, reason: str) -> ValueError:
        return ValueError(
            f"serve: expected every model of {self._repository.folder} to answer, got: {reason}\n"
            f"{self.process.last_words()}\n`penchant serve --check` looks for what is missing; "
            f"the whole log is {self.process.log}"
        )

    def _reload(self, model: str) -> str | None:
        """Have a newly published version served; what it takes a restart to mend, if anything."""
        while True:
            self._stamps[model] = self._repository.stamp(model)
            if self._stamps[model] is None:
                return None  # Withdrawn meanwhile.
            try:
                is_loaded, problem = self._load(model)
            except UnreachableError:
                # The server's trouble, not the version's: the next look tries again.
                self._stamps[model] = None
                return None
            # Published again meanwhile: what was loaded and what was asked may be two versions.
            if self._repository.stamp(model) == self._stamps[model]:
                break
        if problem is None:
            self._plan.say(f"now serving {self._plan.described(model)}")
            return None
        if self._take_back(model, problem):
            return None
        # What cannot be taken back but answers wrongly now is for a new start to mend.
        return problem if is_loaded and model in self.models else None

    def _load(self, model: str) -> tuple[bool, str | None]:
        """Whether the server took what the config says, and what is wrong with it, if anything.

        Raises:
            UnreachableError: if there is no server.
        """
        timeout_s = self._plan.watch.start_timeout_s
        try:
            self._parts.load_with(model, self._canary, timeout_s=timeout_s)
        except UnreachableError:
            raise
        except CanaryError as error:
            # Triton keeps the old version then, and the canary its question.
            return False, str(error)
        self._canary.forget(model)
        self._unproven.add(model)
        try:
            self._processes[model] = self._repository.num_processes(model)
            self._canary.nudge(model, timeout_s=self._timeout_s)
            self._canary.ask(model, timeout_s=self._timeout_s)
            self._prove(model)
        except UnreachableError:
            raise
        except BusyError:
            pass  # The next canary that gets through tells.
        except (CanaryError, ValueError) as error:
            return True, f"after loading {model}: {error}"
        self._plan.rejected.pop(model, None)
        if model not in self.models:
            self.models = sorted([*self.models, model])
        return True, None

    def _prove(self, model: str) -> None:
        """Keep the config of a version that answers: the one to come back to."""
        self._unproven.discard(model)
        config = self._repository.read_config(model)
        if config is not None and self._repository.stamp(model) == self._stamps.get(model):
            self._plan.proven[model] = config

    def _take_back(self, model: str, problem: str) -> bool:
        """Serve what was served before a publication that failed; False where there is nothing."""
        name = self._plan.described(model)
        before = self._plan.proven.get(model)
        if before is None:
            self._leave_out(model, f"{name} is not served: {problem}")
            return False
        if before == self._repository.read_config(model):
            self._plan.say(f"{name} does not change: {problem}")
            return False
        try:
            stamp = self._repository.restore(model, before, instead_of=self._stamps[model])
        except (OSError, ValueError) as error:
            self._plan.say(f"{name} is not served and cannot be taken back: {error}; {problem}")
            return False
        if stamp is None:
            return True  # Published again meanwhile; the next look loads that.
        self._stamps[model] = stamp
        try:
            again = self._load(model)[1]
        except UnreachableError as error:
            again = str(error)
        self._plan.say(
            f"{name} is taken back, {self._plan.described(model)} stays: {problem}"
            + (f"; but {again}" if again else "")
        )
        return True

    def _leave_out(self, model: str, why: str) -> None:
        """Serve the other models without one that has never answered."""
        self._plan.rejected[model] = self._stamps[model]
        self._drop(model, why)

    def _drop_withdrawn(self) -> None:
        """Drop the models that have no config, nor had one at the last look: an editor may come
        between two."""
        gone = {model for model in self.models if self._repository.stamp(model) is None}
        for model in sorted(gone & self._gone):
            self._stamps.pop(model, None)
            self._plan.proven.pop(model, None)
            self._drop(model, f"{model} is withdrawn")
        self._gone = gone

    def _drop(self, model: str, why: str) -> None:
        """Serve the others; requests on their way are answered still."""
        self.models = [other for other in self.models if other != model]
        self._unproven.discard(model)
        self._plan.say(why)
        try:
            self._canary.unload(model, timeout_s=self._timeout_s)
            self._parts.drop_all(model, self._canary, timeout_s=self._timeout_s)
        except CanaryError as error:
            self._plan.say(str(error))

    def _drop_old_parts(self) -> None:
        """Free what versions hold that were served before: no request is on its way to them."""
        proven = [model for model in self.models if model not in self._unproven]
        try:
            self._parts.drop_old(proven, self._canary, timeout_s=self._timeout_s)
        except CanaryError as error:
            self._plan.say(str(error))

    def _num_processes(self, model: str) -> int:
        try:
            return self._repository.num_processes(model)
        except ValueError:
            return 0  # A damaged config: Triton says so when it does not load.
