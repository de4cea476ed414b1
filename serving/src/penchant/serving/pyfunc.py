"""What ``mlflow.pyfunc.load_model`` gives for a package: the endpoint's numbers, in process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.clients.contract import BASE, PROPENSITY, REASON, UNKNOWN, Contract
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.rows import to_tensors
from penchant.serving.golden import Tensors
from penchant.serving.journey_pyfunc import JourneyModel
from penchant.serving.package import ModelPackage
from penchant.serving.packaged_model import PackagedModel

if TYPE_CHECKING:
    import pandas as pd


class PropensityModel(PackagedModel[Contract]):
    """A propensity package ready to score tables."""

    _contract_type = Contract

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
        return self._answers(model_input)

    def _tensors(self, table: pd.DataFrame) -> Tensors:
        return to_tensors(table, self._contract)

    def _columns(self, answers: Tensors) -> dict[str, Any]:
        columns = {}
        for at, goal in enumerate(self._contract.goals):
            columns[f"propensity_{goal}"] = answers[PROPENSITY][:, at]
            columns[f"base_{goal}"] = answers[BASE][:, at]
            for index, feature in enumerate(self._contract.features):
                columns[f"reason_{goal}_{feature}"] = answers[REASON][:, at, index]
        return {**columns, UNKNOWN: answers[UNKNOWN][:, 0]}


def _load_pyfunc(data_path: str) -> PropensityModel | JourneyModel:
    """MLflow's entry: open the package that lies at ``data_path``."""
    package = ModelPackage.open(Path(data_path))
    if isinstance(package.contract, JourneyContract):
        return JourneyModel(package)
    return PropensityModel(package)
