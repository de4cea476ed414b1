"""What the wire contracts of all kinds of model have in common, and how one is read.

A server, a registry or a load generator needs names, types and limits; what the tensors mean is the
business of each kind: :class:`Contract` for propensity, :class:`JourneyContract` for journeys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from penchant.clients.contract import PROPENSITY, Contract, TensorSpec
from penchant.clients.journey_contract import JOURNEY, JourneyContract
from penchant.clients.served_contract import read_object


class WireContract(Protocol):
    """Names, types and limits of one served model, of whatever kind."""

    @property
    def model(self) -> str:
        """Public model name."""

    @property
    def kind(self) -> str:
        """Kind of model."""

    @property
    def max_batch_size(self) -> int:
        """Most rows one request may hold."""

    @property
    def latency_budget_ms(self) -> float:
        """p99 the model is meant to keep, in milliseconds."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Input tensors."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Output tensors."""

    @property
    def score_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that a caller needs who wants scores and nothing beyond them."""

    def to_json(self) -> str:
        """The contract as one line of JSON, which :func:`read_contract` reads."""


_READERS: Final[Mapping[str, Callable[[str], WireContract]]] = MappingProxyType(
    {PROPENSITY: Contract.from_json, JOURNEY: JourneyContract.from_json}
)


def read_contract(text: str) -> WireContract:
    """Read the contract of a model of any kind, by what its JSON says under ``kind``.

    Raises:
        ValueError: if the text is no contract, or one of a kind that is not known here; the message
            names the kind.
    """
    kind = read_object(text).get("kind", PROPENSITY)
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ValueError(
            f"contract.kind: expected one of {', '.join(_READERS)}, got {kind!r}; "
            "use the version of penchant that the model was made with"
        )
    return reader(text)
