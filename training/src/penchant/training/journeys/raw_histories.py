"""Histories as callers send them, made of journeys: raw ids instead of codes.

Letters: B targets, L events of a history, X items to leave out, A categories to keep to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.clients.journey_contract import (
    ACTION,
    AGE_S,
    ALLOW,
    CHANNEL,
    EXCLUDE,
    HOUR,
    ITEM,
    NO_ITEM,
    TARGET_ACTION,
    JourneyContract,
)
from penchant.training.journeys.batches import hours_of_week
from penchant.training.journeys.catalogue import FIRST_CODE, UNKNOWN_CODE, Catalogue, Codes
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Targets

Tensors = dict[str, npt.NDArray[Any]]

UNKNOWN_TEXT = "<unknown>"
"""Stands for an item that the catalogue does not have, where ids are text."""


def raw_histories(
    journeys: Journeys, catalogue: Catalogue, targets: Targets, contract: JourneyContract
) -> Tensors:
    """Inputs of a journey model as the contract names them, asked at the moment of each target.

    Text is an array of objects. Nothing is left out, no category is kept to, and the action asked
    for is the model's own.

    Args:
        journeys: Where the events are.
        catalogue: What their item codes mean.
        targets: B events; the history of each is what came before.
        contract: Names, types and lengths.
    """
    back = np.arange(contract.length, 0, -1)
    now = targets.rows(journeys)
    there = targets.position[:, None] >= back
    row = np.where(there, now[:, None] - back, now[:, None])
    age = (journeys.time_s[now][:, None] - journeys.time_s[row]) * there
    hour = np.full(len(now), -1, np.float32)
    if journeys.has_clock:
        hour = hours_of_week(journeys.time_s[now], journeys.timezone)
    inputs: Tensors = {
        ITEM: raw_ids(np.asarray(journeys.item[row] * there, np.int32), catalogue),
        ACTION: (journeys.action[row] * there).astype(np.int32),
        AGE_S: age.astype(np.float32),
        HOUR: hour[:, None],
        TARGET_ACTION: np.zeros((len(now), 1), np.int32),
        EXCLUDE: raw_ids(np.zeros((len(now), contract.max_exclude), np.int32), catalogue),
    }
    if contract.channels:
        inputs[CHANNEL] = (journeys.channel[row] * there).astype(np.int32)
    if contract.num_intents:
        inputs[ALLOW] = np.full((len(now), contract.max_allow), "", object)
    return inputs


def raw_ids(code: Codes, catalogue: Catalogue) -> npt.NDArray[Any]:
    """Ids of item codes of any shape: int64, or text as objects."""
    if catalogue.has_integer_ids:
        known = set(catalogue.item_id.tolist())
        unknown = next(number for number in range(len(known) + 2) if number not in known)
        table = np.concatenate([[NO_ITEM, unknown], catalogue.item_id]).astype(np.int64)
    else:
        table = np.array(["", UNKNOWN_TEXT, *catalogue.item_id.tolist()], object)
    ids: npt.NDArray[Any] = table[code]
    return ids


def vary_requests(inputs: Tensors, contract: JourneyContract, catalogue: Catalogue) -> Tensors:
    """The same histories, of which some leave items out, keep to a category or ask for an action.

    Every second one leaves out what was met last, every third one keeps to a category, every fifth
    one names an action, so that golden rows try all of it.
    """
    varied = {name: value.copy() for name, value in inputs.items()}
    count = min(contract.max_exclude, contract.length)
    varied[EXCLUDE][::2, :count] = inputs[ITEM][::2, -count:]
    numbers = np.arange(len(inputs[ITEM]))
    if contract.num_intents:
        names = np.array(catalogue.categories, object)
        varied[ALLOW][::3, 0] = names[numbers[::3] % len(names)]
    varied[TARGET_ACTION][::5, 0] = 1 + numbers[::5] % len(contract.actions)
    return varied


def title_of(code: int, catalogue: Catalogue) -> str:
    """What a reader calls an item: its title, or its id."""
    if code < FIRST_CODE:
        return "an unknown item" if code == UNKNOWN_CODE else "no item"
    title = catalogue.title[code - FIRST_CODE] if catalogue.title else ""
    return title or str(catalogue.item_id[code - FIRST_CODE])
