"""``penchant perf``: how far the endpoint is from its floor and its ceiling.

A private Triton serves a copy of the published model beside an empty one. Floor, model and graph
in process are measured in turn, round after round, so that a slow minute of the machine meets all
of them alike; every number is the median over the rounds.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from penchant.clients.contract import PROPENSITY
from penchant.clients.home import Home
from penchant.clients.wire_contract import WireContract
from penchant.perf.ceiling import InProcess, measure_ceiling
from penchant.perf.floor import keep_outputs, wait_without_limit, write_floor
from penchant.perf.input_data import write_input_data
from penchant.perf.machine import this_machine
from penchant.perf.perf_analyzer import Load, PerfAnalyzer, find_perf_analyzer, median_load
from penchant.perf.report import Comparison, PerfReport
from penchant.perf.workload import FULL, QUICK, Effort, Workload
from penchant.serving.health import Watch
from penchant.serving.model_config import THREADS_PARAMETER
from penchant.serving.repository import Repository
from penchant.serving.served_model import ServedModel
from penchant.serving.supervisor import running_server

BATCH_SIZE: Final = 64
"""Rows of a large request."""
MANY_CALLERS: Final = 8
QUIET_S: Final = 3600.0
"""The supervisor's canaries stay away for as long as anyone measures."""
BATCH_CALLERS: Final = (2, 4, 8)
"""Callers that are tried for large requests; the number with the highest throughput is kept."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a private server offers to be measured."""

    analyzer: PerfAnalyzer
    served: ServedModel
    floor: str
    """Model name of the floor."""
    outputs: tuple[str, ...]
    threads: int
    """ONNX Runtime threads of the served model."""
    input_data: Path
    address: str
    effort: Effort

    def load(self, model: str, workload: Workload) -> Load:
        """One run of perf_analyzer."""
        return self.analyzer.run(
            model,
            address=self.address,
            input_data=self.input_data,
            callers=workload.callers,
            batch_size=workload.batch_size,
            window_ms=self.effort.window_ms,
        )

    def ceilings(self, workloads: list[Workload]) -> list[InProcess]:
        """The graph in process, once for each kind of load."""
        return measure_ceiling(
            self.served.graph(self.outputs),
            self.served.folder / "golden.npz",
            outputs=self.outputs,
            batch_sizes=[workload.ceiling_batch_size for workload in workloads],
            threads=self.threads,
            duration_s=self.effort.ceiling_s,
        )


def perf(
    *,
    model: str = "propensity",
    home: Path = Path(".penchant"),
    reasons: bool = False,
    all_outputs: bool = False,
    quick: bool = False,
) -> None:
    """Measure a published model against an empty one on the same server and the graph in process.

    Args:
        model: public name of the model.
        home: the folder that penchant works in.
        reasons: ask a propensity model for reason codes too, instead of the scores alone.
        all_outputs: ask for everything that the model offers, instead of its scores or of the next
            items alone.
        quick: a look of some seconds, whose numbers are not to be quoted.

    Raises:
        ValueError: the model is not published, is not on the cpu target or gives no reasons, or
            Triton or perf_analyzer is missing.
    """
    served = Repository(Home(home).model_repository).served(model)
    if served.target != "cpu":
        raise ValueError(
            f"model: expected one on the cpu target, whose graph this process can run too, got "
            f"{model!r} on {served.target}; publish it with --target cpu in another --home, or run "
            "perf/gpu_check.sh on the machine with the GPU"
        )
    report = measure(
        served,
        outputs=_wanted(served.contract, reasons=reasons, all_outputs=all_outputs),
        effort=QUICK if quick else FULL,
    )
    console = Console()
    for table in report.tables():
        console.print(table)
    for note in report.notes():
        console.print(f"[dim]{note}[/dim]", highlight=False)
    console.print(f"Report: {report.save(Home(home).reports)}", soft_wrap=True)


