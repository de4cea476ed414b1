"""How long feature queries over a large log take, and how much memory.

    penchant simulate --events 10000000 --output big
    python -m penchant.training.events.feature_benchmark --log big/log.yaml

Each line is a query that is run on its own, from the files to a file: cleaning the log, features
and labels of every visitor at one cut-off, then sessions and the association statistics. The goal
is features under 60 s and 4 GiB for ten million events on 2 cores. Processor seconds are beside
those of the clock, because on a machine that others use the latter say more about them.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from penchant.clients.command import bind
from penchant.training.events.associations import association_pairs, popular_items
from penchant.training.events.event_log import build_event_log, read_log_recipe, stored
from penchant.training.events.example_maker import example_maker
from penchant.training.events.examples import write_examples
from penchant.training.events.examples_config import ExamplesConfig, GoalConfig
from penchant.training.events.log_tables import open_tables
from penchant.training.events.sessions import with_sessions
from penchant.training.journeys.journey_recipe import STATISTICS, AssociationConfig

Result = TypeVar("Result")


def feature_benchmark(*, log: Path, threads: int = 2, within_days: float = 30.0) -> None:
    """Time the feature queries over a log and print a line each.

    Args:
        log: The log recipe, as `penchant simulate` writes it.
        threads: Threads of DuckDB.
        within_days: Horizon of the goal.
    """
    recipe = read_log_recipe(log)
    tables = open_tables(recipe)
    tables.events.get_backend().raw_sql(f"SET threads = {int(threads)}")
    opened = _timed("open and clean", lambda: build_event_log(recipe, tables), threads)
    _say(f"{opened.events.count().to_pyarrow().as_py():,} events after cleaning")
    config = ExamplesConfig(
        log=str(log),
        goals=(GoalConfig(name="buys", actions=("purchase",), within_days=within_days),),
    )
    maker = example_maker(config, log=opened)
    newest = maker.end_s - config.horizon_s
    with tempfile.TemporaryDirectory(prefix="penchant-benchmark-") as folder:
        path = Path(folder) / "rows.parquet"
        rows = _timed("features and labels", lambda: write_examples(maker, [newest], path), threads)
        names = maker.columns.features
        _say(f"{rows:,} visitors, {len(names)} features, {path.stat().st_size / 2**20:,.0f} MiB")
        gap = opened.session_gap_minutes
        numbered = _timed("sessions", lambda: stored(with_sessions(opened.events, gap)), threads)
        settings = AssociationConfig()
        for statistic in STATISTICS:
            query = (
                popular_items(numbered, settings, reference_s=maker.end_s)
                if statistic == "popular"
                else association_pairs(numbered, settings, statistic, reference_s=maker.end_s)
            )
            found = _timed(statistic, query.to_pyarrow, threads)
            _say(f"{found.num_rows:,} rows")


def _timed(name: str, run: Callable[[], Result], threads: int) -> Result:
    begun, used = time.perf_counter(), _processor_s()
    result = run()
    clock_s, processor_s = time.perf_counter() - begun, _processor_s() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _say(
        f"{name}: {clock_s:.1f} s, {processor_s:.1f} s of {threads} processors, "
        f"peak {peak:.2f} GiB so far"
    )
    return result


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    feature_benchmark(**bind(feature_benchmark, sys.argv[1:], prog="feature_benchmark"))
