"""The wire contract of a propensity model: what a caller sends and what comes back.

Shapes: B rows, n numeric columns, m categorical columns, l slots of a multi-valued column, G goals,
F features. The same JSON stands in the package's manifest and in the served model's Triton config
(parameter ``contract``), so that a caller in any language can read the order of columns and goals
from the server.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CONTRACT_PARAMETER: Final = "contract"
"""Name of the Triton config parameter that holds :meth:`Contract.to_json`."""

NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"
MULTI_PREFIX: Final = "multi_"
PROPENSITY: Final = "propensity"
REASON: Final = "reason"
BASE: Final = "base"
UNKNOWN: Final = "unknown"
VERSION: Final = "version"

SCORE_OUTPUTS: Final = (PROPENSITY, UNKNOWN, VERSION)
"""Outputs that cost no explanation pass."""
REASON_OUTPUTS: Final = (REASON, BASE)
"""Outputs that only callers who ask for reasons pay for."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One tensor on the wire."""

    name: str
    """Tensor name in the KServe v2 request or response."""
    dtype: str
    """Triton data type: FP32, INT32, INT64 or BYTES."""
    shape: tuple[int, ...]
    """Shape without the batch axis."""


@dataclass(frozen=True, kw_only=True)
class MultiValued:
    """A column that holds several categories a row."""

    name: str
    """Column name; its tensor is ``multi_<name>``."""
    max_values: int
    """Slots l on the wire; shorter rows are padded with ""."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Columns, goals and limits of one served propensity model."""

    model: str
    """Public model name."""
    goals: tuple[str, ...]
    """Goals in the order of the last axis of ``propensity``."""
    numeric: tuple[str, ...] = ()
    """Numeric columns in the order of the tensor ``numeric`` (FP32, NaN = missing)."""
    categorical: tuple[str, ...] = ()
    """Categorical columns in the order of the tensor ``categorical`` (BYTES, "" = missing)."""
    multi_valued: tuple[MultiValued, ...] = ()
    """Multi-valued columns, one tensor each (BYTES, "" = padding)."""
    max_batch_size: int = 256
    """Most rows one request may hold."""
    latency_budget_ms: float = 20.0
    """p99 the model is meant to keep, in milliseconds; also the default queue timeout."""
    kind: str = field(default="propensity")
    """Kind of model."""

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Column names in the order of the last axis of ``reason``."""
        return (*self.numeric, *self.categorical, *(column.name for column in self.multi_valued))

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Input tensors; a group without columns has no tensor."""
        specs = []
        if self.numeric:
            specs.append(TensorSpec(name=NUMERIC, dtype="FP32", shape=(len(self.numeric),)))
        if self.categorical:
            specs.append(
                TensorSpec(name=CATEGORICAL, dtype="BYTES", shape=(len(self.categorical),))
            )
        specs.extend(
            TensorSpec(name=MULTI_PREFIX + column.name, dtype="BYTES", shape=(column.max_values,))
            for column in self.multi_valued
        )
        return tuple(specs)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Output tensors; one that a caller does not request is not computed."""
        num_goals, num_features = len(self.goals), len(self.features)
        return (
            TensorSpec(name=PROPENSITY, dtype="FP32", shape=(num_goals,)),
            TensorSpec(name=REASON, dtype="FP32", shape=(num_goals, num_features)),
            TensorSpec(name=BASE, dtype="FP32", shape=(num_goals,)),
            TensorSpec(name=UNKNOWN, dtype="INT32", shape=(1,)),
            TensorSpec(name=VERSION, dtype="INT64", shape=(1,)),
        )

    def to_json(self) -> str:
        """The contract as one line of JSON, with keys in a fixed order."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read what :meth:`to_json` wrote; keys of a later version are passed over.

        Raises:
            ValueError: if the text is no contract.
        """
        try:
            raw = json.loads(text)
            return cls(**_known_fields(raw))
        except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"contract: expected the JSON object that penchant writes, got {text[:80]!r} "
                f"({error}); publish the model again with this version of penchant"
            ) from error


def _known_fields(raw: dict[str, Any]) -> dict[str, Any]:
    known = {key: raw[key] for key in (f.name for f in fields(Contract)) if key in raw}
    for name in ("goals", "numeric", "categorical"):
        known[name] = tuple(known.get(name, ()))
    known["multi_valued"] = tuple(
        MultiValued(name=column["name"], max_values=column["max_values"])
        for column in known.get("multi_valued", ())
    )
    return known


def is_missing(value: object) -> bool:
    """Whether a raw value is missing: None, NaN, NaT or pandas' NA ("" is a text of its own)."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and bool(value != value)


def canonical_text(value: object) -> str:
    """The text that stands for a raw category on the wire, in training and in every client alike.

    Missing (:func:`is_missing`) is "", a truth value "true" or "false", a number without a fraction
    its digits (1.0 is "1"), bytes are UTF-8; any other value is its ``str``.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, Decimal) and value.is_finite():
        return str(int(value)) if value == int(value) else format(value.normalize(), "f")
    return str(value)


def canonical_texts(values: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """:func:`canonical_text` over an array of any shape; each distinct number is converted once."""
    if values.dtype.kind in "biuf":
        distinct, inverse = np.unique(values, return_inverse=True)
        texts = np.array([canonical_text(value) for value in distinct], dtype=np.object_)
        return texts[inverse].reshape(values.shape)
    flat = values.ravel().tolist() if values.dtype.kind in "OU" else list(values.ravel())
    if set(map(type, flat)) != {str}:
        flat = [canonical_text(value) for value in flat]
    return np.fromiter(flat, dtype=np.object_, count=len(flat)).reshape(values.shape)
