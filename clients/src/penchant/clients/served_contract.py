"""What the contracts of all kinds of model share: fields, what no model can have, JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, Self

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
"""What a model's name matches as a whole: it is a folder, a metric's and a registry's name."""


@dataclass(frozen=True, kw_only=True)
class ServedContract:
    """Name and limits of one served model; a kind of model adds what its tensors hold."""

    _lists: ClassVar[tuple[str, ...]]
    """Fields that are lists in JSON, and tuples here."""

    model: str
    """Public model name."""
    max_batch_size: int
    """Most rows one request may hold."""
    latency_budget_ms: float = 20.0
    """p99 the model is meant to keep, in milliseconds; queue limits are a multiple of it."""
    kind: str
    """Kind of model."""

    def __post_init__(self) -> None:
        """Refuse what no model can have.

        Raises:
            ValueError: naming the field.
        """
        if not isinstance(self.model, str) or not MODEL_NAME.fullmatch(self.model):
            raise ValueError(
                "contract.model: expected 1 to 64 ASCII letters, digits or underscores, "
                f"got {self.model!r}; rename the model"
            )
        if not self.max_batch_size >= 1:
            raise ValueError(
                f"contract.max_batch_size: expected at least 1 row, got {self.max_batch_size!r}; "
                "raise it"
            )
        if not self.latency_budget_ms > 0:
            raise ValueError(
                "contract.latency_budget_ms: expected more than 0 milliseconds, "
                f"got {self.latency_budget_ms!r}; raise it"
            )

    def to_json(self) -> str:
        """The contract as one line of JSON, with keys in a fixed order."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote; keys of a later version are passed over.

        Raises:
            ValueError: if the text is no contract.
        """
        raw = read_object(text)
        try:
            return cls(**cls._from_raw(raw))
        except (TypeError, KeyError, AttributeError) as error:
            raise no_contract(text, error) from error

    @classmethod
    def _from_raw(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """Values of the fields, out of JSON."""
        known = known_fields(cls, raw)
        for name in cls._lists:
            values = known.get(name, [])
            if not isinstance(values, list):
                raise TypeError(f"{name}: expected a list, got {values!r}")
            known[name] = tuple(values)
        return known


def known_fields(kind: type[Any], raw: dict[str, Any]) -> dict[str, Any]:
    """What JSON says of the fields of a dataclass."""
    return {each.name: raw[each.name] for each in fields(kind) if each.name in raw}


def read_object(text: str) -> dict[str, Any]:
    """The JSON object of a contract.

    Raises:
        ValueError: if the text is none.
    """
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, TypeError) as error:
        raise no_contract(text, error) from error
    if not isinstance(raw, dict):
        raise no_contract(text, "it is no object")
    return raw


def no_contract(text: str, why: object) -> ValueError:
    """What to raise for a text that is no contract."""
    return ValueError(
        f"contract: expected the JSON object that penchant writes, got {text[:80]!r} ({why}); "
        "publish the model again with this version of penchant"
    )


def check_names(name: str, names: Any, *, least: int, remedy: str) -> None:
    """Refuse anything but a tuple of different texts that are not empty.

    Args:
        name: of the field.
        names: its value.
        least: how many there have to be.
        remedy: what to do.

    Raises:
        ValueError: naming the field.
    """
    is_tuple = isinstance(names, tuple) and all(isinstance(each, str) and each for each in names)
    if not is_tuple or len(names) < least or len(set(names)) < len(names):
        raise ValueError(
            f"contract.{name}: expected {'one or more ' if least else ''}different names that are "
            f"not empty, as a tuple, got {names!r}; {remedy}"
        )
