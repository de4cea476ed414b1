"""The expressions that run on DuckDB, unchanged on Spark, with equal results."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq
import pytest
from tests.training.events.small_events import ACTIONS, DAY_S, START_S, assert_same, random_events

from penchant.training.events.associations import association_pairs, popular_items
from penchant.training.events.examples_config import GoalConfig
from penchant.training.events.goal_labels import with_goal_labels
from penchant.training.events.history_features import (
    KEYS,
    PLURALS,
    HistoryConfig,
    history_features,
)
from penchant.training.journeys.journey_recipe import AssociationConfig

T = START_S + 40 * DAY_S
pytestmark = [  # of Ibis, DuckDB, Spark and pandas about each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PAIR = ("item_id", "other_id")


@pytest.fixture(scope="module")
def both(local_spark: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[ir.Table, ir.Table]:
    """The same events in DuckDB and in Spark."""
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(random_events(900), path)
    return ibis.duckdb.connect().read_parquet(path), local_spark.read_parquet(path)


def rows_of(table: ir.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return rows


def test_features_and_labels_are_equal(both: tuple[ir.Table, ir.Table]) -> None:
    config = HistoryConfig(actions=ACTIONS, windows_days=(1, 30), columns=tuple(PLURALS))
    goals = (
        GoalConfig(name="buys", actions=("purchase",), within_days=10),
        GoalConfig(name="leaves", within_days=5, negate=True),
        GoalConfig(name="later", within_days=90),
    )

    def ask(events: ir.Table) -> list[dict[str, Any]]:
        rows = history_features(events, [T], config)
        return rows_of(with_goal_labels(rows, events, T, goals, end_s=START_S + 60 * DAY_S))

    duckdb, spark = map(ask, both)
    assert len(duckdb) == 12
    assert_same(spark, duckdb, KEYS)


@pytest.mark.parametrize(
    "statistic", ["bought_together", "viewed_together", "bought_after_viewing"]
)
def test_pairs_are_equal(both: tuple[ir.Table, ir.Table], statistic: str) -> None:
    config = AssociationConfig(least_support=1, neighbours=3, action_weights={"cart": 2.0})
    duckdb, spark = (
        rows_of(association_pairs(events, config, statistic, reference_s=T)) for events in both
    )
    assert len(duckdb) > 5
    assert_same(spark, duckdb, PAIR)


def test_popular_items_are_equal(both: tuple[ir.Table, ir.Table]) -> None:
    duckdb, spark = (
        rows_of(popular_items(events, AssociationConfig(), reference_s=T)) for events in both
    )
    assert_same(spark, duckdb, ("item_id",))
