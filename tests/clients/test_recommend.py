"""``penchant recommend`` against a real Triton."""

from __future__ import annotations

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
from tests.clients.event_files import NOW, NOW_S, check, events_of, expected, run
from tests.journey_packages import NUMBERS, TEXT, TinyJourney

from penchant.clients import event_buckets
from penchant.clients.command import bind
from penchant.clients.event_source import EventColumns
from penchant.clients.recommend import recommend


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
    histories = table.filter(
        pa.array([each == visitor for each in table["visitor_id"].to_pylist()])
    )
    assert told.startswith(f"visitor {visitor}, {histories.num_rows} events\n")
    assert f"{answer.unknown} of the newest {min(6, histories.num_rows)} are of items" in told
    for item, score in zip(answer.items, answer.scores, strict=True):
        assert f"{item}  {score:.4f}" in told
    assert f"model version {JOURNEY_VERSION}" in told
    with pytest.raises(ValueError, match="has no event of '-5'"):
        run(journeys, NUMBERS, source, visitor="-5")
    assert [path.name for path in tmp_path.iterdir()] == ["events.parquet"]


def test_one_visitor_and_what_was_left_out(journeys: str, tmp_path: Path) -> None:
    times = [NOW_S - 60, NOW_S - 50, NOW_S - 40, NOW_S + 7, NOW_S - 30]
    table = pa.table(
        {
            "visitor_id": [5.0, 5.0, 5.0, 5.0, 6.0],
            "item_id": ["but-0", "?", "but-1", "but-0", "but-0"],
            "action": ["view", "view", "yawn", "cart", "yawn"],
            "time": times,
        }
    )
    source = tmp_path / "events.parquet"
    pq.write_table(table, source)
    (tmp_path / "not.txt").write_text("but-0\nbut-1\nbut-1\n")
    with pytest.raises(ValueError, match="has 'yawn'"):
        run(journeys, TEXT, source, visitor="5")
    told = run(
        journeys,
        TEXT,
        source,
        visitor="5",
        skip_unknown=True,
        exclude=tmp_path / "not.txt",
        allow="boots",
    )
    lines = told.splitlines()
    assert lines[0] == (
        "visitor 5, 2 events; left out: 1 of an action that the model does not know, "
        "1 later than now"
    )
    assert lines[1] == "1 of the newest 2 are of items that the model does not know (50%)"
    assert "      no more than 2 may be answered" in lines
    assert "never recommended: 2 of --exclude" in lines
    assert "kept to: boots" in lines


KINDS = [
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_text_of_every_kind(journeys: str, tmp_path: Path, kind: pa.DataType) -> None:
    table = events_of(TEXT, 200)
    changed = table
    for name in ("visitor_id", "item_id", "action", "channel", "time"):
        texts = table[name].cast(pa.string())
        values = texts.to_pylist()
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            values = [None if each is None else each.encode() for each in values]
        if pa.types.is_binary_view(kind):
            column = texts.cast(pa.binary()).combine_chunks().cast(kind)
        elif pa.types.is_dictionary(kind):
            column = texts.cast(kind.value_type).combine_chunks().dictionary_encode()
        else:
            column = pa.array(values, kind)
        changed = changed.set_column(changed.column_names.index(name), name, column)
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(changed, source)
    run(journeys, TEXT, source, output)
    found = pq.read_table(output)
    visitors = pa.array([int(each) for each in found["visitor_id"].to_pylist()])
    pq.write_table(found.set_column(0, "visitor_id", visitors), output)
    check(output, expected(journeys, TEXT, table))


def test_whole_numbers_beside_gaps_and_visitors_without_an_id(
    journeys: str, tmp_path: Path
) -> None:
    table = events_of(NUMBERS, 200)
    visitors = [
        None if at == 3 else float(v) for at, v in enumerate(table["visitor_id"].to_pylist())
    ]
    visitors[4] = float("nan")
    items = [None if at == 50 else float(v) for at, v in enumerate(table["item_id"].to_pylist())]
    changed = table.set_column(0, "visitor_id", pa.array(visitors, from_pandas=False))
    changed = changed.set_column(1, "item_id", pa.array(items))
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(changed, source)
    assert "left out: 2 without a visitor" in run(journeys, NUMBERS, source, output)
    kept = pa.array([at not in (3, 4) for at in range(200)])
    nulls = [None if at == 50 else v for at, v in enumerate(table["item_id"].to_pylist())]
    check(output, expected(journeys, NUMBERS, table.set_column(1, "item_id", [nulls]).filter(kept)))


def test_text_of_a_csv_is_taken_as_it_stands(journeys: str, tmp_path: Path) -> None:
    """As in training, where 1.0 and TRUE among other text are text."""
    source = tmp_path / "events.csv"
    source.write_text(
        "visitor_id,item_id,action,time\n7.0,but-0,view,1699999000\n7,1.0,view,1699999100\n"
    )
    told = run(journeys, TEXT, source, visitor="7")
    assert told.startswith("visitor 7, 2 events\n1 of the newest 2")
    (tmp_path / "not.txt").write_text("but-0\n", encoding="utf-8-sig")
    assert "but-0" not in run(
        journeys, TEXT, source, visitor="7", k=5, exclude=tmp_path / "not.txt", allow="boots"
    )


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
