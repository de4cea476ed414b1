"""The steps of a package one after another in this process, as Triton's ensemble runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from penchant.serving.golden import Tensors
from penchant.serving.pieces import Piece
from penchant.serving.session import GraphSession


class Chain:
    """ONNX Runtime over each step."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        """Load the graphs of these steps, each after those that it waits for."""
        self._steps = [(piece, GraphSession(piece.graph)) for piece in pieces]

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        """Every tensor of the ensemble (B, …), inputs and outputs among them; text is ``str``.

        Args:
            inputs: the raw inputs (B, …).
        """
        tensors = dict(inputs)
        for piece, session in self._steps:
            answers = session.run(piece.taken(tensors))
            tensors |= {tensor: answers[name] for name, tensor in piece.outputs.items()}
        return tensors
