"""The report: the numbers to reach, then all that the sections found, as JSON and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from penchant.perf.gpu_check.goals import Goal, Row

State = Literal["done", "failed", "out of time", "not run"]


@dataclass(frozen=True, kw_only=True)
class SectionReport:
    """What came of one section."""

    name: str
    """As its module is called."""
    title: str
    """For people."""
    state: State
    """How it ended."""
    reason: str
    """Why it did not end well; empty where it did."""
    seconds: float
    """How long it took."""
    rows: list[Row]
    """What it found, also where it did not come to its end."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of the check."""

    card: str
    """The GPU; empty in a dry run."""
    day: str
    """ISO 8601."""
    is_dry: bool
    """Whether it ran on the CPU, at sizes that say nothing."""
    because: str
    """Why it was a dry run; empty where it was none."""
    seconds: float
    """How long all took."""
    goals: list[Goal]
    """The numbers to reach."""
    sections: list[SectionReport]
    """In the order in which they ran."""

    @property
    def name(self) -> str:
        """Of its files."""
        card = re.sub(r"[^a-z0-9]+", "-", self.card.lower()).strip("-")
        return f"{'dry-run' if self.is_dry else card}-{self.day}"

    def save(self, folder: Path) -> Path:
        """Write ``<card>-<day>.json`` and ``.md``; the path of the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.name}.md"
        page.with_suffix(".json").write_text(self.to_json(), encoding="utf-8")
        page.write_text(self.to_markdown(), encoding="utf-8")
        return page

    def to_json(self) -> str:
        """Everything, outcomes included."""
        body = asdict(self)
        for entry, goal in zip(body["goals"], self.goals, strict=True):
            entry["outcome"] = goal.outcome
        return json.dumps(body, ensure_ascii=False, indent=1)

    def to_markdown(self) -> str:
        """The page."""
        head = (
            f"# Dry run on the CPU, {self.day}: {self.because}"
            if self.is_dry
            else f"# {self.card}, {self.day}"
        )
        lines = [head, "", f"All sections took {self.seconds:,.0f} s.", "", *self._goals(), ""]
        if self.is_dry:
            lines += ["Sizes are tiny, and times say nothing but that everything runs.", ""]
        for section in self.sections:
            lines += [f"## {section.title}", "", f"{section.state}, {section.seconds:,.0f} s"]
            lines += [f"{section.reason}"] * bool(section.reason)
            lines += ["", *_tables(section.rows)]
        return "\n".join(lines).rstrip() + "\n"

    def _goals(self) -> list[str]:
        rows: list[Row] = [
            {
                "number": goal.what,
                "wanted": f"{'at most' if goal.is_most else 'at least'} {_cell(goal.limit)} "
                f"{goal.unit}".strip(),
                "found": "" if goal.value is None else f"{_cell(goal.value)} {goal.unit}".strip(),
                "": goal.outcome,
            }
            for goal in self.goals
        ]
        return _table(rows)


def _tables(rows: Sequence[Row]) -> list[str]:
    """Rows with the same columns as one table each, in the order in which they were found."""
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    return [line for some in by_columns.values() for line in (*_table(some), "")]


def _table(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(row[name]).replace("|", "\\|") for name in names] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 1000):
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split())
