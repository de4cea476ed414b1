"""A contract of either kind is read by what it says it is."""

from __future__ import annotations

import json

import pytest

from penchant.clients.contract import Contract
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.wire_contract import WireContract, read_contract

PROPENSITY = Contract(model="propensity", goals=("purchase",), numeric=("age",))
JOURNEY = JourneyContract(
    model="journey", actions=("view", "purchase"), channels=("web",), item_dtype="INT64"
)


@pytest.mark.parametrize("contract", [PROPENSITY, JOURNEY])
def test_either_kind_comes_back_as_it_was(contract: WireContract) -> None:
    assert read_contract(contract.to_json()) == contract


@pytest.mark.parametrize("contract", [PROPENSITY, JOURNEY])
def test_scores_alone_are_outputs_of_the_model(contract: WireContract) -> None:
    assert set(contract.score_outputs) < {spec.name for spec in contract.outputs}


@pytest.mark.parametrize("kind", ["uplift", None, 3, ["journey"]])
def test_an_unknown_kind_is_refused_by_name(kind: object) -> None:
    body = json.loads(JOURNEY.to_json()) | {"kind": kind}

    with pytest.raises(ValueError, match=r"contract\.kind: expected one of propensity, journey"):
        read_contract(json.dumps(body))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"kind": "journey"}'])
def test_what_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="contract"):
        read_contract(text)


@pytest.mark.parametrize("contract", [PROPENSITY, JOURNEY])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "sh op"}, r"contract\.model: .*got 'sh op'"),
        ({"max_batch_size": 0}, r"contract\.max_batch_size: expected at least 1 row, got 0"),
        ({"latency_budget_ms": 0}, r"contract\.latency_budget_ms: expected more than 0"),
        ({"goals": "abc", "actions": "abc"}, "expected a list, got 'abc'.*publish the model again"),
        ({"goals": [], "actions": []}, "expected one or more different names"),
    ],
)
def test_what_holds_for_models_of_every_kind(
    contract: WireContract, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_contract(json.dumps(json.loads(contract.to_json()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_dtype": "INT32"}, r"contract\.item_dtype: expected BYTES or INT64, got 'INT32'"),
        ({"channels": ["web", "web"]}, r"contract\.channels: expected different names"),
        ({"default_action": "buy"}, r"contract\.default_action: expected one of .*got 'buy'"),
        ({"length": 0}, r"contract\.length: expected at least 1, got 0"),
        ({"num_items": 201}, r"contract\.num_items: expected at most 200, got 201"),
    ],
)
def test_what_no_journey_model_can_have(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_contract(json.dumps(json.loads(JOURNEY.to_json()) | changes))
