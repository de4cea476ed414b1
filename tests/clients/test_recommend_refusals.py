"""What ``penchant recommend`` refuses, by a real Triton's contract."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.clients.event_files import NOW, NOW_S, check, events_of, expected, run
from tests.journey_packages import NUMBERS, TEXT, TinyJourney

from penchant.clients.event_source import EventColumns
from penchant.clients.recommended_table import RecommendedTable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": None}, "output, visitor: expected one of them"),
        ({"visitor": "3"}, "output, visitor: expected one of them"),
        ({"output": "out.xlsx"}, "expected a .parquet or .csv file"),
        ({"input": "none.parquet"}, "found none at"),
        ({"batch_visitors": 0}, "batch_visitors: expected at least 1"),
        ({"time_unit": "h"}, "time_unit: expected one of s, ms, us, ns, got 'h'"),
        ({"now": "yesterday"}, "now: expected a time as in 2011"),
        ({"exclude": Path("nowhere.txt")}, "exclude: expected a text file"),
        ({"k": 6}, "k: expected 1 to 5"),
        ({"target_action": "veiw"}, "did you mean 'view'"),
        ({"columns": EventColumns(item="itemid")}, "columns.item: .*did you mean 'item_id'"),
        ({"columns": EventColumns(channel="medium")}, "columns.channel: .*--columns.channel"),
        (
            {"columns": EventColumns(time="action")},
            "time: column 'action' of .*rows from 0 on: expected times",
        ),
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
    with pytest.raises(ValueError, match=r"in row 0, before .* beyond 5138.*--time_unit ms"):
        run(journeys, TEXT, source, output, now=None)
    pq.write_table(table.rename_columns({"visitor_id": "count"}), source)
    with pytest.raises(ValueError, match=r"columns\.visitor: 'count' is also a column that"):
        run(journeys, TEXT, source, output, columns=EventColumns(visitor="count"))
    pq.write_table(table, source)  # no run has finished a part, so none is in the way
    run(journeys, TEXT, source, output)
    check(output, expected(journeys, TEXT, table))


def test_too_much_to_leave_out_shows_before_any_event_is_read(
    journeys: str, tmp_path: Path
) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(events_of(TEXT, 100), source)
    (tmp_path / "not.txt").write_text("\n".join(map(str, range(13))))
    with pytest.raises(ValueError, match=r"exclude: the model takes at most 12 items.*got 13"):
        run(journeys, TEXT, source, output, exclude=tmp_path / "not.txt")
    assert not (tmp_path / "out.parquet.parts").exists()


def test_the_folder_of_a_run_says_what_it_is_of(
    journeys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(events_of(TEXT, 100), source)
    monkeypatch.setattr(RecommendedTable, "table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(journeys, TEXT, source, output)
    origin = json.loads((tmp_path / "out.parquet.parts" / "origin.json").read_text())
    assert origin["columns"]["time"] == "time"
    assert origin["now"] == NOW


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("tiny", "name", "values", "message"),
    [
        (TEXT, "time", pa.array([True] * 9), "time: expected timestamps or text or numbers.*bool"),
        (TEXT, "time", pa.array([time(9)] * 9), r"time64.*join a time of day with its date"),
        (TEXT, "time", pa.array([9] * 9, pa.time32("s")), r"time32.*join a time of day"),
        (TEXT, "time", pa.array([timedelta(1)] * 9), r"got duration\[us\]"),
        (
            TEXT,
            "item_id",
            pa.array([7] * 9),
            "columns.item: expected text, which the model's items",
        ),
        (TEXT, "item_id", pa.array([[7]] * 9), "columns.item: expected text.*got list"),
        (NUMBERS, "item_id", pa.array(["7"] * 9), "expected integers, which.*got string; cast"),
        (NUMBERS, "item_id", pa.array([7.0] * 8 + [7.5]), "item: column 'item_id' of .*truncated"),
        (TEXT, "visitor_id", pa.array([True] * 9), "columns.visitor: expected text or integers"),
        (TEXT, "visitor_id", pa.array([1.5] * 9), "visitor: column 'visitor_id' of .*truncated"),
        (TEXT, "item_id", pa.array([b"\xff"] * 9), "item: column 'item_id'.*text in UTF-8"),
        (TEXT, "action", pa.array([time(9)] * 9), "columns.action: expected text or integers"),
        (TEXT, "time", pa.array([datetime.max] * 9), "has 9999-12-31 .* in row 0, before the year"),
        (TEXT, "time", pa.array(["0001-01-01"] * 9), "has 0001-01-01 in row 0, before the year"),
    ],
)
def test_columns_that_cannot_have_their_meaning(
    journeys: str, tmp_path: Path, tiny: TinyJourney, name: str, values: pa.Array, message: str
) -> None:
    source, output = tmp_path / "events.parquet", tmp_path / "out.parquet"
    pq.write_table(_with(events_of(tiny, 9), name, values), source)
    with pytest.raises(ValueError, match=message):
        run(journeys, tiny, source, output)


@pytest.mark.parametrize(
    ("cell", "message"),
    [("7.5", r"in row 3: .* got '7\.5'"), ("007", "in row 3: .* got '007'"), ("x", "got 'x'")],
)
def test_a_csv_of_other_ids(journeys: str, tmp_path: Path, cell: str, message: str) -> None:
    source, output = tmp_path / "events.csv", tmp_path / "out.parquet"
    cells = ["7", "7.0", "", cell, "7", "7", "7", "7", "7"]
    pa_csv.write_csv(_with(events_of(NUMBERS, 9), "item_id", pa.array(cells)), source)
    with pytest.raises(ValueError, match=message):
        run(journeys, NUMBERS, source, output)


def test_lines_that_are_no_ids(journeys: str, tmp_path: Path) -> None:
    source = tmp_path / "events.parquet"
    pq.write_table(events_of(NUMBERS, 9), source)
    (tmp_path / "not.txt").write_text("7\n\nseven\n")
    with pytest.raises(ValueError, match=r"exclude: line 3 of .*not\.txt: .* got 'seven'"):
        run(journeys, NUMBERS, source, visitor="7", exclude=tmp_path / "not.txt")
