"""The two places a version of a model can be served in, and what it is called there.

The champion has the model's own name; the challenger is served beside it as a model of its own,
``<model>_challenger``, with the same tensors, so that callers who know the champion can ask either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from penchant.clients.contract import CHALLENGER_SUFFIX
from penchant.clients.served_contract import MODEL_NAME
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHALLENGER, CHAMPION

ROLES: Final = (CHAMPION, CHALLENGER)
"""Aliases in the registry that something is served for, in the order in which they are followed."""


def check_name(model: str) -> None:
    """Refuse what no model can be called, before anything is made or asked.

    Raises:
        ValueError: if it is no name.
    """
    if not MODEL_NAME.fullmatch(model):
        raise ValueError(
            "model: expected the name of a registered model, 1 to 64 of A-Z a-z 0-9 _, got "
            f"{model!r}; correct it"
        )


def served_name(model: str, role: str) -> str:
    """What the model of a role is called in the repository and on the wire.

    Raises:
        ValueError: if the model's name leaves no room for it.
    """
    if role == CHAMPION:
        return model
    name = model + CHALLENGER_SUFFIX
    if not MODEL_NAME.fullmatch(name):
        raise ValueError(
            f"model: expected at most {64 - len(CHALLENGER_SUFFIX)} letters, so that {name!r} is a "
            f"name too, got {len(model)}; train it under a shorter name"
        )
    return name


def as_served(package: ModelPackage, role: str) -> ModelPackage:
    """The package under the name it is served by; its contract tells callers that name."""
    contract = replace(package.contract, model=served_name(package.contract.model, role))  # type: ignore[type-var]  # every kind of contract is a dataclass
    return ModelPackage(package.folder, replace(package.manifest, contract=contract))
