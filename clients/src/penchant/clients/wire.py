"""KServe v2 messages of a propensity model: requests out of tensors, scores out of answers.

Shapes: B rows, G goals, F features. Tensors travel as raw bytes, little endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from penchant.clients.contract import (
    BASE,
    PROPENSITY,
    REASON,
    REASON_OUTPUTS,
    SCORE_OUTPUTS,
    UNKNOWN,
    VERSION,
    Contract,
    TensorSpec,
)
from penchant.clients.errors import InvalidAnswer
from penchant.clients.scores import Scores

_pack_length: Final = struct.Struct("<I").pack
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
}


def encode_texts(texts: npt.NDArray[Any]) -> list[bytes]:
    """Each text of an array as a BYTES element, in row-major order.

    An element is its length as 4 bytes, little endian, and its UTF-8; joined they are what
    tritonclient's ``serialize_byte_tensor`` makes. Where texts recur, as categories do, only
    distinct ones are encoded. Half of a surrogate pair, which no UTF-8 can hold, becomes "?".
    """
    flat = texts.ravel().tolist()
    distinct = set(flat)
    if 2 * len(distinct) > len(flat):
        return _elements(flat)
    table = dict(zip(distinct, _elements(distinct), strict=True))
    return list(map(table.__getitem__, flat))


def _elements(texts: Iterable[str]) -> list[bytes]:
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError:
        encoded = [text.encode(errors="replace") for text in texts]
    return [_pack_length(len(text)) + text for text in encoded]


class Batches:
    """The requests for any number of rows, at most ``contract.max_batch_size`` rows each."""

    def __init__(
        self, tensors: Mapping[str, npt.NDArray[Any]], contract: Contract, *, reasons: bool
    ) -> None:
        self._contract = contract
        self._outputs = (*SCORE_OUTPUTS, *REASON_OUTPUTS) if reasons else SCORE_OUTPUTS
        self._num_rows = len(next(iter(tensors.values())))
        self._tensors = [
            (spec, _Encoded(tensors[spec.name], is_text=spec.dtype == "BYTES"))
            for spec in contract.inputs
        ]

    def __len__(self) -> int:
        """Number of requests."""
        return -(-self._num_rows // self._contract.max_batch_size)

    def request(self, batch: int, *, queue_timeout_us: int) -> Any:
        """The ``ModelInferRequest`` of one batch.

        Args:
            batch: from 0.
            queue_timeout_us: how long the server may let it wait, in microseconds.
        """
        start, stop = self._bounds(batch)
        request = service_pb2.ModelInferRequest(model_name=self._contract.model)
        request.parameters["timeout"].int64_param = queue_timeout_us
        for spec, encoded in self._tensors:
            shape = [stop - start, *spec.shape]
            request.inputs.add(name=spec.name, datatype=spec.dtype, shape=shape)
            request.raw_input_contents.append(encoded.rows(start, stop))
        for name in self._outputs:
            request.outputs.add(name=name)
        return request

    def scores(self, batch: int, response: Any) -> Scores:
        """The scores in the ``ModelInferResponse`` to one batch.

        Raises:
            InvalidAnswer: if a tensor is missing or has another dtype or shape than the contract's.
        """
        start, stop = self._bounds(batch)
        raw = dict(_named_outputs(response))
        found = {
            spec.name: _tensor(spec, raw.get(spec.name), num_rows=stop - start)
            for spec in self._contract.outputs
            if spec.name in self._outputs
        }
        return Scores(
            model=self._contract.model,
            goals=self._contract.goals,
            features=self._contract.features,
            propensity=found[PROPENSITY],
            unknown=found[UNKNOWN][:, 0],
            version=found[VERSION][:, 0],
            reason=found.get(REASON),
            base=found.get(BASE),
        )

    def _bounds(self, batch: int) -> tuple[int, int]:
        start = batch * self._contract.max_batch_size
        return start, min(start + self._contract.max_batch_size, self._num_rows)


class _Encoded:
    """A tensor of which any run of rows can be had as raw bytes."""

    def __init__(self, tensor: npt.NDArray[Any], *, is_text: bool) -> None:
        self._width = tensor.size // len(tensor)
        self._tensor = tensor
        self._elements = encode_texts(tensor) if is_text else None

    def rows(self, start: int, stop: int) -> bytes:
        if self._elements is None:
            return self._tensor[start:stop].astype("<f4", copy=False).tobytes()
        return b"".join(self._elements[start * self._width : stop * self._width])


def _named_outputs(response: Any) -> Iterator[tuple[str, tuple[Any, bytes]]]:
    # In the server's order, which need not be the request's.
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        yield output.name, (output, raw)


def _tensor(
    spec: TensorSpec, answer: tuple[Any, bytes] | None, *, num_rows: int
) -> npt.NDArray[Any]:
    if answer is None:
        raise InvalidAnswer(f"output {spec.name!r}: expected in the answer, but missing")
    output, raw = answer
    shape, dtype = (num_rows, *spec.shape), _DTYPES[spec.dtype]
    received = tuple(output.shape)
    if output.datatype != spec.dtype or received != shape:
        raise InvalidAnswer(
            f"output {spec.name!r}: expected {spec.dtype} {shape}, got {output.datatype} {received}"
        )
    if len(raw) != dtype.itemsize * math.prod(shape):
        raise InvalidAnswer(f"output {spec.name!r}: {len(raw)} bytes do not hold {shape} {dtype}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)