def measure(served: ServedModel, *, outputs: tuple[str, ...], effort: Effort = FULL) -> PerfReport:
    """Measure one published model on a private server.

    Args:
        served: what is published; its repository is only read.
        outputs: outputs that callers ask for.
        effort: how long to measure.

    Raises:
        ValueError: Triton or perf_analyzer is missing, or a run failed.
    """
    machine = this_machine()
    analyzer = find_perf_analyzer()
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        starting = progress.add_task("starting a private Triton", total=None)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penchant-perf-")))
        floor = copy_model(served, folder / "model_repository", outputs=outputs)
        write_input_data(folder / "rows.json", served.contract, served.golden().inputs)
        server = stack.enter_context(
            # perf_analyzer reads the statistics, and would show a secret to all in its arguments.
            running_server(
                folder / "model_repository",
                watch=Watch(canary_every_s=QUIET_S),
                open_statistics=True,
            )
        )
        progress.remove_task(starting)
        bench = Bench(
            analyzer=analyzer,
            served=served,
            floor=floor,
            outputs=outputs,
            threads=_threads(served),
            input_data=folder / "rows.json",
            address=server.address,
            effort=effort,
        )
        comparisons = run_rounds(bench, progress)
    return PerfReport(
        model=served.name,
        package_version=served.package_version,
        outputs=outputs,
        quick=effort == QUICK,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        triton=server.version,
        perf_analyzer=analyzer.version,
        machine=machine,
        protocol=_protocol(bench),
        comparisons=tuple(comparisons),
    )


def copy_model(served: ServedModel, repository: Path, *, outputs: tuple[str, ...]) -> str:
    """Copy the served version into a private repository, beside a floor.

    It offers only these outputs, and lets requests wait in its queue without limit.

    Returns:
        The floor's model name.
    """
    source = served.folder.parent
    target = repository / served.name
    target.mkdir(parents=True)
    for name in ("config.pbtxt", "warmup", str(served.number)):
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name)
        elif path.is_file():
            shutil.copy2(path, target / name)
    copied = Repository(repository)
    keep_outputs(copied, served.name, outputs)
    wait_without_limit(copied, served.name)
    return write_floor(copied, served.name)


def run_rounds(bench: Bench, progress: Progress) -> list[Comparison]:
    """Measure floor, model and ceiling in turn, round after round."""
    batch_size = min(BATCH_SIZE, bench.served.contract.max_batch_size)
    tried = [Workload(callers=callers, batch_size=batch_size) for callers in BATCH_CALLERS]
    fixed = [Workload(callers=callers, batch_size=1) for callers in (1, MANY_CALLERS)]
    steps = len(tried) + bench.effort.rounds * (2 * (len(fixed) + 1) + 1)
    task = progress.add_task("looking for the best number of callers", total=steps)

    def load(model: str, workload: Workload) -> Load:
        result = bench.load(model, workload)
        progress.advance(task)
        return result

    best = max(tried, key=lambda workload: load(bench.served.name, workload).rows_per_s)
    workloads = [*fixed, best]
    floors: list[list[Load]] = [[] for _ in workloads]
    models: list[list[Load]] = [[] for _ in workloads]
    ceilings: list[list[InProcess]] = []
    for number in range(bench.effort.rounds):
        progress.update(task, description=f"round {number + 1} of {bench.effort.rounds}")
        for index, workload in enumerate(workloads):
            floors[index].append(load(bench.floor, workload))
            models[index].append(load(bench.served.name, workload))
        ceilings.append(bench.ceilings(workloads))
        progress.advance(task)
    return [
        Comparison(
            name=workload.name,
            floor=median_load(floors[index]),
            model=median_load(models[index]),
            ceiling=_median_ceiling([answers[index] for answers in ceilings]),
        )
        for index, workload in enumerate(workloads)
    ]


def _wanted(contract: WireContract, *, reasons: bool, all_outputs: bool) -> tuple[str, ...]:
    """Outputs that the callers to be measured ask for."""
    if reasons and contract.kind != PROPENSITY:
        raise ValueError(
            f"reasons: expected a propensity model, got {contract.model!r}, a {contract.kind} "
            "model, which gives none; leave it out, or ask for --all_outputs"
        )
    if reasons or all_outputs:
        return tuple(spec.name for spec in contract.outputs)
    return contract.score_outputs


def _median_ceiling(answers: list[InProcess]) -> InProcess:
    return InProcess(
        batch_size=answers[0].batch_size,
        p50_us=statistics.median(answer.p50_us for answer in answers),
        p99_us=statistics.median(answer.p99_us for answer in answers),
        rows_per_s=statistics.median(answer.rows_per_s for answer in answers),
    )


def _threads(served: ServedModel) -> int:
    model = served.folder.parent
    config = Repository(model.parent).config(model.name)
    return int(config.parameters[THREADS_PARAMETER].string_value)


def _protocol(bench: Bench) -> str:
    effort = bench.effort
    return (
        "closed loop of perf_analyzer over gRPC on loopback with the package's golden rows; "
        f"median over {effort.rounds} rounds of floor, model and in-process run in turn; three "
        f"windows of {effort.window_ms} ms a run; {bench.threads} ONNX Runtime threads in server "
        "and process; "
        "ceiling: the better of one caller with these threads and one single-threaded caller a core"
    )
