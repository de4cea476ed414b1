"""The same log on Spark: mapped, cleaned and numbered by the expressions that run on DuckDB."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.training.events.small_logs import NOW_S, log_recipe, log_rows

from penchant.training.events.event_log import build_event_log, open_event_log
from penchant.training.events.log_tables import LogTables
from penchant.training.events.sessions import with_sessions

pytest.importorskip("pyspark", reason="Spark is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.timeout(900),  # Spark takes its time where other work goes on
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """Ibis over a Spark of this process, in UTC."""
    import ibis
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate()
        )
        yield ibis.pyspark.connect(session)


def test_spark_gives_the_events_and_counts_of_duckdb(spark: Any, tmp_path: Path) -> None:
    rows = log_rows(
        9,
        who=["a", "a", "a", "b", None, "b", "b", "c", "c"],
        at=[
            "2023-03-26 00:59:59",
            "2023-03-26 03:00",
            "2023-03-26 03:00",
            "2023-10-29T02:30:00Z",
            "2023-10-29",
            "someday",
            "2023-10-29T02:30:00+02:00",
            "2023-07-01 12:00",
            "2023-07-01 13:00",
        ],
        sku=["x", "y", "y", "y", "x", "x", None, "z", "z"],
        price=[1.0, 2.0, 2.0, 3.0, 1.0, 1.0, None, 4.0, -1.0],
        basket=["1", "2", "2", "3", "4", "5", "6", "C7", "8"],
    )
    items = {"sku": ["x", "y", "y"], "category": ["boots", "coats", "a"]}
    recipe = log_recipe(
        tmp_path,
        rows,
        items=items,
        columns={"price": "price", "order_id": "basket"},
        time_unit="timestamp",
        timezone="Europe/London",
        cancelled_order="^C",
        cleaning={"unparsable_time": "drop", "unknown_item": "keep"},
    )
    assert recipe.items is not None
    here = open_event_log(recipe, now_s=NOW_S)
    there = build_event_log(
        recipe,
        LogTables(
            events=spark.read_parquet(recipe.events.table.path),
            items=spark.read_parquet(recipe.items.table.path),
        ),
        now_s=NOW_S,
    )
    assert there.counts == here.counts
    assert {each.rule: each.rows for each in here.counts.rules if each.rows} == {
        "no_visitor": 1,
        "unparsable_time": 1,
        "returns": 1,
        "negative_value": 1,
        "duplicates": 1,
        "duplicate_keys": 1,
    }
    order = ["visitor_id", "time_s", "item_id"]
    found, wanted = (
        with_sessions(log.events, 30).order_by(order).to_pyarrow().to_pylist()
        for log in (there, here)
    )
    assert found == wanted
    assert len(wanted) == 4
