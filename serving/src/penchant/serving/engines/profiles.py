"""Batch sizes that an engine is built for, and those that are captured as CUDA graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penchant.clients.wire_contract import WireContract

TIGHT_MS: Final = 10.0
"""Latency budget up to which a queue hardly builds up: lone rows are what matters then."""
LATENCY_ROWS: Final = 8
"""Most rows of the profile for lone requests."""


@dataclass(frozen=True)
class BatchProfile:
    """Rows of one optimization profile. TensorRT takes any batch in it, and chooses its kernels for
    one."""

    min_rows: int
    """Fewest rows; 1, so that an instance with any one profile can answer any request."""
    opt_rows: int
    """Rows that kernels are chosen for."""
    max_rows: int
    """Most rows."""

    def __post_init__(self) -> None:
        """Refuse what no engine can have.

        Raises:
            ValueError: naming the three numbers.
        """
        if not 1 <= self.min_rows <= self.opt_rows <= self.max_rows:
            raise ValueError(
                "profile: expected 1 <= min_rows <= opt_rows <= max_rows, got "
                f"{self.min_rows}, {self.opt_rows}, {self.max_rows}"
            )


def batch_profiles(contract: WireContract) -> tuple[BatchProfile, ...]:
    """One profile for lone requests, and one for full batches where a batch holds more.

    Under a tight latency budget batches stay small, for they are only what arrives while the one
    before runs; kernels are then chosen for a quarter of the largest batch rather than for all.
    """
    most = contract.max_batch_size
    if most <= LATENCY_ROWS:
        return (BatchProfile(1, 1, most),)
    is_tight = contract.latency_budget_ms <= TIGHT_MS
    usual = max(LATENCY_ROWS, most // 4) if is_tight else most
    return BatchProfile(1, 1, LATENCY_ROWS), BatchProfile(1, usual, most)


def graph_batches(contract: WireContract) -> tuple[int, ...]:
    """Batch sizes to capture as CUDA graphs: powers of two, and the largest batch.

    Triton captures only the sizes that it is told, and runs others kernel by kernel.
    """
    most = contract.max_batch_size
    powers = (1 << shift for shift in range(most.bit_length()))
    return tuple(sorted({most, *(rows for rows in powers if rows <= most)}))
