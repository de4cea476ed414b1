"""What the models that MLflow loads have in common: a package's graphs, run on tables in pieces."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from penchant.clients.wire_contract import WireContract
from penchant.serving.fuse import fuse
from penchant.serving.golden import Tensors
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS: Final = 256
"""Rows computed at once. For reasons a net holds two activations for each row, feature, member and
unit of its width, for journeys a score for each row and item: some hundred MB for this many."""

C = TypeVar("C", bound=WireContract)


class PackagedModel(Generic[C]):
    """A package ready to answer tables; a kind of model says what its columns mean."""

    _contract_type: type[C]

    def __init__(self, package: ModelPackage) -> None:
        """Fuse the package's graphs and load them.

        Raises:
            ValueError: if it is the package of another kind of model.
        """
        contract = package.contract
        if not isinstance(contract, self._contract_type):
            raise ValueError(
                f"package: expected a {self._contract_type.kind} model, got a {contract.kind}"
            )
        self.package = package
        self._contract = contract
        threads = len(os.sched_getaffinity(0))
        self._session = GraphSession(fuse(package, version=0), intra_op_threads=threads)

    def _answers(self, table: pd.DataFrame) -> pd.DataFrame:
        """A row for each row of the table, with its index.

        Raises:
            ValueError: if the table does not fit the contract; the message counts its rows from 0.
        """
        import pandas as pd

        tensors = self._tensors(table)
        chunks = []
        for start in range(0, len(table), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            answers = self._session.run({name: each[rows] for name, each in tensors.items()})
            chunks.append(pd.DataFrame(self._columns(answers), index=table.index[rows]))
        return pd.concat(chunks)

    def _tensors(self, table: pd.DataFrame) -> Tensors:
        """Raw inputs for at least one row (B, ...)."""
        raise NotImplementedError

    def _columns(self, answers: Tensors) -> dict[str, Any]:
        """The columns that outputs (B, ...) make."""
        raise NotImplementedError
