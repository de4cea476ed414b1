"""The journey clients against a real Triton."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.clients.conftest import JOURNEY_VERSION, LARGE
from tests.clients.lab import Lab
from tests.journey_packages import CATEGORIES, NUMBERS, TEXT, TinyJourney
from tests.journey_packages import recommend as expected_answers

from penchant.clients import (
    AsyncJourneyClient,
    Histories,
    History,
    InvalidAnswer,
    InvalidRows,
    JourneyClient,
    PropensityClient,
    Recommendations,
)
from penchant.clients.gather import gather
from penchant.clients.journey_tensors import Wish, to_tensors
from penchant.clients.transport import Call, GrpcTransport

NOW_S = 1_700_000_000.0
BOTH = pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])


def client_of(address: str, tiny: TinyJourney, **options: Any) -> JourneyClient:
    return JourneyClient(address, model=tiny.contract.model, deadline_s=20, **options)


def histories_of(tiny: TinyJourney, count: int) -> list[list[dict[str, Any]]]:
    """Histories that differ, some of them empty, some longer than the model takes."""
    random = np.random.default_rng(count)
    items = [*tiny.item_id.tolist(), "99" if tiny is TEXT else 99, None]
    channels = [*tiny.contract.channels, None]
    return [
        [
            {
                "item": items[random.integers(len(items))],
                "action": tiny.contract.actions[random.integers(3)],
                "channel": channels[random.integers(len(channels))],
                "time": NOW_S - float(random.exponential(100_000)),
            }
            for _ in range(random.integers(0, 12))
        ]
        for _ in range(count)
    ]


def check(answer: Recommendations, tiny: TinyJourney, histories: Any, k: int, **wish: Any) -> None:
    """Against what NumPy says of the same tensors."""
    wishes = Wish(**{"now": NOW_S, **wish})
    expected = expected_answers(tiny, to_tensors(gather(histories), tiny.contract, wishes))
    assert answer.count is not None
    assert answer.item is not None
    assert answer.score is not None
    count = expected["count"][:, 0].clip(max=k)
    assert answer.count.tolist() == count.tolist()
    np.testing.assert_allclose(answer.score, expected["score"][:, :k], atol=1e-5)
    assert answer.item.shape == (len(histories), k)
    for row, many in enumerate(count.tolist()):
        scores = expected["score"][row, :many]
        if len(scores) < 2 or np.abs(np.diff(scores)).min() > 1e-5:
            assert answer.item[row, :many].tolist() == expected["next_item"][row, :many].tolist()
        assert set(answer.item[row, many:].tolist()) <= {tiny.nothing}
    assert answer.unknown.tolist() == expected["unknown"][:, 0].tolist()
    assert set(answer.version.tolist()) == {JOURNEY_VERSION}


@BOTH
@pytest.mark.parametrize("count", [1, 64, 150])
def test_histories_of_one_or_several_requests(journeys: str, tiny: TinyJourney, count: int) -> None:
    histories = histories_of(tiny, count)
    with client_of(journeys, tiny) as client:
        assert client.contract == tiny.contract
        assert client.ready()
        answer = client.recommend(histories, k=3, now=NOW_S)
    check(answer, tiny, histories, 3)
    assert len(answer) == count


@BOTH
def test_columns_get_the_answers_of_objects(journeys: str, tiny: TinyJourney) -> None:
    histories = histories_of(tiny, 100)
    flat = [event for events in histories for event in events]
    columns = Histories(
        offsets=np.cumsum([0, *map(len, histories)]),
        **{name: [event[name] for event in flat] for name in ("item", "action", "channel")},
        time=np.array([event["time"] for event in flat]),
    )
    with client_of(journeys, tiny) as client:
        answer = client.recommend(columns, k=5, now=NOW_S)
        assert answer.to_rows() == client.recommend(histories, k=5, now=NOW_S).to_rows()


def test_an_answer_with_everything(journeys: str) -> None:
    events = [{"item": "but-0", "action": "purchase", "channel": "web", "age_s": 50}]
    with client_of(journeys, TEXT) as client:
        answer = client.recommend([events, []], k=4, now=NOW_S)
    assert answer.channels == TEXT.contract.channels
    assert answer.intent is not None
    assert answer.hour_score is not None
    assert answer.channel_score is not None
    assert answer.visitor_embedding is not None
    assert answer.visitor_embedding.shape == (2, 4)
    assert answer.hour_score.shape == (2, 168)
    best = answer.best_hours(2)
    assert best[:, 0].tolist() == answer.hour_score.argmax(axis=1).tolist()
    one = answer[0]
    assert len(one.items) == len(one.scores) == 4
    assert list(one.scores) == sorted(one.scores, reverse=True)
    assert [name for name, _ in one.intents] == answer.intent[0].tolist()
    assert set(answer.intent[0].tolist()) <= set(CATEGORIES)
    assert answer.best_channels()[0] == one.channels[0][0]
    assert one.channels[0][1] == answer.channel_score[0].max()
    assert one.hours[0][1] == answer.hour_score[0].max()
    assert one.purchase is not None
    assert 0 < one.purchase < 1
    assert one.version == JOURNEY_VERSION
    rows = answer.to_rows()
    assert [(row["history"], row["rank"]) for row in rows[:5]] == [
        (0, 1), (0, 2), (0, 3), (0, 4), (1, 1)
    ]  # fmt: skip
    assert [each.items for each in answer] == [answer[0].items, answer[1].items]


def test_a_model_without_channels_and_categories(journeys: str) -> None:
    with client_of(journeys, NUMBERS) as client:
        answer = client.recommend([[]], k=1)
    assert answer.item is not None
    assert answer.item.dtype == np.int64
    assert answer.channel_score is None
    assert answer[0].channels == ()
    assert answer[0].intents == ()
    with pytest.raises(ValueError, match="knows no channels"):
        answer.best_channels()


def test_a_model_without_clock_and_purchases(journeys: str) -> None:
    with client_of(journeys, LARGE) as client:
        answer = client.recommend(histories_of(LARGE, 3), k=3, now=NOW_S)
    check(answer, LARGE, histories_of(LARGE, 3), 3)
    assert answer.purchase is None
    assert answer[0].hours == ()
    with pytest.raises(ValueError, match="knows no clock"):
        answer.best_hours()


class RecordingTransport(GrpcTransport):
    """Keeps what is sent."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.requests: list[Any] = []

    def infer(self, request: Any, *, timeout_s: float) -> Call:
        """Keep it."""
        self.requests.append(request)
        return super().infer(request, timeout_s=timeout_s)


