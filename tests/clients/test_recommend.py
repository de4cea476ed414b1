"""``penchant recommend`` against a real Triton."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.clients.conftest import JOURNEY_VERSION
from tests.journey_packages import NUMBERS, TEXT, TinyJourney

from penchant.clients import JourneyClient, event_buckets
from penchant.clients.command import bind
from penchant.clients.event_source import EventColumns
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


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
@pytest.mark.parametrize("bucket_events", [300, 500_000])
def test_each_visitor_of_a_log_in_order_of_time(
    journeys: str,
    tiny: TinyJourney,
    bucket_events: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_buckets, "BUCKET_EVENTS", bucket_events)
    table = events_of(tiny)
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source, row_group_size=300)
    told = run(journeys, tiny, source, output)
    answers = expected(journeys, tiny, table)
    assert f"recommended to {len(answers)} visitors, by 2,000 events of" in told
    check(output, answers)


def test_csv_in_and_out(journeys: str, tmp_path: Path) -> None:
    table = events_of(TEXT)
    source, output = tmp_path / "events.csv", tmp_path / "out.csv"
    pa_csv.write_csv(table, source)
    run(journeys, TEXT, source, output)
    answers = expected(journeys, TEXT, table)
    rows = pa_csv.read_csv(output).to_pylist()
    assert sorted(row["visitor_id"] for row in rows) == sorted(answers)
    for row in rows:
        scores = [float(score) for score in row["scores"].split("|")]
        assert scores == pytest.approx(answers[row["visitor_id"]].scores, abs=1e-5)
        assert len(row["items"].split("|")) == 3


@pytest.mark.parametrize(
    ("time", "options"),
    [
        (lambda s: pa.array(s * 1000, pa.timestamp("ms", "Asia/Tokyo")), {}),
        (lambda s: pa.array(s), {}),
        (lambda s: pa.array(s * 1000.0), {"time_unit": "ms"}),
        (lambda s: pa.array([f"{np.datetime64(int(each), 's')}Z" for each in s]), {}),
        (lambda s: pa.array([str(each) for each in s]).dictionary_encode(), {}),
    ],
    ids=["zone", "seconds", "milliseconds", "text", "dictionary"],
)
def test_times_and_columns_of_other_kinds(
    journeys: str, tmp_path: Path, time: Any, options: dict[str, Any]
) -> None:
    table = events_of(TEXT)
    seconds = table["time"].cast(pa.int64()).to_numpy() // 1000
    names = {"visitor_id": "CustomerID", "item_id": "StockCode", "action": "what", "time": "when"}
    changed = table.set_column(4, "time", time(seconds)).rename_columns(
        [names.get(name, name) for name in table.column_names]
    )
    at = changed.column_names.index("CustomerID")
    words = changed["CustomerID"].cast(pa.string()).dictionary_encode()
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(changed.set_column(at, "CustomerID", words), source)
    columns = EventColumns(visitor="CustomerID", item="StockCode", action="what", time="when")
    run(journeys, TEXT, source, output, columns=columns, **options)
    answers = expected(journeys, TEXT, table)
    found = pq.read_table(output)
    visitors = pa.array([int(each) for each in found["CustomerID"].to_pylist()])
    pq.write_table(found.set_column(0, "visitor_id", visitors), output)
    check(output, answers)


def test_now_leaves_later_events_out_and_latest_is_the_newest(
    journeys: str, tmp_path: Path
) -> None:
    table = events_of(TEXT)
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source)
    cut_s = NOW_S - 200_000
    is_past = np.array(table["time"].cast(pa.int64()).to_numpy() <= cut_s * 1000)
    told = run(
        journeys, TEXT, source, output, now=str(np.datetime64(cut_s, "s")), target_action="view"
    )
    assert f"left out: {2000 - is_past.sum():,} later than now" in told
    past = table.filter(pa.array(is_past))
    check(output, expected(journeys, TEXT, past, now=cut_s, target_action="view"))
    run(journeys, TEXT, source, output, now="latest")
    check(output, expected(journeys, TEXT, table, now=NOW_S - 3600))


def test_what_is_never_recommended_and_what_is_kept_to(journeys: str, tmp_path: Path) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(events_of(TEXT), source)
    (tmp_path / "not.txt").write_text("but-0\n\nbut-1\n", encoding="utf-8")
    run(journeys, TEXT, source, output, exclude=tmp_path / "not.txt", allow="boots, ")
    rows = pq.read_table(output).to_pylist()
    assert {row["count"] for row in rows} == {2}
    assert {item for row in rows for item in row["items"]} == {"but-2", "but-3"}


def test_unknown_names_are_refused_or_left_out(journeys: str, tmp_path: Path) -> None:
    table = events_of(TEXT)
    actions = ["buy" if at % 10 == 0 else "view" for at in range(2000)]
    changed = table.set_column(2, "action", pa.array(actions))
    visitors = pa.array([None] * 5 + table["visitor_id"].to_pylist()[5:])
    changed = changed.set_column(0, "visitor_id", visitors)
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(changed, source)
    with pytest.raises(ValueError, match=r"action: column 'action' .* has 'buy'.*--skip_unknown"):
        run(journeys, TEXT, source, output)
    told = run(journeys, TEXT, source, output, skip_unknown=True)
    assert "left out: 5 without a visitor, 199 of an action that the model does not know" in told
    is_kept = pa.array([at % 10 != 0 and at >= 5 for at in range(2000)])
    check(output, expected(journeys, TEXT, changed.filter(is_kept)))


def test_one_visitor(journeys: str, tmp_path: Path) -> None:
    table = events_of(NUMBERS)
    source = tmp_path / "events.parquet"
    pq.write_table(table, source)
    visitor = table["visitor_id"][0].as_py()
    words = ["--input", str(source), "--visitor", str(visitor)]
    assert bind(recommend, words)["visitor"] == str(visitor)
    told = run(journeys, NUMBERS, source, visitor=str(visitor))
    answer = expected(journeys, NUMBERS, table)[visitor]
    assert f"visitor {visitor}, " in told
    for item, score in zip(answer.items, answer.scores, strict=True):
        assert f"{item}  {score:.4f}" in told
    assert f"model version {JOURNEY_VERSION}" in told
    with pytest.raises(ValueError, match="has no event of '-5'"):
        run(journeys, NUMBERS, source, visitor="-5")
    assert [path.name for path in tmp_path.iterdir()] == ["events.parquet"]


PROGRAM = "import sys; from penchant.clients.command import main; sys.exit(main(sys.argv[1:]))"


def test_a_killed_run_goes_on_where_it_stopped(journeys: str, tmp_path: Path) -> None:
    table = events_of(TEXT, 15_000)
    visitors = pa.array(np.arange(15_000) % 5_000)
    table = table.set_column(0, "visitor_id", visitors)
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source)
    words = [
        *("recommend", f"--input={source}", f"--output={output}", f"--url={journeys}"),
        *("--model=tiny_journey", "--k=3", "--batch_visitors=64", f"--now={NOW}"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stderr=subprocess.PIPE, text=True
    )
    folder = output.with_name("out.parquet.parts")
    until_s = time.monotonic() + 30
    while len(list(folder.glob("part-*.parquet"))) < 3:
        assert time.monotonic() < until_s, "no parts appeared"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert not output.exists()
    parts = sorted(folder.glob("part-*.parquet"))[:3]
    before = [part.stat().st_mtime_ns for part in parts]
    with pytest.raises(ValueError, match="whose k was 3 and is now 2"):
        run(journeys, TEXT, source, output, k=2)
    assert [part.stat().st_mtime_ns for part in parts] == before
    first = pq.read_table(parts[0])
    told = run(journeys, TEXT, source, output)
    assert "recommended to 5,000 visitors" in told
    found = pq.read_table(output)
    assert sorted(found["visitor_id"].to_pylist()) == list(range(5_000))
    assert found.slice(0, 64).equals(first)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": None}, "output, visitor: expected one of them"),
        ({"visitor": "3"}, "output, visitor: expected one of them"),
        ({"output": "out.xlsx"}, "expected a .parquet or .csv file"),
        ({"input": "none.parquet"}, "found none at"),
        ({"batch_visitors": 0}, "batch_visitors: expected at least 1"),
        ({"time_unit": "h"}, "time_unit: expected one of s, ms, us, got 'h'"),
        ({"now": "yesterday"}, "now: expected a time as in 2011"),
        ({"exclude": Path("nowhere.txt")}, "exclude: expected a text file"),
        ({"k": 6}, "k: expected 1 to 5"),
        ({"target_action": "veiw"}, "did you mean 'view'"),
        ({"columns": EventColumns(item="itemid")}, "columns.item: .*did you mean 'item_id'"),
        ({"columns": EventColumns(channel="medium")}, "columns.channel: .*--columns.channel"),
        ({"columns": EventColumns(time="action")}, "time: column 'action' of .*rows from 0 on"),
    ],
)
def test_options_that_cannot_be(
    journeys: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    pq.write_table(events_of(TEXT, 100), tmp_path / "events.parquet")
    options = {"input": "events.parquet", "output": "out.parquet", **options}
    source, output = tmp_path / options.pop("input"), options.pop("output")
    with pytest.raises(ValueError, match=message):
        run(journeys, TEXT, source, output and tmp_path / output, **options)
    assert not (tmp_path / "out.parquet").exists()


def test_input_that_cannot_be(journeys: str, tmp_path: Path) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    table = events_of(TEXT, 100)
    pq.write_table(table.slice(0, 0), source)
    with pytest.raises(ValueError, match="has no events to go by"):
        run(journeys, TEXT, source, output)
    times = pa.array([None if at == 70 else NOW_S for at in range(100)])
    pq.write_table(table.set_column(4, "time", times), source)
    with pytest.raises(ValueError, match=r"time: column 'time' of .* has none in row 70"):
        run(journeys, TEXT, source, output)
    none = pa.array([float("nan") if at == 60 else NOW_S * 1.0 for at in range(100)])
    pq.write_table(table.set_column(4, "time", none), source)
    with pytest.raises(ValueError, match=r"time: column 'time' of .* has none in row 60"):
        run(journeys, TEXT, source, output)
    pq.write_table(table.set_column(4, "time", pa.array([NOW_S * 1000] * 100)), source)
    with pytest.raises(ValueError, match=r"beyond the year 5138.*--time_unit ms"):
        run(journeys, TEXT, source, output, now=None)
    pq.write_table(table.rename_columns({"visitor_id": "count"}), source)
    with pytest.raises(ValueError, match=r"columns\.visitor: 'count' is also a column that"):
        run(journeys, TEXT, source, output, columns=EventColumns(visitor="count"))
    pq.write_table(table, source)  # no run has finished a part, so none is in the way
    run(journeys, TEXT, source, output)
    check(output, expected(journeys, TEXT, table))


def test_the_folder_of_a_run_says_what_it_is_of(journeys: str, tmp_path: Path) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(events_of(TEXT, 100), source)
    (tmp_path / "not.txt").write_text("\n".join(map(str, range(13))))
    with pytest.raises(ValueError, match="at most 12 items"):
        run(journeys, TEXT, source, output, exclude=tmp_path / "not.txt")
    origin = json.loads((tmp_path / "out.parquet.parts" / "origin.json").read_text())
    assert origin["columns"]["time"] == "time"
    assert origin["now"] == NOW
