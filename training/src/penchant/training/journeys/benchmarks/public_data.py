"""Public data sets as journeys; the folder that holds them is in the environment variable
PENCHANT_DATA."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import targets_of

FOLDER_VARIABLE: Final = "PENCHANT_DATA"
DIGINETICA_VALIDATION: Final = 0.03
"""Share of the training sessions, the last, that decide when to stop."""


def movielens_1m() -> tuple[Journeys, Catalogue]:
    """All 1,000,209 ratings of MovieLens-1M in each visitor's order, without a clock."""
    columns = _columns("ml1m/interactions.parquet", ("user_id", "pos", "item_id"))
    return _journeys(columns["user_id"], columns["pos"], columns["item_id"], has_clock=False)


def movielens_100k() -> tuple[Journeys, Catalogue]:
    """All 100,000 ratings of MovieLens-100K with their times."""
    columns = _columns("ml100k/interactions.parquet", ("user_id", "timestamp", "item_id"))
    return _journeys(columns["user_id"], columns["timestamp"], columns["item_id"], has_clock=True)


def diginetica() -> tuple[Journeys, Catalogue, JourneyParts]:
    """The click sessions of Diginetica as SR-GNN prepares and splits them, without a clock.

    Every click of a test session but its first is predicted from those before it. The newest
    training sessions decide when to stop.
    """
    columns = _columns(
        "diginetica_sessions/sessions.parquet", ("session_id", "pos", "item_id", "split")
    )
    journeys, catalogue = _journeys(
        columns["session_id"], columns["pos"], columns["item_id"], has_clock=False
    )
    # Sessions are numbered as they came, so that the row is an order across sessions too.
    journeys = replace(journeys, time_s=np.arange(journeys.num_events))
    held_out = np.unique(columns["session_id"][columns["split"] != "train"])
    is_test = np.isin(journeys.visitor_id, held_out)
    learnt = np.flatnonzero(~is_test)
    validating = np.zeros(len(journeys), np.bool_)
    validating[learnt[-int(len(learnt) * DIGINETICA_VALIDATION) :]] = True
    lengths = journeys.lengths
    later = np.ones(journeys.num_events, np.bool_)
    later[journeys.offsets[:-1]] = False
    parts = JourneyParts(
        train_until=np.where(is_test | validating, 0, lengths),
        test_from=np.where(is_test, 0, lengths),
        validation=targets_of(journeys, later & np.repeat(validating, lengths)),
        test=targets_of(journeys, later & np.repeat(is_test, lengths)),
        left_out={},
        protocol=(
            "given split; each prefix of a test session predicts the next click among all items; "
            "items met before may be answered"
        ),
    )
    return journeys, catalogue, parts


def _columns(name: str, columns: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise ValueError(
            f"{FOLDER_VARIABLE}: expected the folder with the public data sets, got nothing; set "
            f"the environment variable to a folder that holds {name}"
        )
    path = Path(folder) / name
    if not path.exists():
        raise ValueError(
            f"{FOLDER_VARIABLE}: expected a folder that holds {name}, got {folder!r}; the licence "
            "of the data forbids to ship it, so fetch it from its publisher and write the columns "
            f"{', '.join(columns)} to that file"
        )
    table = pq.read_table(path, columns=list(columns))
    return {column: table[column].to_numpy(zero_copy_only=False) for column in columns}


def _journeys(
    visitor: npt.NDArray[Any],
    order: npt.NDArray[Any],
    item: npt.NDArray[Any],
    *,
    has_clock: bool,
) -> tuple[Journeys, Catalogue]:
    """Journeys with one action; the order of events of the same moment is drawn (see ties.py)."""
    by = np.lexsort((np.random.default_rng(0).random(len(item)), order, visitor))
    visitor, order, item = visitor[by], order[by].astype(np.int64), item[by]
    visitor_id, start = np.unique(visitor, return_index=True)
    item_id, code = np.unique(item, return_inverse=True)
    gap = np.diff(order, prepend=order[0]) > 30 * 60
    new = np.diff(visitor, prepend=visitor[0]) != 0
    count = np.cumsum(gap & ~new & has_clock)
    journeys = Journeys(
        visitor_id=visitor_id.astype(np.int64),
        offsets=np.append(start, len(visitor)).astype(np.int64),
        item=(code + FIRST_CODE).astype(np.int32),
        action=np.ones(len(visitor), np.uint8),
        channel=np.zeros(len(visitor), np.uint8),
        time_s=order,
        session=(count - np.repeat(count[start], np.diff(np.append(start, len(visitor))))).astype(
            np.int32
        ),
        actions=("view",),
        has_clock=has_clock,
    )
    categories = np.zeros(len(item_id), np.int32)
    return journeys, Catalogue(item_id=item_id.astype(np.int64), category=categories)
