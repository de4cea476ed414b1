"""A retrain's weights in the engine that is there, on a played GPU; what cannot be is built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.serving.engines.gpus import GPU
from tests.serving.engines.played_tensorrt import PlayedTensorRT

from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.refit import Retrain, refit, refit_or_build
from penchant.serving.package import ModelPackage

WEIGHT = "visitor_embedding_3_table"


@pytest.fixture
def played() -> PlayedTensorRT:
    return PlayedTensorRT()


@pytest.fixture
def plan(tiny: ModelPackage, played: PlayedTensorRT) -> Plan:
    """Yesterday's engine."""
    return build_engine(
        tiny.net,
        contract=tiny.contract,
        package_version=1,
        refittable=True,
        library=played.library,
        device=GPU,
    )


@pytest.fixture
def retrain(tiny: ModelPackage, played: PlayedTensorRT, tmp_path: Path) -> Retrain:
    """Today's net: other weights of one table."""
    return Retrain(
        old_net=tiny.net,
        net=changed(tiny.net, tmp_path / "net.onnx", lambda value: value * 1.5),
        contract=tiny.contract,
        package_version=2,
        library=played.library,
        device=GPU,
        check=lambda plan: None,
    )


def changed(net: Path, path: Path, change: Any, *, weight: str = WEIGHT, name: str = "") -> Path:
    """A net with another table, under another name where one is given."""
    model = onnx.load(net)
    (tensor,) = [each for each in model.graph.initializer if each.name == weight]
    value = np.asarray(change(numpy_helper.to_array(tensor)), np.float32)
    tensor.CopyFrom(numpy_helper.from_array(value, name or weight))
    for node in model.graph.node:
        node.input[:] = [name if name and each == weight else each for each in node.input]
    onnx.save(model, path)
    return path


def test_a_refitted_engine_has_the_new_weights_and_its_own_record(
    plan: Plan, retrain: Retrain, played: PlayedTensorRT
) -> None:
    checked: list[Plan] = []
    refitted = refit(plan, replace(retrain, check=checked.append))
    assert checked == [refitted]
    assert (played.num_built, played.num_refitted) == (1, 1)
    assert onnx.load(retrain.net).SerializeToString() in refitted.content
    record = refitted.record
    assert record.package_version == 2
    assert record.net_sha256 != plan.record.net_sha256
    assert record.sha256 != plan.record.sha256
    assert replace(record, build_s=0) == replace(
        plan.record,
        package_version=2,
        build_s=0,
        net_sha256=record.net_sha256,
        sha256=record.sha256,
    )
    again = refit(refitted, replace(retrain, old_net=retrain.net, net=retrain.old_net))
    assert again.content == plan.content


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "renamed": (
        {"change": lambda value: value, "name": "embedding"},
        f"got embedding for {WEIGHT}: missing, renamed or of another net",
    ),
    "larger": (
        {"change": lambda value: np.concatenate([value, value])},
        rf"expected FLOAT \(14, 4\) for weight '{WEIGHT}', got FLOAT \(28, 4\)",
    ),
    "no number": (
        {"change": lambda value: np.where(value > 0, np.nan, value)},
        f"expected numbers in weight '{WEIGHT}', got .* NaN of 56; train again",
    ),
    "infinite": (
        {"change": lambda value: np.where(value > 0, np.inf, value)},
        f"expected numbers in weight '{WEIGHT}', got .* NaN or infinite of 56; train again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused_by_name(
    case: str, plan: Plan, retrain: Retrain, tiny: ModelPackage, played: PlayedTensorRT
) -> None:
    options, reason = REFUSED[case]
    changed(tiny.net, retrain.net, **options)
    with pytest.raises(ValueError, match=reason):
        refit(plan, retrain)
    assert played.num_refitted == 0


