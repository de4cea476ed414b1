"""What `penchant inspect data` says of a log."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.training.events.small_logs import DAY_S, NOW_S, log_recipe, log_rows, write

from penchant.clients.command import main
from penchant.training.events.inspect_log import render_log_profile
from penchant.training.events.log_profile import LogProfile, profile_log

MIDNIGHT = NOW_S - NOW_S % DAY_S


def profile_of(folder: Path, *args: Any, **kwargs: Any) -> LogProfile:
    return profile_log(log_recipe(folder, *args, **kwargs), now_s=NOW_S)


def shown(profile: LogProfile) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(render_log_profile(profile))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_span_sizes_and_gaps_are_told(tmp_path: Path) -> None:
    days = [0, 0, 1, 4, 5, 7]
    rows = log_rows(
        6,
        who=["a", "a", "a", "a", "b", "c"],
        at=[MIDNIGHT - 10 * DAY_S + day * DAY_S + 60 * n for n, day in enumerate(days)],
        sku=["x", "y", "x", "x", None, "y"],
        what=["view", "view", "purchase", "view", "search", "view"],
        basket=[None, None, "1", None, None, None],
        via=["web", "web", "web", None, "store", "web"],
    )
    profile = profile_of(tmp_path, rows, columns={"order_id": "basket", "channel": "via"})
    assert (profile.visitors, profile.single, profile.most_events) == (3, 2, 4)
    assert (profile.items, profile.orders, profile.sessions) == (2, 1, 5)
    assert profile.gap_days == 3
    assert profile.longest_gap is not None
    assert (profile.longest_gap.first, profile.longest_gap.days) == (date(2023, 11, 6), 2)
    first, *_ = profile.actions
    assert (first.name, first.events, first.visitors, first.items) == ("view", 4, 2, 2)
    assert [kind.name for kind in profile.channels] == ["web", "", "store"]
    text = shown(profile)
    assert "2023-11-04 00:00 to 2023-11-11 00:05 (UTC), 7.0 days; 3 days without events" in text
    assert "3 visitors, 2.0 events each, at most 4; 2 (66.7%) with one event only" in text
    assert "(none)" in text


def test_a_long_list_says_how_many_more_there_are(tmp_path: Path) -> None:
    kinds = 25
    rows = log_rows(
        kinds + 1,
        what=[*(f"do {n:02d}" for n in range(kinds)), "do 24"],
        via=[*(f"by {n:02d}" for n in range(kinds - 5)), *["by 00"] * 6],
        sku=[str(n) for n in range(kinds + 1)],
    )
    profile = profile_of(tmp_path, rows, columns={"channel": "via"})
    assert [kind.name for kind in profile.actions] == ["do 24", *(f"do {n:02d}" for n in range(19))]
    assert (profile.more_actions, len(profile.channels), profile.more_channels) == (5, 20, 0)
    text = shown(profile)
    assert "and 5 more actions" in text
    assert "more channels" not in text


def test_one_event_alone_is_a_log(tmp_path: Path) -> None:
    text = shown(profile_of(tmp_path, log_rows(1)))
    assert "1 visitor, 1.0 events each" in text
    assert "none without events" in text


def test_odd_clocks_are_told(tmp_path: Path) -> None:
    rows = log_rows(at=[MIDNIGHT, 86_400, MIDNIGHT - DAY_S, NOW_S - 1])
    clock = profile_of(tmp_path, rows).clock
    assert clock is not None
    assert (clock.before_1990, clock.midnight, clock.backwards) == (1, 0.75, 1)
    text = shown(profile_of(tmp_path, rows))
    assert "1 row before 1990; is events.time_unit right?" in text
    assert "75.0% of the rows are exactly at midnight" in text
    assert "1 row earlier than the one before" in text


def test_midnight_is_that_of_the_logs_zone(tmp_path: Path) -> None:
    rows = log_rows(at=[MIDNIGHT - 3600] * 4)
    clock = profile_of(tmp_path, rows, timezone="Europe/Warsaw").clock
    assert clock is not None
    assert clock.midnight == 1.0


def test_mixed_ids_missing_ones_and_unknown_items_are_told(tmp_path: Path) -> None:
    rows = log_rows(who=["v0", None, "12", "v3"], sku=["1", "2", "3", "4"])
    profile = profile_of(tmp_path, rows, items={"sku": ["1", "2", "9"]})
    assert profile.unknown_items == pytest.approx(2 / 3)  # of three rows with a visitor, one: 2
    assert profile.catalogue == 3
    text = shown(profile)
    assert "visitor_id: 25.0% of the rows have none" in text
    assert "visitor_id: text with whole numbers among it (33.3% of the ids)" in text
    assert "item_id: text with" not in text  # all of them are whole numbers


def test_what_would_be_refused_is_told_beside_the_rest(tmp_path: Path) -> None:
    rows = log_rows(at=[NOW_S - 1, NOW_S + DAY_S, NOW_S - 2, NOW_S - 3])
    profile = profile_of(tmp_path, rows)
    (problem,) = profile.problems
    assert "row 2 of" in problem
    assert profile.counts.num_kept == 3
    assert profile.visitors == 3
    assert " ".join(problem.split()) in " ".join(shown(profile).split())


def test_a_log_of_which_nothing_is_left_is_told_with_the_rules(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, log_rows(who=["", "", "", ""]))
    assert profile.first is None
    assert "no row of 4 is left (no_visitor 4)" in shown(profile)


def test_an_order_without_a_clock_has_no_sessions(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, log_rows(at=[1, 2, 3, 4]), time_unit="order")
    assert (profile.sessions, profile.clock, profile.longest_gap) == (None, None, None)
    assert "Order from 1 to 4, no clock" in shown(profile)


def _recipe_file(folder: Path) -> str:
    write(folder, "events", log_rows())
    path = folder / "log.yaml"
    path.write_text(
        """
        name: mine
        events:
          table: {path: events.parquet}
          columns: {visitor_id: who, time: at, action: what, item_id: sku}
          time_unit: s
        """
    )
    return str(path)


def test_the_verb_takes_a_log_recipe_and_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", "data", "--config", _recipe_file(tmp_path)]
    assert main([*words, "--cleaning.most-events", "3", "--events.columns.item_id", "null"]) == 0
    text = capsys.readouterr().out
    assert "4 rows, 4 events after cleaning" in text
    assert "0 items" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cleaning.most_evnts", "3"], "did you mean --cleaning.most_events"),
        (["--cleaning.duplicates", "merge"], "cleaning.duplicates"),
        (["--events.columns.time", "when"], "events.columns: no column 'when'"),
        (["--events.timezone", "Mars/Base"], "events.timezone: expected a zone"),
    ],
)
def test_the_verb_explains_a_wrong_option_of_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    argv = ["inspect", "data", "--config", _recipe_file(tmp_path), *words]
    if "events.timezone" in message:
        argv += ["--events.time_unit", "ms"]
    assert main(argv) == 2
    assert message in capsys.readouterr().err
