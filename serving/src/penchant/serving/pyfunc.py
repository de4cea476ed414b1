"""What ``mlflow.pyfunc.load_model`` gives for a package: the endpoint's numbers, in process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penchant.clients.contract import BASE, PROPENSITY, REASON, UNKNOWN, Contract
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.rows import to_tensors
from penchant.serving.fuse import fuse
from penchant.serving.journey_pyfunc import JourneyModel
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS: Final = 256
"""Rows computed at once. For reasons the net holds two activations for each row, feature, member
and unit of its width: some hundred MB for this many rows."""


class PropensityModel:
    """A propensity package ready to score tables."""

    def __init__(self, package: ModelPackage) -> None:
        """Fuse the package's graphs and load them.

        Raises:
            ValueError: if it is the package of another kind of model.
        """
        if not isinstance(package.contract, Contract):
            raise ValueError(f"package: expected a propensity model, got a {package.contract.kind}")
        self.package = package
        self._contract = package.contract
        threads = len(os.sched_getaffinity(0))
        self._session = GraphSession(fuse(package, version=0), intra_op_threads=threads)

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score raw rows.

        Args:
            model_input: one row a case, a column for each feature; others are passed over.
            params: none are known.

        Returns:
            ``propensity_<goal>``, ``base_<goal>``, ``reason_<goal>_<feature>`` for each goal, and
            ``unknown``, with the index of the input.

        Raises:
            ValueError: if a feature's column is missing, or a value cannot be what its column is
                meant to hold.
        """
        import pandas as pd

        contract = self._contract
        chunks = []
        for start in range(0, max(len(model_input), 1), CHUNK_ROWS):
            rows = model_input.iloc[start : start + CHUNK_ROWS]
            tensors = self._session.run(to_tensors(rows, contract))
            columns = {}
            for at, goal in enumerate(contract.goals):
                columns[f"propensity_{goal}"] = tensors[PROPENSITY][:, at]
                columns[f"base_{goal}"] = tensors[BASE][:, at]
                for index, feature in enumerate(contract.features):
                    columns[f"reason_{goal}_{feature}"] = tensors[REASON][:, at, index]
            columns[UNKNOWN] = tensors[UNKNOWN][:, 0]
            chunks.append(pd.DataFrame(columns, index=rows.index))
        return pd.concat(chunks)


def _load_pyfunc(data_path: str) -> PropensityModel | JourneyModel:
    """MLflow's entry: open the package that lies at ``data_path``."""
    package = ModelPackage.open(Path(data_path))
    if isinstance(package.contract, JourneyContract):
        return JourneyModel(package)
    return PropensityModel(package)
