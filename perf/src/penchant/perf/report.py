"""What ``penchant perf`` says: a measurement stated as distances from floor and ceiling."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from penchant.perf.ceiling import InProcess
from penchant.perf.machine import Machine
from penchant.perf.perf_analyzer import Load

Cells = tuple[str, ...]

COMPARISON_HEAD: Final = ("load", "what", "p50 ms", "p99 ms", "rows/s", "distance")
PARTS_HEAD: Final = (
    "load",
    "client µs",
    "network µs",
    "queue µs",
    "input µs",
    "model µs",
    "output µs",
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One kind of load on the floor, the model and in process."""

    name: str
    """What the callers do."""
    floor: Load
    """An empty model on the same server."""
    model: Load
    """The model."""
    ceiling: InProcess
    """The same graph in process, in batches as large as the load can make them."""

    @property
    def over_floor(self) -> float:
        """The model's median latency as a multiple of the floor's."""
        return self.model.p50_us / self.floor.p50_us

    @property
    def overhead_ms(self) -> float:
        """Median latency beyond the floor's and the graph's own, in milliseconds."""
        return (self.model.p50_us - self.floor.p50_us - self.ceiling.p50_us) / 1000

    @property
    def share_of_ceiling(self) -> float:
        """The model's throughput as a share of what the graph reaches in process."""
        return self.model.rows_per_s / self.ceiling.rows_per_s


@dataclass(frozen=True, kw_only=True)
class PerfReport:
    """A measurement with all that is needed to repeat it."""

    model: str
    """Public model name."""
    package_version: int
    """The registry's version of the package."""
    outputs: tuple[str, ...]
    """Outputs that callers asked for."""
    quick: bool
    """Whether the windows were too short to quote a number from."""
    measured_at: str
    """ISO 8601, UTC."""
    triton: str
    """Version of the server."""
    perf_analyzer: str
    """Version of the load generator."""
    machine: Machine
    """Where it ran."""
    protocol: str
    """How it was measured."""
    comparisons: tuple[Comparison, ...]
    """One entry a load."""

    def to_json(self) -> str:
        """Everything, ratios included."""
        body = asdict(self)
        for entry, comparison in zip(body["comparisons"], self.comparisons, strict=True):
            entry["over_floor"] = comparison.over_floor
            entry["overhead_ms"] = comparison.overhead_ms
            entry["share_of_ceiling"] = comparison.share_of_ceiling
        return json.dumps(body, ensure_ascii=False, indent=1)

    def to_markdown(self) -> str:
        """The report as a page."""
        return "\n".join(
            [
                f"# {self.title}",
                "",
                *_markdown(COMPARISON_HEAD, self.comparison_rows()),
                "",
                "Where the model's requests spend their time, on average:",
                "",
                *_markdown(PARTS_HEAD, self.part_rows()),
                "",
                *(f"- {line}" for line in self.notes()),
                "",
            ]
        )

    def tables(self) -> tuple[Table, Table]:
        """The two tables for a terminal."""
        return (
            _table(self.title, COMPARISON_HEAD, self.comparison_rows()),
            _table("where the model's requests spend their time", PARTS_HEAD, self.part_rows()),
        )

    def save(self, folder: Path) -> Path:
        """Write ``perf-<model>.json`` and ``.md``; the path of the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"perf-{self.model}.md"
        page.with_suffix(".json").write_text(self.to_json(), encoding="utf-8")
        page.write_text(self.to_markdown(), encoding="utf-8")
        return page

    @property
    def title(self) -> str:
        """One line."""
        marks = "quick look, not to be quoted: " if self.quick else ""
        return f"{marks}{self.model} version {self.package_version} on Triton {self.triton}"

    def comparison_rows(self) -> list[Cells]:
        """Floor, model and the graph in process, three rows a load."""
        return [cells for entry in self.comparisons for cells in _comparison_rows(entry)]

    def part_rows(self) -> list[Cells]:
        """The model's time by part, one row a load."""
        names = ("client_us", "network_us", "queue_us", "input_us", "infer_us", "output_us")
        return [
            (entry.name, *(f"{getattr(entry.model, name):,.0f}" for name in names))
            for entry in self.comparisons
        ]

    def notes(self) -> list[str]:
        """What a reader needs to judge the numbers."""
        machine = self.machine
        notes = [
            "floor: an empty model on the same server; ceiling: the same graph in process",
            "distance: p50 as a multiple of the floor's; p50 above floor and in-process p50 "
            "together; share of the ceiling's rows/s",
            self.protocol,
            f"outputs: {', '.join(self.outputs)}",
            f"{machine.cores} cores of {machine.cpu}; {machine.system}; load generator, server and "
            "model share them",
            f"{self.measured_at}; penchant {machine.penchant}, Triton {self.triton}, ONNX Runtime "
            f"{machine.onnxruntime}, perf_analyzer {self.perf_analyzer}, Python {machine.python}",
        ]
        if machine.is_busy:
            notes.append(
                f"the machine was busy (load average {machine.load_average:.1f}): trust only ratios"
            )
        return notes


def _comparison_rows(entry: Comparison) -> list[Cells]:
    floor, model, ceiling = entry.floor, entry.model, entry.ceiling
    distance = (
        f"{entry.over_floor:.1f} x floor, {entry.overhead_ms:+.2f} ms, "
        f"{entry.share_of_ceiling:.0%} of ceiling"
    )
    return [
        (entry.name, "floor", *_numbers(floor), ""),
        ("", "model", *_numbers(model), distance),
        ("", f"ceiling, {ceiling.batch_size} a batch", *_numbers(ceiling), ""),
    ]


def _numbers(measured: Load | InProcess) -> Cells:
    return (
        f"{measured.p50_us / 1000:.2f}",
        f"{measured.p99_us / 1000:.2f}",
        f"{measured.rows_per_s:,.0f}",
    )


def _markdown(head: Cells, rows: list[Cells]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _table(title: str, head: Cells, rows: list[Cells]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in head:
        words = name in ("load", "what", "distance")
        table.add_column(name, justify="left" if words else "right")
    for cells in rows:
        table.add_row(*cells)
    return table