def test_only_what_is_wanted_is_asked_for(journeys: str) -> None:
    transport = RecordingTransport(journeys)
    with client_of(journeys, TEXT, transport=transport) as client:
        answer = client.recommend([[]], want=["intents"], k=2)
        client.recommend([[]] * 65, want=("items", "purchase"), k=2)
    assert answer[0].items == ()
    assert answer[0].intents
    assert answer.item is None
    with pytest.raises(ValueError, match="'hours'"):
        answer.best_hours()
    first, *others = transport.requests
    names = {output.name for output in first.outputs}
    assert names == {"intent", "intent_score", "unknown", "version"}
    assert [list(request.inputs[0].shape) for request in others] == [[64, 6], [1, 6]]
    names = {output.name for output in others[0].outputs}
    assert names == {"next_item", "score", "count", "purchase", "unknown", "version"}


def test_what_is_excluded_or_not_allowed_is_never_answered(journeys: str) -> None:
    ids = TEXT.item_id.tolist()
    with client_of(journeys, TEXT) as client:
        answer = client.recommend(
            [
                History([], exclude=ids),
                History([], exclude=ids[2:]),
                History([], allow=["boots"]),
                History([], allow=["no such category"]),
            ],
            k=5,
        )
    assert answer.count is not None
    assert answer.count.tolist() == [0, 2, 4, 0]
    assert answer[0].items == ()
    assert set(answer[1].items) == set(ids[:2])
    assert set(answer[2].items) == set(ids[::3])
    assert sum(answer[2].scores) == pytest.approx(1)
    with client_of(journeys, TEXT) as client:
        assert client.recommend([[]], k=5, exclude=ids)[0].items == ()


