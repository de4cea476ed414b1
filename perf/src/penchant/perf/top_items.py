"""``penchant perf top-items``: what it costs to choose the best K of a catalogue's N items.

Three ways from a visitor's vector (B, D) to the K best of N items: the product with the table of
item vectors and TopK in one graph, as a journey model has them besides its masks; the same with a
full sort in the graph; and the product in a graph, its scores sorted in full by NumPy. All answer
the same items.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from penchant.serving.decode import IR_VERSION, OPSET
from penchant.serving.session import GraphSession

BATCH_SIZES: Final = (1, 8, 64)
ROUNDS: Final = 3
"""Times that the ways are measured in turn, so that a slow moment meets all of them alike."""
FUSED: Final = "top-k in the graph"
SORTED: Final = "full sort in the graph"
NUMPY: Final = "full sort in NumPy"

Vectors = npt.NDArray[np.float32]
Way = Callable[[Vectors], npt.NDArray[Any]]
"""From visitors' vectors (B, D) to places of items (B, K), best first."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one way of choosing takes for batches of one size."""

    way: str
    """How the items were chosen."""
    batch_size: int
    """Visitors a batch."""
    p50_us: float
    """Median time of a batch."""
    p99_us: float
    """99th percentile of the same; of less than a hundred batches the longest."""
    rows_per_s: float
    """Visitors a second with one caller."""

    def is_slower_than(self, other: Choice) -> bool:
        """Whether it is slower by any measure."""
        return (
            self.p50_us > other.p50_us
            or self.p99_us > other.p99_us
            or self.rows_per_s < other.rows_per_s
        )


def top_items(
    *,
    num_items: int = 50_000,
    size: int = 64,
    k: int = 100,
    threads: int = 1,
    duration_s: float = 0.5,
) -> int:
    """Measure a catalogue's top-k, as journey models are served with, against full sorts.

    Args:
        num_items: items of the catalogue.
        size: numbers of an item's vector.
        k: items of an answer.
        threads: ONNX Runtime threads.
        duration_s: how long each way is measured at a time, in seconds.

    Returns:
        Exit code: 1 where a full sort was faster by any measure.

    Raises:
        ValueError: there are fewer items than an answer holds.
    """
    if not 1 <= k <= num_items:
        raise ValueError(
            f"k: expected from 1 to the number of items, {num_items}, got {k}; lower it"
        )
    ways = ways_to_choose(num_items=num_items, size=size, k=k, threads=threads)
    choices = measure_ways(ways, size=size, duration_s=duration_s)
    table = Table("visitors", "way", "p50 ms", "p99 ms", "visitors/s", box=None)
    for choice in choices:
        times = (f"{choice.p50_us / 1000:.2f}", f"{choice.p99_us / 1000:.2f}")
        table.add_row(str(choice.batch_size), choice.way, *times, f"{choice.rows_per_s:,.0f}")
    console = Console()
    console.print(table)
    losses = [loss for size in BATCH_SIZES for loss in _losses(choices, size)]
    console.print(
        f"{num_items:,} items of {size} numbers, the best {k}; in process, threads: {threads}; "
        f"{ROUNDS} rounds of {duration_s:g} s in turn: the top-k was "
        + ("; ".join(losses) or "faster than either full sort by every measure"),
        soft_wrap=True,
    )
    return int(bool(losses))


def ways_to_choose(*, num_items: int, size: int, k: int, threads: int = 1) -> dict[str, Way]:
    """The three ways over one random table, by name."""
    table = np.random.default_rng(0).normal(0, 0.1, (size, num_items)).astype(np.float32)
    score, fused, full = (
        GraphSession(graph, intra_op_threads=threads)
        for graph in (_graph(table), _graph(table, k), _graph(table, num_items))
    )

    def in_numpy(visitor: Vectors) -> npt.NDArray[Any]:
        order: npt.NDArray[Any] = np.argsort(-score.run({"visitor": visitor})["score"], axis=1)
        return order[:, :k]

    return {
        FUSED: lambda visitor: fused.run({"visitor": visitor})["place"],
        SORTED: lambda visitor: full.run({"visitor": visitor})["place"][:, :k],
        NUMPY: in_numpy,
    }


def measure_ways(ways: dict[str, Way], *, size: int, duration_s: float) -> list[Choice]:
    """Measure the ways in turn, with one caller, for batches of each size."""
    random = np.random.default_rng(1)
    choices = []
    for batch_size in BATCH_SIZES:
        visitor = random.normal(0, 1, (batch_size, size)).astype(np.float32)
        times_s: dict[str, list[float]] = {name: [] for name in ways}
        for choose in ways.values():
            choose(visitor)
        for _ in range(ROUNDS):
            for name, choose in ways.items():
                times_s[name] += _timed(choose, visitor, duration_s)
        for name, times in times_s.items():
            p50_us, p99_us = np.percentile(np.array(times) * 1e6, [50, 99], method="higher")
            choices.append(
                Choice(
                    way=name,
                    batch_size=batch_size,
                    p50_us=float(p50_us),
                    p99_us=float(p99_us),
                    rows_per_s=batch_size * len(times) / sum(times),
                )
            )
    return choices


def _timed(choose: Way, visitor: Vectors, duration_s: float) -> list[float]:
    """Seconds of each run, at least one."""
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < duration_s:
        start = time.perf_counter()
        choose(visitor)
        times.append(time.perf_counter() - start)
    return times


def _losses(choices: list[Choice], batch_size: int) -> list[str]:
    by_way = {choice.way: choice for choice in choices if choice.batch_size == batch_size}
    return [
        f"slower than the {name} for {batch_size} visitors"
        for name in (SORTED, NUMPY)
        if by_way[FUSED].is_slower_than(by_way[name])
    ]


def _graph(table: Vectors, count: int | None = None) -> onnx.ModelProto:
    """Vectors ``visitor`` (B, D) to ``score`` (B, N), or to ``place`` (B, count) of the best."""
    size, items = table.shape
    visitor = helper.make_tensor_value_info("visitor", TensorProto.FLOAT, ["batch", size])
    nodes = [helper.make_node("MatMul", ["visitor", "table"], ["score"])]
    constants = [numpy_helper.from_array(table, "table")]
    if count is None:
        output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", items])
    else:
        nodes.append(helper.make_node("TopK", ["score", "count"], ["best", "place"]))
        constants.append(numpy_helper.from_array(np.array([count]), "count"))
        output = helper.make_tensor_value_info("place", TensorProto.INT64, ["batch", count])
    graph = helper.make_graph(nodes, "choose", [visitor], [output], constants)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
