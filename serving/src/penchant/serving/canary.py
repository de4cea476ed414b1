"""The canary: a golden row asked of the running server, whose answer is known.

Triton 2.51 stays "ready" when a model's process is dead or hangs, so readiness is an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from penchant.clients.contract import VERSION
from penchant.clients.transport import CHANNEL_OPTIONS
from penchant.serving.parity import check_answers
from penchant.serving.repository import Repository
from penchant.serving.served_model import ServedModel

NUM_ROWS: Final = 2
"""Golden rows of one question."""
NUDGE_EVERY_S: Final = 0.02
NUDGE_FOR_S: Final = 0.6
"""Longer than Triton's batcher waits between two looks of its own."""
NUDGES_IN_FLIGHT: Final = 2
"""One that the batcher overlooks and one that wakes it; more would take the callers' places."""
DIRECT: Final = dict(CHANNEL_OPTIONS) | {"grpc.enable_http_proxy": 0}
"""The server listens on loopback, where no proxy of the environment leads."""
QUEUE_MESSAGES: Final = ("Exceeds maximum queue size", "Request timeout expired")
"""How Triton says that a request waited in vain: the server is busy, not broken."""


class CanaryError(Exception):
    """A model does not answer as it should."""


class BusyError(CanaryError):
    """The queue did not let the canary through."""


class UnreachableError(CanaryError):
    """No server listens: that says nothing about the model."""


class WrongAnswerError(CanaryError):
    """The model answers, but not what its package says."""


_logger: Final = logging.getLogger(__name__)


class Canary:
    """Questions to one server."""

    def __init__(self, address: str, headers: Mapping[str, str], repository: Repository) -> None:
        self._client = triton.InferenceServerClient(address, channel_args=list(DIRECT.items()))
        self._headers = dict(headers)
        self._repository = repository
        self._questions: dict[str, _Question] = {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def forget(self, model: str) -> None:
        """Read the model's config and golden rows anew at the next question."""
        self._questions.pop(model, None)

    def ask(self, model: str, *, timeout_s: float) -> None:
        """Ask a golden row of the model and compare every output, the version included.

        A model that penchant did not publish has no golden rows: it need only be ready.

        Raises:
            BusyError: if the model's queue is full.
            UnreachableError: if there is no server.
            CanaryError: if there is no answer in time, or a wrong one.
            ValueError: if the model's config cannot be read.
        """
        question = self._question(model)
        try:
            if question is not None:
                question.ask(self._client, timeout_s)
            elif not self._client.is_model_ready(model, client_timeout=timeout_s):
                raise CanaryError(f"model {model!r} is not ready")
        except InferenceServerException as error:
            raise _failure(f"model {model!r} does not answer", error) from error

    def nudge(self, model: str, *, timeout_s: float) -> None:
        """Ask now and then for a moment, without waiting for answers, once a version took over.

        The batcher of a version just loaded may overlook its first requests, and looks by itself
        only every half second; each further request wakes it.

        Raises:
            CanaryError: if nothing can be sent.
            ValueError: if the model's config cannot be read.
        """
        question = self._question(model)
        if question is None:
            return
        places = threading.Semaphore(NUDGES_IN_FLIGHT)
        end = time.monotonic() + NUDGE_FOR_S
        while time.monotonic() < end:
            if places.acquire(timeout=NUDGE_EVERY_S):
                try:
                    question.send(self._client, places.release, timeout_s)
                except InferenceServerException as error:
                    raise CanaryError(f"model {model!r} cannot be asked: {error}") from error
            time.sleep(NUDGE_EVERY_S)

    def _question(self, model: str) -> _Question | None:
        """What to ask; None for a model that penchant did not publish."""
        if not self._repository.is_published(model):
            return None
        if model not in self._questions:
            self._questions[model] = _Question(self._repository.served(model))
        return self._questions[model]

    def num_answered(self, model: str, *, timeout_s: float) -> int:
        """Requests that the model has answered since it was loaded.

        Raises:
            CanaryError: if the server does not say.
        """
        try:
            statistics = self._client.get_inference_statistics(
                model, headers=self._headers, client_timeout=timeout_s
            )
        except InferenceServerException as error:
            raise CanaryError(f"model {model!r} has no statistics: {error}") from error
        return sum(stat.inference_stats.success.count for stat in statistics.model_stats)

    def states(self, *, timeout_s: float) -> dict[str, tuple[str, str]]:
        """State and its reason by model, as the server sees it.

        Raises:
            CanaryError: if the server does not say.
        """
        try:
            index = self._client.get_model_repository_index(
                headers=self._headers, client_timeout=timeout_s
            )
        except InferenceServerException as error:
            raise CanaryError(f"the server does not answer: {error}") from error
        return {model.name: (model.state, model.reason) for model in index.models if model.state}

    def load(self, model: str, *, timeout_s: float) -> None:
        """Have the server load what the model's config says.

        Raises:
            UnreachableError: if there is no server.
            CanaryError: if it cannot load it.
        """
        try:
            self._client.load_model(model, headers=self._headers, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise _failure(f"model {model!r} does not load", error) from error

    def unload(self, model: str, *, timeout_s: float) -> None:
        """Have the server drop a model.

        Raises:
            CanaryError: if it does not.
        """
        try:
            self._client.unload_model(model, headers=self._headers, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise CanaryError(f"model {model!r} does not unload: {error}") from error

    def server_version(self, *, timeout_s: float) -> str:
        """Triton's version.

        Raises:
            CanaryError: if the server does not say.
        """
        try:
            return str(self._client.get_server_metadata(client_timeout=timeout_s).version)
        except InferenceServerException as error:
            raise CanaryError(f"the server does not tell its version: {error}") from error


def _failure(message: str, error: InferenceServerException) -> CanaryError:
    """What a refusal means."""
    kind = CanaryError
    if any(text in str(error) for text in QUEUE_MESSAGES):
        kind = BusyError
    elif str(error.status()) == "StatusCode.UNAVAILABLE":
        kind = UnreachableError
    return kind(f"{message}: {error}")


class _Question:
    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._golden = served.golden().rows(0, NUM_ROWS)
        self._inputs = []
        for spec in served.contract.inputs:
            value = self._golden.inputs[spec.name]
            tensor = triton.InferInput(spec.name, value.shape, spec.dtype)
            tensor.set_data_from_numpy(value.astype(object) if spec.dtype == "BYTES" else value)
            self._inputs.append(tensor)
        self._outputs = [triton.InferRequestedOutput(name) for name in served.outputs]

    def send(self, client: Any, over: Callable[[], None], timeout_s: float) -> None:
        """Ask, have ``over`` called once there is an answer, and let the answer go."""

        def answered(result: object, error: object) -> None:
            over()
            if error is not None:
                _logger.debug("a nudge of %s failed: %s", self._served.name, error)

        client.async_infer(
            self._served.name,
            self._inputs,
            answered,
            outputs=self._outputs[:1],
            client_timeout=timeout_s,
        )

    def ask(self, client: Any, timeout_s: float) -> None:
        served = self._served
        result = client.infer(
            served.name, self._inputs, outputs=self._outputs, client_timeout=timeout_s
        )
        answers = {name: result.as_numpy(name) for name in served.outputs}
        try:
            check_answers(self._golden, answers)
        except ValueError as error:
            raise WrongAnswerError(f"model {served.name!r} answers wrongly: {error}") from error
        versions = set(answers[VERSION].ravel().tolist()) if VERSION in answers else set()
        if versions - {served.package_version}:
            raise WrongAnswerError(
                f"model {served.name!r}: expected answers of version {served.package_version}, got "
                f"version {versions.pop()}"
            )