def test_target_actions_differ(journeys: str) -> None:
    with client_of(journeys, TEXT) as client:
        by_action = {
            action: client.recommend([[]], k=5, target_action=action)[0].scores
            for action in TEXT.contract.actions
        }
        assert client.recommend([[]], k=5)[0].scores == by_action["purchase"]
    assert len(set(by_action.values())) == 3


EVENT = st.fixed_dictionaries(
    {"action": st.sampled_from(TEXT.contract.actions)},
    optional={
        "item": st.one_of(st.sampled_from(TEXT.item_id.tolist()), st.text(max_size=5), st.none()),
        "channel": st.sampled_from((*TEXT.contract.channels, "", None)),
        "age_s": st.one_of(st.floats(), st.integers(-(2**40), 2**40)),
    },
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    histories=st.lists(st.lists(EVENT, max_size=9), min_size=1, max_size=4),
    k=st.integers(1, TEXT.contract.num_items),
    exclude=st.lists(st.sampled_from([*TEXT.item_id.tolist(), "?"]), max_size=12, unique=True),
)
def test_any_histories_are_answered(
    journeys: str, histories: list[list[dict[str, Any]]], k: int, exclude: list[str]
) -> None:
    with client_of(journeys, TEXT) as client:
        answer = client.recommend(histories, k=k, exclude=exclude, now=NOW_S)
    check(answer, TEXT, histories, k, exclude=exclude)
    for each in answer:
        assert not set(each.items) & set(exclude)
        assert len(set(each.items)) == len(each.items)


def test_asyncio_client_gives_the_same_answers(journeys: str) -> None:
    histories = histories_of(TEXT, 130)

    async def ask() -> list[dict[str, Any]]:
        model = TEXT.contract.model
        async with AsyncJourneyClient(journeys, model=model, deadline_s=20) as twin:
            assert await twin.contract == TEXT.contract
            assert await twin.ready()
            alone = await asyncio.gather(
                *(twin.recommend([each], k=5, now=NOW_S) for each in histories[:3])
            )
            together = await twin.recommend(tuple(histories), k=5, now=NOW_S)
            assert [each[0].items for each in alone] == [each.items for each in together][:3]
            return together.to_rows()

    with client_of(journeys, TEXT) as client:
        assert asyncio.run(ask()) == client.recommend(histories, k=5, now=NOW_S).to_rows()


def test_a_client_of_another_kind_says_so(journeys: str, lab: Lab) -> None:
    with (
        PropensityClient(journeys, model=TEXT.contract.model, deadline_s=10) as client,
        pytest.raises(InvalidAnswer, match=r"is a journey model.*use the client of its kind"),
    ):
        client.score([{}])
    with (
        JourneyClient(lab.url, model="lab", deadline_s=10) as other,
        pytest.raises(InvalidAnswer, match="is a propensity model"),
    ):
        other.recommend([[]])
    assert JourneyClient(lab.url, deadline_s=1).model == "journey"
    assert PropensityClient(lab.url, deadline_s=1).model == "propensity"


def test_a_mistake_among_many_is_named_and_nothing_is_sent(journeys: str) -> None:
    transport = RecordingTransport(journeys)
    histories = histories_of(TEXT, 100)
    histories[70] = [{"item": "a", "action": "buy"}]
    with (
        client_of(journeys, TEXT, transport=transport) as client,
        pytest.raises(InvalidRows, match=r"history 70, event 0, action: .* knows no 'buy'"),
    ):
        client.recommend(histories, k=1)
    assert not transport.requests
