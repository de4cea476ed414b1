"""``penchant score`` against a real Triton, interrupted in every way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.clients.lab import CONTRACT, Lab, logit

from penchant.clients.score import score

NUM_ROWS = 1500
BATCH_ROWS = 128


def _table(num_rows: int = NUM_ROWS) -> pa.Table:
    numbers = np.arange(num_rows)
    return pa.table(
        {
            "visitor_id": [f"v{at:05d}" for at in range(num_rows)],
            "age": pa.array((numbers % 90).astype(float), mask=numbers % 11 == 0),
            "basket": numbers % 7,
            "wait_s": np.zeros(num_rows),
            "fail": np.zeros(num_rows),
            "city": pa.array([f"city {at % 5}" if at % 3 else None for at in range(num_rows)]),
            "channel": numbers % 4 == 0,
            "tags": [["a", "b", "c"][: at % 4] for at in range(num_rows)],
        }
    )


def _expected(table: pa.Table) -> list[float]:
    rows = table.to_pylist()
    return [float(1 / (1 + np.exp(-logit(row)))) for row in rows]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(_table(), path, row_group_size=400)
    return path


def _check(output: Path, table: pa.Table) -> None:
    scored = pq.read_table(output)
    assert scored["row"].to_pylist() == list(range(table.num_rows))
    assert scored["visitor_id"].to_pylist() == table["visitor_id"].to_pylist()
    assert scored["propensity_purchase"].to_pylist() == pytest.approx(_expected(table), abs=1e-6)
    assert not output.with_name(output.name + ".parts").exists()


def test_scores_with_reasons_and_kept_columns(lab: Lab, rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    told = score(rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS, reasons=2)
    assert "1,500 rows" in told
    _check(output, _table())
    scored = pq.read_table(output)
    assert scored.column_names == [
        "row",
        "visitor_id",
        *("propensity_purchase", "reason_purchase_1", "reason_purchase_2"),
        *("propensity_unsubscribe", "reason_unsubscribe_1", "reason_unsubscribe_2"),
        "unknown",
        "version",
    ]
    feature, effect = scored["reason_purchase_1"][1].as_py().split(" ")
    assert feature in CONTRACT.features
    assert float(effect) != 0


def test_csv_in_and_out(lab: Lab, tmp_path: Path) -> None:
    source, output = tmp_path / "rows.csv", tmp_path / "scored.csv"
    table = _table()
    numbered = [f"{at:05d}" for at in range(NUM_ROWS)]  # leading zeros are kept
    lines = table.set_column(0, "visitor_id", pa.array(numbered))
    joined = [" | ".join(tags) for tags in table["tags"].to_pylist()]
    pa_csv.write_csv(lines.set_column(7, "tags", pa.array(joined)), source)
    score(source, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS, reasons=0)
    text = pa_csv.ConvertOptions(column_types={"visitor_id": pa.string()})
    scored = pa_csv.read_csv(output, convert_options=text)
    assert scored["visitor_id"].to_pylist() == numbered
    assert scored["propensity_purchase"].to_pylist() == pytest.approx(_expected(table), abs=1e-6)


def test_a_list_cannot_be_kept_in_a_csv(lab: Lab, rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "scored.csv"
    with pytest.raises(ValueError, match=r"keep: column 'tags' has the type list<.*\.parquet file"):
        score(rows, output, url=lab.url, model="lab", keep="visitor_id,tags")
    assert not list(tmp_path.glob("scored*")), "nothing was begun"
    score(rows, output, url=lab.url, model="lab", keep="visitor_id", reasons=0)
    assert output.exists()


@pytest.fixture
def slow_rows(tmp_path: Path) -> Path:
    """Rows that take the server a few seconds."""
    path = tmp_path / "slow.parquet"
    table = _table()
    waits = np.where(np.arange(NUM_ROWS) % 64 == 0, 0.05, 0.0)
    at = table.column_names.index("wait_s")
    pq.write_table(table.set_column(at, "wait_s", pa.array(waits)), path)
    return path


def _arguments(source: Path, output: Path, url: str) -> list[str]:
    return [
        *("score", f"--input={source}"),
        *(f"--output={output}", f"--url={url}", "--model=lab", f"--batch_rows={BATCH_ROWS}"),
        *("--reasons=0", "--patience_s=30"),
    ]


PROGRAM = "import sys; from penchant.clients.command import main; sys.exit(main(sys.argv[1:]))"


def _start(source: Path, output: Path, url: str) -> subprocess.Popen[bytes]:
    arguments = _arguments(source, output, url)
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE)


def _wait_for_parts(output: Path, count: int) -> None:
    parts = output.with_name(output.name + ".parts")
    until_s = time.monotonic() + 30
    while len(list(parts.glob("part-*.parquet"))) < count:
        assert time.monotonic() < until_s, "no parts appeared"
        time.sleep(0.01)


def test_killed_and_interrupted_runs_go_on_without_losing_or_doubling_a_row(
    lab: Lab, slow_rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scored.parquet"
    for count, stop in ((2, signal.SIGKILL), (4, signal.SIGINT), (6, signal.SIGKILL)):
        process = _start(slow_rows, output, lab.url)
        _wait_for_parts(output, count)
        process.send_signal(stop)
        start = time.monotonic()
        _, told = process.communicate(timeout=20)
        assert time.monotonic() - start < 10
        assert process.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130), told
        assert not output.exists()
    parts = sorted(output.with_name("scored.parquet.parts").glob("part-*.parquet"))
    before = [part.stat().st_mtime_ns for part in parts[:6]]
    process = _start(slow_rows, output, lab.url)
    _wait_for_parts(output, len(parts))
    assert [part.stat().st_mtime_ns for part in parts[:6]] == before
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    _check(output, _table())


def test_two_runs_do_not_write_the_same_output(lab: Lab, slow_rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    process = _start(slow_rows, output, lab.url)
    _wait_for_parts(output, 1)
    with pytest.raises(ValueError, match="another process is writing"):
        score(slow_rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS, reasons=0)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    process.stderr.close()
    _check(output, _table())


def _interrupted(rows: Path, output: Path, lab: Lab) -> None:
    """Leave an unfinished run: its third piece has a row that the server fails on."""
    table = _table()
    fails = pa.array(np.where(np.arange(NUM_ROWS) == 2 * BATCH_ROWS + 1, 1.0, 0.0))
    at = table.column_names.index("fail")
    pq.write_table(table.set_column(at, "fail", fails), rows)
    with pytest.raises(Exception, match="told to fail"):
        score(rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS)


def test_parts_of_another_input_or_other_options_are_refused(
    lab: Lab, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scored.parquet"
    _interrupted(rows, output, lab)
    with pytest.raises(ValueError, match=r"whose reasons was 3 and is now 1.*delete that folder"):
        score(rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS, reasons=1)
    pq.write_table(_table(900), rows)
    with pytest.raises(ValueError, match="whose input_bytes was"):
        score(rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS)
    assert len(list((tmp_path / "scored.parquet.parts").glob("part-*"))) == 2


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    server = Lab(tmp_path / "lab")
    server.publish(CONTRACT)
    server.start()
    yield server
    server.kill()


def test_a_server_that_restarts_is_waited_for(
    own_lab: Lab, slow_rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scored.parquet"
    process = _start(slow_rows, output, own_lab.url)
    _wait_for_parts(output, 2)
    own_lab.kill()
    time.sleep(1)
    restart = threading.Thread(target=own_lab.start)
    restart.start()
    _, told = process.communicate(timeout=60)
    restart.join(timeout=60)
    assert process.returncode == 0, told
    _check(output, _table())


def test_patience_has_an_end_and_says_how_to_go_on(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "scored.parquet"
    with pytest.raises(ConnectionError, match="run the same command again"):
        score(rows, output, url="127.0.0.1:9", model="lab", patience_s=1, deadline_s=0.5)


def test_full_disk_keeps_what_is_done(lab: Lab, rows: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails half-way."""
    output = tmp_path / "scored.parquet"
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000)); {PROGRAM}"
    )
    arguments = _arguments(rows, output, lab.url)
    done = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "could not be written" in done.stderr
    assert os.strerror(errno.EFBIG) in done.stderr
    assert not output.exists()
    assert not list(tmp_path.glob("scored.parquet.parts/*.tmp"))
    score(rows, output, url=lab.url, model="lab", batch_rows=BATCH_ROWS, reasons=0)
    _check(output, _table())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "none.parquet"}, "found none at"),
        ({"output": "scored.xlsx"}, "expected a .parquet or .csv file"),
        ({"output": "no/scored.parquet"}, "there is no folder"),
        ({"output": "rows.parquet"}, "is the input"),
        ({"url": None}, "no server is known at .*penchant serve"),
        ({"keep": "visitorid"}, "no column 'visitorid'; did you mean 'visitor_id'"),
        ({"reasons": -1}, "got -1"),
    ],
)
def test_options_that_cannot_be(
    lab: Lab, rows: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {
        "input": "rows.parquet",
        "output": "scored.parquet",
        "url": lab.url,
        **change,
    }
    source, output = tmp_path / options.pop("input"), tmp_path / options.pop("output")
    with pytest.raises(ValueError, match=message):
        score(source, output, model="lab", home=tmp_path, **options)
    assert not list(tmp_path.glob("scored*"))


def test_input_that_cannot_be(lab: Lab, tmp_path: Path) -> None:
    source, output = tmp_path / "rows.parquet", tmp_path / "scored.parquet"
    source.write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match="cannot be read"):
        score(source, output, url=lab.url, model="lab")
    pq.write_table(_table(0), source)
    with pytest.raises(ValueError, match="has no rows"):
        score(source, output, url=lab.url, model="lab")
    pq.write_table(_table(5).rename_columns({"city": "City"}), source)
    with pytest.raises(ValueError, match="did you mean 'City'"):
        score(source, output, url=lab.url, model="lab")
    pq.write_table(_table(5).append_column("version", pa.array(range(5))), source)
    with pytest.raises(ValueError, match="'version' is also made by scoring"):
        score(source, output, url=lab.url, model="lab")
    pq.write_table(_table(5), source)  # no run has finished a part, so none is in the way
    score(source, output, url=lab.url, model="lab")
    _check(output, _table(5))
