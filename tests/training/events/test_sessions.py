"""Sessions: numbered within a visitor, begun by a pause that is longer than the gap."""

from __future__ import annotations

from pathlib import Path

from tests.training.events.small_logs import NOW_S, log_rows, opened

from penchant.training.events.sessions import with_sessions


def test_a_pause_longer_than_the_gap_begins_a_session(tmp_path: Path) -> None:
    # Not in the order of time; a pause of exactly half an hour is none.
    minutes = [91, 0, 30, 60, 500, 0, 31]
    rows = log_rows(
        7, who=["a", "a", "a", "a", "a", "b", "b"], at=[NOW_S - 86_400 + 60 * m for m in minutes]
    )
    events = with_sessions(opened(tmp_path, rows).events, 30)
    found = events.order_by("visitor_id", "time_s").select("visitor_id", "session").to_pyarrow()
    assert found["session"].to_pylist() == [0, 0, 0, 1, 2, 0, 1]
    assert str(events.session.type()) == "int64"
    assert found.num_rows == 7


def test_without_a_clock_a_visitor_has_one_session(tmp_path: Path) -> None:
    log = opened(tmp_path, log_rows(at=[1, 10**6, 10**9, 10**12]), time_unit="order")
    events = with_sessions(log.events, log.session_gap_minutes)
    assert events.session.max().to_pyarrow().as_py() == 0