def test_a_weight_that_is_gone_is_refused_by_name(
    plan: Plan, retrain: Retrain, played: PlayedTensorRT
) -> None:
    model = onnx.load(retrain.net)
    kept = [tensor for tensor in model.graph.initializer if tensor.name != WEIGHT]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, retrain.net)
    with pytest.raises(ValueError, match=f"got none for {WEIGHT}: missing, renamed"):
        refit(plan, retrain)


def test_other_nodes_are_refused(plan: Plan, retrain: Retrain) -> None:
    model = onnx.load(retrain.net)
    (node,) = [each for each in model.graph.node if each.output[0] == "purchase"]
    node.op_type = "Tanh"
    onnx.save(model, retrain.net)
    with pytest.raises(ValueError, match="expected the nodes that the plan was built of"):
        refit(plan, retrain)


def test_the_exporters_notes_may_differ(plan: Plan, retrain: Retrain) -> None:
    model = onnx.load(retrain.net)
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="line 7")
    onnx.save(model, retrain.net)
    refit(plan, retrain)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"refittable": False}, "expected one built to be refitted"),
        ({"net_sha256": "0" * 64}, "expected the plan of .*net.onnx"),
        ({"compute_capability": "8.0"}, r"expected compute capability 9\.0"),
        ({"graph_batches": (1,)}, "for batches of up to 64 rows within 20 ms, got one for others"),
    ],
)
def test_a_plan_that_cannot_be_refitted_is_refused(
    change: dict[str, Any], reason: str, plan: Plan, retrain: Retrain
) -> None:
    other = replace(plan, record=replace(plan.record, **change))
    with pytest.raises(ValueError, match=reason):
        refit(other, retrain)


def test_weights_built_into_the_engine_and_missing_ones_are_named(
    plan: Plan, retrain: Retrain, played: PlayedTensorRT
) -> None:
    played.built_in = {WEIGHT}
    with pytest.raises(ValueError, match=f"got changes of {WEIGHT}, which are built into it"):
        refit(plan, retrain)
    played.built_in, played.missing = set(), ["bias"]
    with pytest.raises(ValueError, match="expected all weights, got: none for bias"):
        refit(plan, retrain)


def test_the_release_that_drops_biases_refits_nothing(
    plan: Plan, retrain: Retrain, played: PlayedTensorRT
) -> None:
    wrong = replace(retrain, library=replace(played.library, version="11.3.0"))
    old = replace(plan, record=replace(plan.record, library_version="11.3.0"))
    with pytest.raises(ValueError, match=r"tensorrt 11\.3\.0: expected a release that refits"):
        refit(old, wrong)
    built = refit_or_build(old, wrong)
    assert not built.record.refittable
    assert "drops biases" in built.notes[0]


def test_an_engine_that_answers_wrongly_is_built_anew_and_checked_again(
    plan: Plan, retrain: Retrain, played: PlayedTensorRT
) -> None:
    checked: list[Plan] = []

    def check(candidate: Plan) -> None:
        checked.append(candidate)
        if len(checked) == 1:
            raise ValueError("purchase: expected the net's answers, got others")

    built = refit_or_build(plan, replace(retrain, check=check))
    assert (played.num_built, played.num_refitted) == (2, 1)
    assert built.notes == (
        "built anew, not refitted: purchase: expected the net's answers, got others",
    )
    assert (built.record.package_version, built.record.refittable) == (2, True)
    assert checked[1].content == built.content


def test_wrong_answers_of_the_engine_built_anew_are_an_error(plan: Plan, retrain: Retrain) -> None:
    def check(candidate: Plan) -> None:
        raise ValueError("wrong again")

    with pytest.raises(ValueError, match="wrong again"):
        refit_or_build(plan, replace(retrain, check=check))


def test_no_number_is_neither_refitted_nor_built(
    plan: Plan, retrain: Retrain, tiny: ModelPackage
) -> None:
    changed(tiny.net, retrain.net, lambda value: value * np.nan)
    with pytest.raises(ValueError, match="got 56 NaN of 56; train again"):
        refit_or_build(plan, retrain)
