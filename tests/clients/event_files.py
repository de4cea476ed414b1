"""Files of events for ``penchant recommend``, and what it has to make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.clients.conftest import JOURNEY_VERSION
from tests.journey_packages import TinyJourney

from penchant.clients import JourneyClient
from penchant.clients.recommend import recommend

NOW = "2023-11-14T22:00"
NOW_S = 1_699_999_200
NUM_VISITORS = 300


def events_of(tiny: TinyJourney, num_events: int = 2000) -> pa.Table:
    """A log in the order of time, as logs are; the last event is an hour before now."""
    random = np.random.default_rng(4)
    names = [*tiny.contract.channels, None]
    ages = np.sort(random.integers(3600, 400_000, num_events))[::-1]
    ages[-1] = 3600
    return pa.table(
        {
            "visitor_id": random.integers(0, NUM_VISITORS, num_events) * 7,
            "item_id": random.choice(tiny.item_id, num_events).tolist(),
            "action": random.choice(tiny.contract.actions, num_events),
            "channel": pa.array([names[at % len(names)] for at in range(num_events)], pa.string()),
            "time": pa.array((NOW_S - ages) * 1000, pa.timestamp("ms")),
            "price": random.random(num_events),
        }
    )


def expected(address: str, tiny: TinyJourney, table: pa.Table, **options: Any) -> dict[Any, Any]:
    """What the client answers, asked visitor by visitor; they may come in any order."""
    histories: dict[Any, list[dict[str, Any]]] = {}
    names = {"item_id": "item", "action": "action", "channel": "channel", "time": "time"}
    for row in table.to_pylist():
        event = {meaning: row[name] for name, meaning in names.items() if name in row}
        histories.setdefault(row["visitor_id"], []).append(event)
    with JourneyClient(address, model=tiny.contract.model, deadline_s=30) as client:
        answer = client.recommend(list(histories.values()), **{"now": NOW_S, "k": 3, **options})
    return dict(zip(histories, answer, strict=True))


def check(output: Path, answers: dict[Any, Any]) -> None:
    rows = pq.read_table(output).to_pylist()
    assert sorted(row["visitor_id"] for row in rows) == sorted(answers)
    for row in rows:
        answer = answers[row["visitor_id"]]
        assert row["scores"] == pytest.approx(answer.scores, abs=1e-5)
        assert row["count"] == len(row["items"]) == len(answer.items)
        if len(answer.scores) < 2 or np.abs(np.diff(answer.scores)).min() > 1e-5:
            assert row["items"] == list(answer.items)
        if answer.intents:
            assert row["intent_score"] == pytest.approx(answer.intents[0][1], abs=1e-5)
        if answer.channels:
            assert row["channel_score"] == pytest.approx(answer.channels[0][1], abs=1e-5)
        assert row["hour_score"] == pytest.approx(answer.hours[0][1], abs=1e-5)
        assert row["purchase"] == pytest.approx(answer.purchase, abs=1e-5)
        assert (row["unknown"], row["version"]) == (answer.unknown, JOURNEY_VERSION)
    assert not output.with_name(output.name + ".parts").exists()


def run(
    address: str, tiny: TinyJourney, source: Path, output: Path | None = None, **options: Any
) -> str:
    usual = {"url": address, "model": tiny.contract.model, "k": 3, "now": NOW}
    return recommend(source, output, **{**usual, "batch_visitors": 64, **options})
