"""The wire contract of a propensity model: what a caller sends and what comes back.

Shapes: B rows, n numeric columns, m categorical columns, l slots of a multi-valued column, G goals,
F features. The same JSON stands in the package's manifest and in the served model's Triton config
(parameter ``contract``), so that a caller in any language can read the order of columns and goals
from the server.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.served_contract import ServedContract, check_names, known_fields

CONTRACT_PARAMETER: Final = "contract"
"""Name of the Triton config parameter that holds :meth:`Contract.to_json`."""

CHALLENGER_SUFFIX: Final = "_challenger"
"""What stands behind a model's name where its challenger is served, beside the champion."""

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
    """Slots l on the wire; shorter rows are padded with "", of longer ones the first l are kept."""
    separator: str = "|"
    """What stands between the values of a row that holds them as one text."""

    def __post_init__(self) -> None:
        """Refuse a name that makes no tensor and no file, and a column without slots."""
        name = self.name
        is_name = isinstance(name, str) and name not in ("", ".", "..") and "/" not in name
        if not is_name or any(unicodedata.category(letter) == "Cc" for letter in name):
            raise ValueError(
                "contract.multi_valued: expected a column name without '/' and control characters, "
                f"other than '.' and '..', got {name!r}; rename the column"
            )
        if not self.max_values >= 1:
            raise ValueError(
                f"contract.multi_valued: expected at least 1 as max_values of {name!r}, "
                f"got {self.max_values!r}; give it a slot"
            )
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(
                f"contract.multi_valued: expected a text as separator of {name!r}, "
                f"got {self.separator!r}; name what stands between its values, as in '|'"
            )


@dataclass(frozen=True, kw_only=True)
class Contract(ServedContract):
    """Columns, goals and limits of one served propensity model."""

    _lists = ("goals", "numeric", "categorical", "multi_valued")

    goals: tuple[str, ...]
    """Goals in the order of the last axis of ``propensity``."""
    numeric: tuple[str, ...] = ()
    """Numeric columns in the order of the tensor ``numeric`` (FP32, NaN = missing)."""
    categorical: tuple[str, ...] = ()
    """Categorical columns in the order of the tensor ``categorical`` (BYTES, "" = missing)."""
    multi_valued: tuple[MultiValued, ...] = ()
    """Multi-valued columns, one tensor each (BYTES, "" = padding)."""
    max_batch_size: int = 256
    kind: str = PROPENSITY

    def __post_init__(self) -> None:
        """Refuse what no model can have.

        Raises:
            ValueError: naming the field.
        """
        super().__post_init__()
        check_names("goals", self.goals, least=1, remedy="name each goal once")
        for name in ("numeric", "categorical", "multi_valued"):
            if not isinstance(getattr(self, name), tuple):
                raise ValueError(
                    f"contract.{name}: expected a tuple of columns, got {getattr(self, name)!r}; "
                    "put its columns into one"
                )
        check_names("features", self.features, least=1, remedy="give each column to one group")

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

    @property
    def score_outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a caller who wants no reasons."""
        return SCORE_OUTPUTS

    @classmethod
    def _from_raw(cls, raw: dict[str, Any]) -> dict[str, Any]:
        known = super()._from_raw(raw)
        columns = known["multi_valued"]
        known["multi_valued"] = tuple(MultiValued(**known_fields(MultiValued, c)) for c in columns)
        return known


_WHOLE_NUMBER: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")


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


def csv_text(cell: str | None) -> str:
    """The text that stands for a category written in a CSV, in training and in scoring alike.

    A CSV says nothing about types, so what would be the text of a truth value or of a number
    without a fraction (:func:`canonical_text`) is taken for one: true and false in any case become
    "true" and "false", ``1.0`` and ``3.00`` become "1" and "3". Everything else is text and stays
    as it stands: ``007``, ``1.50``, ``1e3``, ``10:00``, dates. Missing is "".
    """
    if not cell:
        return ""
    if cell.lower() in ("true", "false"):
        return cell.lower()
    whole = _WHOLE_NUMBER.fullmatch(cell)
    if whole is None:
        return cell
    return "0" if whole[1] == "-0" else whole[1]


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
