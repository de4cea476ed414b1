"""Section: what precision costs quality, on rows that no part of a fit saw.

AUC of the propensity model, NDCG@10 of the journey model, each beside FP32 of the same runtime, and
how many of its best ten items are among the best ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from penchant.perf.gpu_check.cases import SmallModel, small_models
from penchant.perf.gpu_check.choose import in_a_line, make_runner
from penchant.perf.gpu_check.parity import answers, overlap
from penchant.perf.gpu_check.runtimes import runtime_of
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings
from penchant.serving.engines.precision import PRECISIONS, Precision
from penchant.serving.golden import Tensors

TOP: Final = 10
CHUNK: Final = 256
"""Rows asked at once."""

Measure = Callable[[Tensors], float]


def rows(settings: Settings) -> Iterator[Row]:
    """A row a model and precision."""
    for model in small_models(settings):
        held_out = model.package.holdout()
        if held_out is None:
            yield {"model": model.kind, "not run": "the package holds no held-out rows"}
            continue
        inputs = model.encoded(held_out.inputs)
        metric, measure = _measure(model, held_out.label)
        plain: Tensors = {}
        for precision in PRECISIONS:
            head: Row = {"model": model.kind, "by": runtime_of(settings), "precision": precision}
            try:
                found = _answers(model, inputs, precision, settings)
            except Exception as error:  # A precision that the runtime does not take.
                yield head | {"not run": in_a_line(error)}
                continue
            plain = plain or found
            value = measure(found)
            row = head | {"metric": metric, "rows": len(held_out), "value": value}
            row["change"] = value - measure(plain)
            if model.kind == "journey":
                row["overlap"] = overlap(plain["top_code"], found["top_code"])
            yield row


def _answers(
    model: SmallModel, inputs: Tensors, precision: Precision, settings: Settings
) -> Tensors:
    """All outputs (N, …), asked in batches."""
    engine = runtime_of(settings)
    runner = make_runner(engine, model.net, precision, CHUNK, settings, compiled=False)
    count = len(next(iter(inputs.values())))
    parts = [
        answers(runner, {n: v[at : at + CHUNK] for n, v in inputs.items()}, settings.device)
        for at in range(0, count, CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measure(model: SmallModel, label: npt.NDArray[np.generic]) -> tuple[str, Measure]:
    if model.kind == "propensity":
        is_yes = np.asarray(label[:, 0], np.float64)
        return "AUC", lambda found: auc(found["propensity"][:, 0], is_yes)
    ids = _code_of(model, label)
    return "NDCG@10", lambda found: ndcg(found["top_code"], ids)


def _code_of(model: SmallModel, label: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Item codes (N,) of the ids that were taken, as encode.onnx looks them up."""
    held_out = model.package.holdout()
    assert held_out is not None
    asked = dict(held_out.inputs)
    item = asked["item"].copy()
    item[:, -1] = label
    action = asked["action"].copy()
    action[:, -1] = 1  # else it is no event
    encoded = model.encoded(asked | {"item": item, "action": action})
    return encoded["item_code"][:, -1].astype(np.int64)


def auc(score: npt.NDArray[np.float32], is_yes: npt.NDArray[np.float64]) -> float:
    """Chance that a row that did is scored above one that did not; ties count half."""
    known = ~np.isnan(is_yes)
    score, is_yes = score[known], is_yes[known]
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    below = np.cumsum(count) - count
    rank = (below + (count + 1) / 2)[place]
    did = is_yes.sum()
    return float((rank[is_yes == 1].sum() - did * (did + 1) / 2) / (did * (len(score) - did)))


def ndcg(top: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> float:
    """Mean of 1 / log2(1 + place) of the target among the first ten of codes (N, K), else 0."""
    found = top[:, :TOP].astype(np.int64) == target[:, None]
    gain = found / np.log2(2.0 + np.arange(found.shape[1]))
    return float(gain.sum(1).mean())
