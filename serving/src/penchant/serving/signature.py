"""MLflow's view of a contract: the columns of a table of raw rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penchant.clients.contract import Contract
from penchant.clients.wire_contract import WireContract

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def model_signature(contract: WireContract) -> ModelSignature | None:
    """Signature of ``predict`` for a model of any kind."""
    if isinstance(contract, Contract):
        return _propensity_signature(contract)
    return None


def _propensity_signature(contract: Contract) -> ModelSignature:
    """Signature of ``predict``: one column a feature in, one column a number out.

    Columns in are not typed: a user's table holds numbers, truth values and text alike, and the
    model takes them all, as the endpoint's clients do.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    any_type = AnyType()  # type: ignore[no-untyped-call]  # MLflow leaves its constructor untyped
    inputs: list[ColSpec | TensorSpec] = [ColSpec(any_type, name) for name in contract.features]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.float, name) for name in score_columns(contract)
    ]
    outputs.append(ColSpec(DataType.integer, "unknown"))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def score_columns(contract: Contract) -> list[str]:
    """Names of the float columns of a scored table, goal by goal."""
    columns = []
    for goal in contract.goals:
        columns += [f"propensity_{goal}", f"base_{goal}"]
        columns += [f"reason_{goal}_{feature}" for feature in contract.features]
    return columns
