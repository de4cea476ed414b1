"""Writing a simulated log: the same from the same seed, in bounded memory, ready to be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penchant.clients.command import main
from penchant.training.events.event_log import open_event_log, read_log_recipe
from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.simulation_config import PlantedErrors, SimulationConfig

FILES = (
    "events.parquet",
    "items.parquet",
    "customers.parquet",
    "log.yaml",
    "truth/sessions.parquet",
    "truth/visitors.parquet",
    "truth/facts.json",
)
CHILD = """
import sys
from pathlib import Path
from penchant.training.simulation.simulate import SimulationConfig, simulate_log

simulate_log(SimulationConfig(events=20_000), Path(sys.argv[1]))
"""
MEMORY = """
import sys
from pathlib import Path
from penchant.training.simulation.simulate import SimulationConfig, simulate_log

for events in (150_000, 450_000):
    simulate_log(SimulationConfig(events=events), Path(sys.argv[1]) / str(events))
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])  # KiB
"""


def written(folder: Path, **changes: object) -> SimulatedLog:
    return simulate_log(SimulationConfig(**({"events": 20_000} | changes)), folder)  # type: ignore[arg-type]


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, other = written(tmp_path / "first"), written(tmp_path / "other", seed=1)
    again = SimulatedLog(folder=tmp_path / "again")
    # Another process, in which memory that was not written to holds other bytes.
    dirty = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_PERTURB_": "85"}
    child = [sys.executable, "-c", CHILD, str(again.folder)]
    subprocess.run(child, env=os.environ | dirty, timeout=120, check=True)
    for name in FILES:
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    assert first.events.read_bytes() != other.events.read_bytes()
    assert first.items.read_bytes() != other.items.read_bytes()


def test_a_longer_log_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short, long = written(tmp_path / "short"), written(tmp_path / "long", events=30_000)
    rows = pq.read_table(short.events)
    assert 20_000 <= len(rows) < 25_000
    assert pq.read_table(long.events).slice(0, len(rows)).equals(rows)
    assert long.sessions().slice(0, len(short.sessions())).equals(short.sessions())


def test_errors_can_be_switched_off_and_leave_the_rest_alone(
    simulated: SimulatedLog, tmp_path: Path
) -> None:
    with_errors = written(tmp_path / "with")
    without = written(tmp_path / "without", errors=PlantedErrors(enabled=False))
    assert set(without.facts()["errors"].values()) == {0}
    assert min(simulated.facts()["errors"].values()) > 0
    rows, clean = pq.read_table(with_errors.events), pq.read_table(without.events)
    assert clean["time"].null_count == clean["visitor_id"].null_count == 0
    purchases = [
        table.filter(pa.compute.equal(table["action"], "purchase"))["order_id"].unique()
        for table in (rows, clean)
    ]
    common = min(map(len, purchases))
    assert purchases[0].slice(0, common).equals(purchases[1].slice(0, common))


def test_what_cleaning_finds_is_what_was_planted(simulated: SimulatedLog) -> None:
    log = open_event_log(read_log_recipe(simulated.recipe))
    planted = simulated.facts()["errors"]
    for kind, rule in (
        ("no_visitor", "no_visitor"),
        ("missing_time", "unparsable_time"),
        ("future_time", "future_time"),
        ("negative_price", "negative_value"),
        ("duplicates", "duplicates"),
    ):
        assert log.counts.rows(rule) == planted[kind], kind
    items = log.items
    assert items is not None
    unknown = log.events.filter(log.events.item_id.notnull()).anti_join(items, "item_id")
    assert unknown.count().to_pyarrow().as_py() == planted["unknown_item"]
    assert log.counts.num_read == simulated.facts()["events"]


def test_visitors_stand_in_order_and_in_one_row_group_each(simulated: SimulatedLog) -> None:
    file = pq.ParquetFile(simulated.events)
    assert file.num_row_groups > 1
    last = 0
    for group in range(file.num_row_groups):
        ids = (
            file.read_row_group(group, columns=["visitor_id"])["visitor_id"].drop_null().to_numpy()
        )
        assert np.all(np.diff(ids) >= 0)
        assert ids[0] > last
        last = ids[-1]


def test_distributions_do_not_depend_on_the_size(simulated: SimulatedLog) -> None:
    sessions = simulated.sessions()
    half = len(sessions) // 2
    for column in ("sent", "opened", "purchased", "num_views", "searched"):
        values = sessions[column].to_numpy().astype(float)
        error = values.std() / np.sqrt(half) * np.sqrt(2)
        assert abs(values[:half].mean() - values[half:].mean()) < 6 * error, column


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    child = [sys.executable, "-c", MEMORY, str(tmp_path)]
    answer = subprocess.run(child, capture_output=True, text=True, timeout=120, check=True)
    small, large = (int(line) / 1024 for line in answer.stdout.split())  # MiB
    assert large < 500
    assert large - small < 30


def test_the_verb_writes_a_log_and_says_what_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "--output", str(tmp_path / "log"), "--events", "2000", "--weeks", "8"]
    assert main([*words, "--errors.enabled", "false"]) == 0
    said = capsys.readouterr().out
    assert "0 wrong rows" in said
    assert f"penchant inspect data --config {tmp_path / 'log' / 'log.yaml'}" in said
    assert main(words) == 2
    assert "output: expected a new or empty folder" in capsys.readouterr().err
