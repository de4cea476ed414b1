"""Opening a log: every source and type gives the same canonical events."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from tests.training.events.small_logs import NOW_S, events_of, log_recipe, log_rows, opened, write

from penchant.training.events.canonical import EVENT_COLUMNS
from penchant.training.events.event_log import open_event_log, read_log_recipe
from penchant.training.recipe import TableSource

ITEMS = {"sku": ["i0", "i1"], "category": ["boots", "coats"], "title": [" A boot ", ""]}


def test_events_have_all_columns_in_their_order_and_types(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert {name: str(kind) for name, kind in log.events.schema().items()} == {
        "visitor_id": "string",
        "time_s": "int64",
        "action": "string",
        "item_id": "string",
        "channel": "string",
        "device": "string",
        "source": "string",
        "campaign": "string",
        "query": "string",
        "value": "float64",
        "quantity": "float64",
        "order_id": "string",
        "hour": "int32",
    }
    assert tuple(log.events.columns) == EVENT_COLUMNS
    assert events_of(log)[0]["hour"] == 22 + 24 * 0  # Monday 2023-11-13, 22:13


def test_items_join_events_in_one_connection(tmp_path: Path) -> None:
    log = opened(tmp_path, items=ITEMS)
    assert log.items is not None
    joined = log.events.join(log.items, "item_id").order_by("item_id").to_pyarrow()
    assert joined["category"].to_pylist() == ["boots", "coats"]
    assert joined["title"].to_pylist() == ["A boot", None]


def _csv(folder: Path, rows: pa.Table) -> TableSource:
    pa_csv.write_csv(rows, folder / "log.csv")
    return TableSource(path=str(folder / "log.csv"))


def _duckdb(folder: Path, rows: pa.Table) -> TableSource:
    with duckdb.connect(str(folder / "log.db")) as connection:
        connection.execute("create table log as select * from rows")
    return TableSource(url=f"duckdb://{folder / 'log.db'}", name="log")


def _sqlite(folder: Path, rows: pa.Table) -> TableSource:
    with sqlite3.connect(folder / "log.sqlite") as connection:
        connection.execute("create table log (who text, at integer, what text, sku text)")
        values = [tuple(row.values()) for row in rows.to_pylist()]
        connection.executemany("insert into log values (?, ?, ?, ?)", values)
    connection.close()
    return TableSource(url=f"sqlite://{folder / 'log.sqlite'}", name="log")


@pytest.mark.parametrize("store", [_csv, _duckdb, _sqlite])
def test_every_kind_of_source_gives_the_same_events(
    tmp_path: Path, store: Callable[[Path, pa.Table], TableSource]
) -> None:
    rows = log_rows(5)
    source = store(tmp_path, pa.table(rows))
    log = opened(tmp_path, source, items=ITEMS)
    assert events_of(log) == events_of(opened(tmp_path, rows))
    assert log.counts.rows("unknown_item") == 3


def test_two_tables_of_one_database_are_opened_once(tmp_path: Path) -> None:
    source = _duckdb(tmp_path, pa.table(log_rows()))
    recipe = log_recipe(tmp_path, source, items={"sku": ["i0"]})
    assert recipe.items is not None
    recipe = replace(recipe, items=replace(recipe.items, table=source))
    assert open_event_log(recipe, now_s=NOW_S).counts.rows("unknown_item") == 0


def test_ids_that_a_csv_only_seems_to_have_as_integers_are_text(tmp_path: Path) -> None:
    source = _csv(tmp_path, pa.table(log_rows(sku=[1, 2, 3, 4])))
    log = opened(tmp_path, source, items={"sku": ["1", "2", "3x"]})
    assert [row["item_id"] for row in events_of(log)] == ["1", "2", "3", "4"]
    assert log.counts.rows("unknown_item") == 2


def test_ids_of_a_csv_that_begin_with_a_zero_are_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("who,at,what,sku\n007,1,view,7\n7,2,view,8\n")
    events = events_of(opened(tmp_path, TableSource(path=str(path))))
    assert [(row["visitor_id"], row["item_id"]) for row in events] == [("007", 7), ("7", 8)]


def test_keys_of_different_types_are_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"items.columns.item_id: expected string in 'sku'.*int64"):
        opened(tmp_path, items={"sku": [1, 2]})


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (pa.array([7, 8, 9, 10], pa.uint16()), [7, 8, 9, 10]),
        (pa.array([2**60, 2**60 + 1, 9, None], pa.uint64()), [2**60, 2**60 + 1, 9, None]),
        (pa.array([2**60, 2**60 + 1, 9, None], pa.decimal128(20, 0)), [2**60, 2**60 + 1, 9, None]),
        (pa.array([7.0, 8.0, None, float("nan")]), [7, 8, None, None]),
        (pa.array(["ą", "007", "", None]), ["007", "ą", None, None]),
    ],
)
def test_ids_are_integers_or_text(tmp_path: Path, ids: pa.Array, wanted: list[Any]) -> None:
    found = [row["item_id"] for row in events_of(opened(tmp_path, log_rows(sku=ids)))]
    assert sorted(found, key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array([7.5, 8.0, 9.0, 1.0]), r"up to 9,007,199,254,740,992, got 7\.5"),
        (pa.array(["7.5", "8", "9", "1"]).cast(pa.decimal128(9, 1)), r"got 7\.5; store"),
        (pa.array([2.0**53 + 2, 8.0, 9.0, 1.0]), r"got 9007199254740994\.0; store"),
        (pa.array([float("inf"), 8.0, 9.0, 1.0]), "got inf; store"),
        (pa.array([2**63, 8, 9, 1], pa.uint64()), "got 9223372036854775808; store .* as text"),
    ],
)
def test_an_id_that_no_integer_holds_is_refused(
    tmp_path: Path, ids: pa.Array, message: str
) -> None:
    with pytest.raises(ValueError, match=f"item_id: expected text or whole numbers .*{message}"):
        opened(tmp_path, log_rows(sku=ids))


def test_an_id_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="visitor_id: expected text or integers in 'who', got bool"
    ):
        opened(tmp_path, log_rows(who=[True, False, True, True]))


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([NOW_S - 60 * n for n in range(4)], "s"),
        ([(NOW_S - 60 * n) * 1000 for n in range(4)], "ms"),
        ([datetime.fromtimestamp(NOW_S - 60 * n, UTC) for n in range(4)], "timestamp"),
        ([datetime.fromtimestamp(NOW_S - 60 * n, UTC).isoformat() for n in range(4)], "timestamp"),
        ([datetime.fromtimestamp(NOW_S - 60 * n) for n in range(4)], "local"),
        ([datetime.fromtimestamp(NOW_S - 60 * n).isoformat() for n in range(4)], "local"),
    ],
)
def test_all_forms_of_a_time_give_the_same_seconds(
    tmp_path: Path, times: list[Any], unit: str
) -> None:
    zone = "Europe/Warsaw"
    if unit == "local":
        from zoneinfo import ZoneInfo

        local = [datetime.fromtimestamp(NOW_S - 60 * n, ZoneInfo(zone)) for n in range(4)]
        plain = [each.replace(tzinfo=None) for each in local]
        times = [each.isoformat() for each in plain] if isinstance(times[0], str) else plain
        unit = "timestamp"
    log = opened(tmp_path, log_rows(at=times), time_unit=unit, timezone=zone)
    rows = events_of(log)
    assert [row["time_s"] for row in rows] == [NOW_S - 60 * n for n in range(4)]
    assert {row["hour"] for row in rows} == {23 + 24}  # Tuesday 2023-11-14, 23:13 in Warsaw


def test_an_order_without_a_clock_has_no_hours_and_no_future(tmp_path: Path) -> None:
    log = opened(tmp_path, log_rows(at=[10**12, 2, 3, 4]), time_unit="order")
    assert not log.has_clock
    assert log.session_gap_minutes is None
    assert {row["hour"] for row in events_of(log)} == {None}


def test_actions_are_renamed_and_a_missing_one_is_the_default(tmp_path: Path) -> None:
    rows = log_rows(what=["transaction", "view", None, "cart"])
    log = opened(tmp_path, rows, actions={"transaction": "purchase"}, default_action="visit")
    assert [row["action"] for row in events_of(log)] == ["purchase", "view", "visit", "cart"]
    columns = {"action": None}
    log = opened(tmp_path, rows, columns=columns, default_action="purchase")
    assert {row["action"] for row in events_of(log)} == {"purchase"}


def test_value_is_price_times_quantity_where_there_is_none(tmp_path: Path) -> None:
    rows = log_rows(price=["2.5", None, " 3 ", "1"], pieces=[2, 1, None, 0])
    log = opened(tmp_path, rows, columns={"price": "price", "quantity": "pieces"})
    assert [row["value"] for row in events_of(log)] == [5.0, None, 3.0, 0.0]


def test_a_price_that_is_no_number_is_refused_with_it(tmp_path: Path) -> None:
    rows = log_rows(price=["2.5", "12,50", "3", "1"])
    with pytest.raises(ValueError, match=r"events.columns.price: expected numbers.*'12,50'"):
        opened(tmp_path, rows, columns={"price": "price"})


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"events.columns: no column 'skus'; did you mean sku\?"):
        opened(tmp_path, columns={"item_id": "skus"})


def test_a_missing_file_is_refused_with_its_place_in_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"events.table.path: no file .*gone.csv"):
        opened(tmp_path, TableSource(path=str(tmp_path / "gone.csv")))


def test_an_empty_table_and_one_without_a_good_row_are_refused(tmp_path: Path) -> None:
    empty = pa.table(log_rows()).slice(0, 0)
    with pytest.raises(ValueError, match=r"events.table: expected rows in .*events.parquet"):
        opened(tmp_path, empty)
    with pytest.raises(ValueError, match=r"no row of 4 is left \(no_visitor 4\)"):
        opened(tmp_path, log_rows(who=pa.array([None] * 4, pa.string())))


def test_a_recipe_file_is_read_with_overrides_and_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "events", log_rows())
    text = """
        name: mine
        events:
          table: {path: events.parquet}
          columns: {visitor_id: who, time: at}
          time_unit: s
        """
    (tmp_path / "mine.yaml").write_text(text)
    recipe = read_log_recipe(tmp_path / "mine.yaml", ["--cleaning.most_events", "7"])
    assert recipe.cleaning.most_events == 7
    assert open_event_log(recipe, now_s=NOW_S).counts.num_kept == 4
    (tmp_path / "mine.yaml").write_text(text.replace("time_unit", "time_units"))
    with pytest.raises(ValueError, match=r"unknown key 'events.time_units'; did you mean"):
        read_log_recipe(tmp_path / "mine.yaml")
