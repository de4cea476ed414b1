"""Clients whose server is slow, full, silent or away, against a real Triton."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.clients.lab import CONTRACT, MAX_QUEUE, ROW, Lab, probability
from tests.clients.lab import rows as make_rows
from tritonclient.grpc import service_pb2

from penchant.clients import (
    DeadlineExceeded,
    Overloaded,
    PenchantError,
    PropensityClient,
    ServerUnavailable,
)
from penchant.clients.contract import CONTRACT_PARAMETER
from penchant.clients.endpoint import MAX_OPEN
from penchant.clients.transport import Call


def test_deadline_is_kept_and_the_late_answer_dropped(client: PropensityClient) -> None:
    assert client.ready()
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        client.score([{"wait_s": 3.0}], deadline_s=0.2)
    assert 0.2 <= time.monotonic() - start < 2.5, "it waited for the answer"
    # The server's one instance is still at work on the dropped request, and was not disturbed.
    assert client.score([ROW]).for_goal(0)[0] == pytest.approx(probability(ROW))


def test_storm_of_short_deadlines_leaves_the_server_alive(client: PropensityClient) -> None:
    assert client.ready()
    late = 0
    for _ in range(150):
        try:
            client.score([ROW], deadline_s=0.0005)
        except (DeadlineExceeded, Overloaded):
            late += 1
    assert late > 0
    until_s = time.monotonic() + 20  # the dropped requests may fill the queue for a moment longer
    while not client.ready():
        assert time.monotonic() < until_s


def test_request_does_not_queue_longer_than_its_deadline(client: PropensityClient) -> None:
    assert client.ready()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(client.score, [{"wait_s": 1.0}])
        time.sleep(0.1)
        with pytest.raises((Overloaded, DeadlineExceeded)):
            client.score([{"wait_s": 5.0}], deadline_s=0.3)
        assert len(slow.result()) == 1
        start = time.monotonic()
        assert client.ready()  # had the second request stayed in the queue, this would wait 5 s
        assert time.monotonic() - start < 3


def test_full_queue_is_overload_and_not_retried(client: PropensityClient) -> None:
    assert client.ready()
    outcomes: list[str] = []

    def score() -> None:
        try:
            client.score([{"wait_s": 0.3}], deadline_s=8)
            outcomes.append("scored")
        except PenchantError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=score) for _ in range(4 * MAX_QUEUE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert outcomes.count("Overloaded") >= MAX_QUEUE
    assert outcomes.count("scored") >= MAX_QUEUE
    assert set(outcomes) == {"Overloaded", "scored"}


def test_call_with_many_requests_narrows_itself_to_the_queue(lab: Lab) -> None:
    rows = [{**row, "wait_s": 0.02} for row in make_rows(64 * 20)]
    with PropensityClient(lab.url, model="lab", deadline_s=20, in_flight=64) as client:
        expected = [probability(row) for row in rows]
        assert client.score(rows).for_goal(0) == pytest.approx(expected, abs=1e-6)


def test_no_server_is_retried_until_the_deadline_and_keeps_the_cause() -> None:
    start = time.monotonic()
    with (
        PropensityClient("127.0.0.1:9", deadline_s=0.6) as client,
        pytest.raises(ServerUnavailable, match="penchant serve") as caught,
    ):
        client.score([ROW])
    assert 0.1 < time.monotonic() - start < 5, "it goes on beyond its deadline"
    assert caught.value.__cause__ is not None


class SilentServer:
    """The way to a server that says what it serves, and then no more."""

    def __init__(self) -> None:
        self.unanswered: list[Future[Any]] = []

    def infer(self, request: Any, *, timeout_s: float) -> Call:
        """Never answered."""
        self.unanswered.append(Future())
        return self.unanswered[-1]

    def model_config(self, request: Any, *, timeout_s: float) -> Call:
        """The lab's contract."""
        answer = service_pb2.ModelConfigResponse()
        answer.config.parameters[CONTRACT_PARAMETER].string_value = CONTRACT.to_json()
        call: Future[Any] = Future()
        call.set_result(answer)
        return call

    def close(self) -> None:
        """Nothing to give up."""


def test_requests_without_an_answer_are_not_piled_up_for_ever() -> None:
    server = SilentServer()
    with PropensityClient("127.0.0.1:9", model="lab", deadline_s=0.001, transport=server) as client:
        for _ in range(MAX_OPEN):
            with pytest.raises(DeadlineExceeded):
                client.score([ROW])
        with pytest.raises(Overloaded, match=r"1024 requests .*restart a server that hangs"):
            client.score([ROW])
        assert len(server.unanswered) == MAX_OPEN
        server.unanswered[0].set_exception(TimeoutError())
        with pytest.raises(DeadlineExceeded):
            client.score([ROW])
        for call in server.unanswered[1:]:
            call.set_exception(TimeoutError())
