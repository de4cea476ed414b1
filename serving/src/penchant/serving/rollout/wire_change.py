"""Whether callers of one version could go on asking another: what of the contract differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from penchant.clients.contract import TensorSpec
from penchant.clients.wire_contract import WireContract

_FREE: Final = {"model", "latency_budget_ms", "max_batch_size"}
"""Fields that may differ: the name is the role's, and callers read the limits from the server."""
_MAY_GROW: Final = {"actions"}
"""Lists that may grow at their end: codes that callers know keep their meaning."""


def wire_changes(before: WireContract, after: WireContract) -> list[str]:
    """What callers of ``before`` would run into, one line each; none where they would not notice.

    Args:
        before: the contract that callers know.
        after: the contract that is to take its place.
    """
    if before.kind != after.kind:
        return [f"the kind of model is {after.kind} instead of {before.kind}"]
    changes = [
        *_tensors("input", before.inputs, after.inputs),
        *_tensors("output", before.outputs, after.outputs),
    ]
    old, new = _fields(before), _fields(after)
    changes += [
        f"{name} is {new.get(name)!r} instead of {old[name]!r}"
        for name in old
        if not _is_same(name, old[name], new.get(name))
    ]
    if after.max_batch_size < before.max_batch_size:
        changes.append(
            f"max_batch_size is {after.max_batch_size}, less than the {before.max_batch_size} rows "
            "that callers may send"
        )
    return changes


def _tensors(side: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec]) -> Iterator[str]:
    old = {spec.name: f"{spec.dtype} {list(spec.shape)}" for spec in before}
    new = {spec.name: f"{spec.dtype} {list(spec.shape)}" for spec in after}
    for name in (*old, *(name for name in new if name not in old)):
        if old.get(name) != new.get(name):
            got, expected = new.get(name, "gone"), old.get(name, "none")
            yield f"{side} {name!r} is {got} instead of {expected}"


def _fields(contract: WireContract) -> dict[str, Any]:
    content = asdict(contract)  # type: ignore[call-overload]  # every contract is a dataclass
    return {name: value for name, value in content.items() if name not in _FREE}


def _is_same(name: str, before: Any, after: Any) -> bool:
    if name in _MAY_GROW and isinstance(after, list | tuple):
        return list(after[: len(before)]) == list(before)
    return bool(before == after)
