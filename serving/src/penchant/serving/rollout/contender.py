"""A version that takes part in a trial: its served graph in this process."""

from __future__ import annotations

from collections.abc import Callable

from penchant.serving.fuse import FULL_GRAPH, SCORE_GRAPH, served_graphs
from penchant.serving.golden import GoldenRows, Tensors
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession


class Contender:
    """The graph that answers callers who want scores alone, as the server would choose it."""

    def __init__(self, package: ModelPackage) -> None:
        """Fuse the package's graphs and load the one.

        Raises:
            ValueError: if they do not fit one another.
        """
        graphs = served_graphs(package, 0)
        self._session = GraphSession(graphs.get(SCORE_GRAPH, graphs[FULL_GRAPH]))
        self._outputs = package.contract.score_outputs

    def ask(self, inputs: Tensors) -> Tensors:
        """Outputs (B, …) for raw inputs (B, …)."""
        return self._session.run(inputs, self._outputs)

    def caller(self, golden: GoldenRows) -> Callable[[int], object]:
        """Something that asks the golden row of a number, again from the first where they end."""
        rows = [golden.rows(at, at + 1).inputs for at in range(golden.num_rows)]
        feeds = [
            {name: v.astype(object) if v.dtype.kind == "U" else v for name, v in row.items()}
            for row in rows
        ]
        return lambda number: self.ask(feeds[number % len(feeds)])
