"""KServe v2 messages of a model: requests out of tensors, tensors out of answers.

Shapes: B rows. Tensors travel as raw bytes, little endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

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
from penchant.clients.wire_contract import WireContract

_pack_length: Final = struct.Struct("<I").pack
_unpack_length: Final = struct.Struct("<I").unpack_from
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


class Answer(Protocol):
    """What is made of a model's answers."""

    @property
    def version(self) -> npt.NDArray[np.int64]:
        """Package version that answered for the row, (B,)."""


A = TypeVar("A", bound=Answer)


class Messages(Generic[A]):
    """The requests for any number of rows, at most ``contract.max_batch_size`` rows each."""

    def __init__(
        self,
        tensors: Mapping[str, npt.NDArray[Any]],
        contract: WireContract,
        *,
        outputs: Mapping[str, int | None],
        read: Callable[[Mapping[str, npt.NDArray[Any]]], A],
    ) -> None:
        """Encode texts once, for all requests.

        Args:
            tensors: those of ``contract.inputs``, (B, ...).
            contract: of the model that is asked.
            outputs: names of the outputs to ask for, and how many elements of a row to read; None
                for all.
            read: makes the answer of B rows from their output tensors, (B, ...).
        """
        self._contract = contract
        self._outputs = outputs
        self._read = read
        self._num_rows = len(next(iter(tensors.values())))
        self._tensors = [(spec, _Encoded(tensors[spec.name], spec)) for spec in contract.inputs]

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

    def answer(self, batch: int, response: Any) -> A:
        """What the ``ModelInferResponse`` to one batch says.

        Raises:
            InvalidAnswer: if a tensor is missing or has another dtype or shape than the contract's.
        """
        start, stop = self._bounds(batch)
        raw = dict(_named_outputs(response))
        found = {
            spec.name: _tensor(
                spec, raw.get(spec.name), num_rows=stop - start, first=self._outputs[spec.name]
            )
            for spec in self._contract.outputs
            if spec.name in self._outputs
        }
        return self._read(found)

    def _bounds(self, batch: int) -> tuple[int, int]:
        start = batch * self._contract.max_batch_size
        return start, min(start + self._contract.max_batch_size, self._num_rows)


class Batches(Messages[Scores]):
    """The requests for rows that a propensity model is to score."""

    def __init__(
        self, tensors: Mapping[str, npt.NDArray[Any]], contract: Contract, *, reasons: bool
    ) -> None:
        names = (*SCORE_OUTPUTS, *REASON_OUTPUTS) if reasons else SCORE_OUTPUTS
        outputs = dict.fromkeys(names)
        super().__init__(tensors, contract, outputs=outputs, read=partial(_scores, contract))


def _scores(contract: Contract, found: Mapping[str, npt.NDArray[Any]]) -> Scores:
    return Scores(
        model=contract.model,
        goals=contract.goals,
        features=contract.features,
        propensity=found[PROPENSITY],
        unknown=found[UNKNOWN][:, 0],
        version=found[VERSION][:, 0],
        reason=found.get(REASON),
        base=found.get(BASE),
    )


class _Encoded:
    """A tensor of which any run of rows can be had as raw bytes."""

    def __init__(self, tensor: npt.NDArray[Any], spec: TensorSpec) -> None:
        self._width = math.prod(spec.shape)
        self._tensor = tensor
        self._dtype = _DTYPES.get(spec.dtype)
        # One row for all, repeated in place (np.broadcast_to), is encoded once.
        self._is_repeated = tensor.strides[0] == 0
        texts = tensor[:1] if self._is_repeated else tensor
        self._elements = encode_texts(texts) if self._dtype is None else []

    def rows(self, start: int, stop: int) -> bytes:
        if self._dtype is not None:
            return self._tensor[start:stop].astype(self._dtype, copy=False).tobytes()
        if self._is_repeated:
            return b"".join(self._elements) * (stop - start)
        return b"".join(self._elements[start * self._width : stop * self._width])


def _named_outputs(response: Any) -> Iterator[tuple[str, tuple[Any, bytes]]]:
    # In the server's order, which need not be the request's.
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        yield output.name, (output, raw)


def _tensor(
    spec: TensorSpec, answer: tuple[Any, bytes] | None, *, num_rows: int, first: int | None
) -> npt.NDArray[Any]:
    if answer is None:
        raise InvalidAnswer(f"output {spec.name!r}: expected in the answer, but missing")
    output, raw = answer
    shape, dtype = (num_rows, *spec.shape), _DTYPES.get(spec.dtype)
    received = tuple(output.shape)
    if output.datatype != spec.dtype or received != shape:
        raise InvalidAnswer(
            f"output {spec.name!r}: expected {spec.dtype} {shape}, got {output.datatype} {received}"
        )
    if dtype is None:
        return _texts(spec.name, raw, shape, first=first)
    if len(raw) != dtype.itemsize * math.prod(shape):
        raise InvalidAnswer(f"output {spec.name!r}: {len(raw)} bytes do not hold {shape} {dtype}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)[:, :first]


def _texts(
    name: str, raw: bytes, shape: tuple[int, ...], *, first: int | None
) -> npt.NDArray[np.object_]:
    """The texts of a BYTES tensor; of a row only the ``first`` ones are decoded."""
    num_rows, width = shape
    kept = width if first is None else min(first, width)
    found: list[str] = []
    at = 0
    try:
        for _ in range(num_rows):
            for column in range(width):
                start = at + 4
                at = start + _unpack_length(raw, at)[0]
                if column < kept:
                    found.append(str(raw[start:at], "utf-8", "replace"))
    except struct.error:
        at = len(raw) + 1
    if at != len(raw):
        raise InvalidAnswer(f"output {name!r}: {len(raw)} bytes do not hold {shape} texts")
    return np.fromiter(found, dtype=np.object_, count=len(found)).reshape(num_rows, kept)
