"""MLflow's view of a contract: the columns of the tables that ``predict`` takes and gives.

Columns in are not typed: a user's table holds numbers, truth values, times and text alike, and the
model takes them all, as the endpoint's clients do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penchant.clients.contract import VERSION, Contract
from penchant.clients.contract import TensorSpec as WireSpec
from penchant.clients.histories import EVENT_FIELDS
from penchant.clients.journey_contract import ITEM, JourneyContract
from penchant.clients.wire_contract import WireContract
from penchant.serving.journey_pyfunc import ONE_EACH, VISITOR_FIELDS

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec


def model_signature(contract: WireContract) -> ModelSignature:
    """Signature of ``predict`` for a model of any kind.

    Raises:
        ValueError: if a model of its kind has no ``predict``.
    """
    if isinstance(contract, Contract):
        return _propensity_signature(contract)
    if isinstance(contract, JourneyContract):
        return _journey_signature(contract)
    raise ValueError(f"contract.kind: expected propensity or journey, got {contract.kind!r}")


def _propensity_signature(contract: Contract) -> ModelSignature:
    """One column a feature in, one column a number out."""
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


def _journey_signature(contract: JourneyContract) -> ModelSignature:
    """A row a visitor, with list columns in and out; what is not said of her may be left out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    any_type = AnyType()  # type: ignore[no-untyped-call]  # MLflow leaves its constructor untyped
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(any_type, name, required=name == ITEM) for name in (*EVENT_FIELDS, *VISITOR_FIELDS)
    ]
    outputs: list[ColSpec | TensorSpec] = [
        _output(spec) for spec in contract.outputs if spec.name != VERSION
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _output(spec: WireSpec) -> ColSpec:
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Array

    types = {
        "FP32": DataType.float,
        "INT32": DataType.integer,
        "INT64": DataType.long,
        "BYTES": DataType.string,
    }
    dtype = types[spec.dtype]
    return ColSpec(dtype if spec.name in ONE_EACH else Array(dtype), spec.name)


def score_columns(contract: Contract) -> list[str]:
    """Names of the float columns of a scored table, goal by goal."""
    columns = []
    for goal in contract.goals:
        columns += [f"propensity_{goal}", f"base_{goal}"]
        columns += [f"reason_{goal}_{feature}" for feature in contract.features]
    return columns
