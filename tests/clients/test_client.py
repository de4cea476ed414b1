"""The clients against a real Triton."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.clients.lab import CONTRACT, MAX_QUEUE, ROW, VERSION, Lab, probability
from tests.clients.lab import rows as make_rows

from penchant.clients import (
    AsyncPropensityClient,
    ClientClosed,
    InvalidAnswer,
    InvalidRows,
    ModelNotFound,
    PropensityClient,
    ServerError,
    endpoint,
)
from penchant.clients.transport import Call, GrpcTransport


def test_score_of_a_row_with_reasons_version_and_unknown(client: PropensityClient) -> None:
    scores = client.score([ROW, {}])
    assert len(scores) == 2
    assert scores.goals == ("purchase", "unsubscribe")
    assert scores.for_goal("purchase") == pytest.approx([probability(ROW), 0.26894143])
    assert scores.for_goal(1)[0] == pytest.approx(probability(ROW, goal=1))
    assert scores.unknown.tolist() == [1, 0]
    assert scores.version.tolist() == [VERSION, VERSION]
    assert scores.reason is not None
    assert scores.base is not None
    sums = scores.base + scores.reason.sum(axis=2)
    assert 1 / (1 + np.exp(-sums)) == pytest.approx(scores.propensity, abs=1e-6)
    strongest = [abs(reason.effect) for reason in scores.reasons(0, "unsubscribe", top=7)]
    assert strongest == sorted(strongest, reverse=True)
    assert {reason.feature for reason in scores.reasons(0, top=99)} == set(CONTRACT.features)


def test_reasons_are_not_fetched_when_not_asked_for(client: PropensityClient) -> None:
    scores = client.score([ROW], reasons=False)
    assert scores.reason is None
    assert scores.base is None
    with pytest.raises(ValueError, match="reasons=True"):
        scores.reasons(0)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_rows_beyond_one_request_come_back_in_order(client: PropensityClient, count: int) -> None:
    rows = make_rows(count)
    expected = [probability(row) for row in rows]
    assert client.score(rows).for_goal(0) == pytest.approx(expected, abs=1e-6)
    frame = pd.DataFrame(rows).assign(wait_s=0, fail=False)
    assert client.score(frame, reasons=False).for_goal(0) == pytest.approx(expected, abs=1e-6)


def test_contract_comes_from_the_server(client: PropensityClient) -> None:
    assert client.contract == CONTRACT
    assert client.ready()


def test_asyncio_client_gives_the_same_scores(lab: Lab, client: PropensityClient) -> None:
    async def score() -> list[float]:
        async with AsyncPropensityClient(lab.url, model="lab", deadline_s=10) as twin:
            assert await twin.contract == CONTRACT
            assert await twin.ready()
            gate = asyncio.Semaphore(MAX_QUEUE)

            async def one(row: dict[str, Any]) -> float:
                async with gate:
                    return float((await twin.score([row])).for_goal(0)[0])

            alone = await asyncio.gather(*map(one, make_rows(50)))
            together = await twin.score(make_rows(2000), reasons=False)
            assert alone == pytest.approx(together.for_goal(0)[:50])
            return [float(score) for score in together.for_goal(0)]

    assert asyncio.run(score()) == client.score(make_rows(2000)).for_goal(0).tolist()


def test_event_loop_goes_on_while_a_call_waits(lab: Lab) -> None:
    async def beats_during_call() -> int:
        async with AsyncPropensityClient(lab.url, model="lab", deadline_s=10) as client:
            call = asyncio.create_task(client.score([{"wait_s": 1.0}]))
            beats = 0
            while not call.done():
                await asyncio.sleep(0.01)
                beats += 1
            return beats

    assert asyncio.run(beats_during_call()) > 5


def test_cancelled_task_leaves_the_client_usable(lab: Lab) -> None:
    async def cancel_one() -> None:
        async with AsyncPropensityClient(lab.url, model="lab", deadline_s=10) as client:
            call = asyncio.create_task(client.score([{"wait_s": 0.5}]))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert len(await client.score([ROW])) == 1

    asyncio.run(cancel_one())


def test_threads_share_a_client(client: PropensityClient) -> None:
    def score(first: int) -> bool:
        rows = make_rows(first + 5)[first:]
        scores = client.score(rows).for_goal(0)
        return bool(np.allclose(scores, [probability(row) for row in rows], atol=1e-6))

    with ThreadPoolExecutor(MAX_QUEUE) as pool:
        assert all(pool.map(score, range(200)))


def test_model_that_fails_is_a_server_error(client: PropensityClient) -> None:
    with pytest.raises(ServerError, match="told to fail"):
        client.score([{"fail": True}])


def test_rows_that_do_not_fit_are_refused_before_sending(client: PropensityClient) -> None:
    with pytest.raises(InvalidRows, match="'age', row 1: expected a number, got 'old'"):
        client.score([ROW, {**ROW, "age": "old"}])


class CountingTransport(GrpcTransport):
    """Counts what is sent."""

    num_contracts = 0
    num_requests = 0

    def model_config(self, request: Any, *, timeout_s: float) -> Call:
        """Count it."""
        self.num_contracts += 1
        return super().model_config(request, timeout_s=timeout_s)

    def infer(self, request: Any, *, timeout_s: float) -> Call:
        """Count it."""
        self.num_requests += 1
        return super().infer(request, timeout_s=timeout_s)


def test_rows_that_do_not_fit_a_fresh_contract_cost_the_server_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = CountingTransport(lab.url)
    with PropensityClient(lab.url, model="lab", deadline_s=10, transport=transport) as client:
        assert client.contract == CONTRACT
        monkeypatch.setattr(endpoint, "FRESH_S", 3600.0)
        for _ in range(3):
            with pytest.raises(InvalidRows):
                client.score([{"age": "old"}])
        assert transport.num_contracts == 1
        monkeypatch.setattr(endpoint, "FRESH_S", 0.0)
        with pytest.raises(InvalidRows):
            client.score([{"age": "old"}])
        assert transport.num_contracts == 2
        assert transport.num_requests == 0


def test_unknown_model(lab: Lab) -> None:
    with PropensityClient(lab.url, model="labb", deadline_s=5) as client:
        with pytest.raises(ModelNotFound, match="labb"):
            client.score([ROW])
        assert not client.ready()


def test_model_without_contract(lab: Lab) -> None:
    with (
        PropensityClient(lab.url, model="bare", deadline_s=5) as client,
        pytest.raises(InvalidAnswer, match="no parameter 'contract'"),
    ):
        client.score([ROW])


def test_answer_of_the_wrong_shape(lab: Lab) -> None:
    with (
        PropensityClient(lab.url, model="liar", deadline_s=5) as client,
        pytest.raises(
            InvalidAnswer, match=r"'propensity': expected FP32 \(1, 2\), got FP32 \(1, 3\)"
        ),
    ):
        client.score([ROW])


def test_closed_client(lab: Lab) -> None:
    client = PropensityClient(lab.url, model="lab", deadline_s=5)
    client.close()
    with pytest.raises(ClientClosed):
        client.score([ROW])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://127.0.0.1:8001"}, "url: expected host:port"),
        ({"url": "127.0.0.1"}, "url: expected host:port"),
        ({"deadline_s": 0}, "deadline_s: expected a positive"),
        ({"deadline_s": float("inf")}, "deadline_s: expected a positive"),
        ({"in_flight": 0}, "in_flight: expected at least 1"),
        ({"url": "example.org:8001", "token": "t"}, "in the clear"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PropensityClient(**{"url": "127.0.0.1:8001", "deadline_s": 1.0, **options})


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    server = Lab(tmp_path)
    server.publish(CONTRACT)
    server.start()
    yield server
    server.kill()


def test_new_version_with_another_order_of_columns_and_a_crash(own_lab: Lab) -> None:
    """The changed contract shows in no shape; unnoticed, scores would be wrong in silence."""
    expected = probability(ROW)
    with PropensityClient(own_lab.url, model="lab", deadline_s=20) as client:
        assert client.score([ROW]).for_goal("purchase")[0] == pytest.approx(expected)
        swapped = replace(
            CONTRACT,
            goals=("unsubscribe", "purchase"),
            numeric=CONTRACT.numeric[::-1],
            categorical=CONTRACT.categorical[::-1],
        )
        own_lab.publish(swapped, number=2, version=8)
        own_lab.load("lab")
        scores = client.score([ROW])
        assert scores.goals == ("unsubscribe", "purchase")
        assert scores.for_goal("unsubscribe")[0] == pytest.approx(expected)  # still the first axis
        assert client.contract == swapped
        wider = replace(CONTRACT, numeric=(*CONTRACT.numeric, "income"))
        own_lab.publish(wider, number=3, version=9)
        own_lab.load("lab")
        assert client.score([ROW]).version.tolist() == [9]
        own_lab.kill()
        assert not client.ready(deadline_s=0.3)
        restart = threading.Timer(0.2, own_lab.start)
        restart.start()
        assert client.score([ROW]).for_goal("purchase")[0] == pytest.approx(expected)
        restart.join(timeout=60)
