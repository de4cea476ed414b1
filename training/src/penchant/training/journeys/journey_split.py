"""Dividing journeys in time: what is learnt from, what decides, what judges.

The split to trust is one moment for all visitors (Gusak et al., 2025, Time to Split): nothing that
is learnt from is later than anything that judges. Leave-one-out, where each visitor's last event is
held out, lets models look into the future of other visitors; it is here to compare with papers.

Letters: V visitors, E events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_recipe import JourneySplit
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Places, Targets, is_repeat, targets_of

LEFT_OUT = ("no history", "no item of the catalogue", "met before")
"""Why an event of the test part is no target."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JourneyParts:
    """Where each visitor's parts begin, and the events to be predicted in the later two."""

    train_until: Places
    """(V,) how many events of each visitor, the oldest, are learnt from."""
    test_from: Places
    """(V,) how many events of each visitor come before the test part."""
    validation: Targets
    """Targets that decide when to stop and weigh the blend."""
    test: Targets
    """Targets that nothing but the evaluation sees."""
    left_out: dict[str, int]
    """Reason of `LEFT_OUT` -> events of the test part that are no targets for it."""
    protocol: str
    """How the split was made, in words."""
    validation_from_s: int | None = None
    """Moment at which the validation part begins; None where there is no one moment for all."""
    test_from_s: int | None = None
    """Moment at which the test part begins; None where there is no one moment for all."""


def split_journeys(journeys: Journeys, split: JourneySplit) -> JourneyParts:
    """Divide journeys as the recipe says.

    A target is an event with an item of the catalogue and at least one event before it; where
    repeats may not be answered, also one whose item the visitor meets for the first time.

    Raises:
        ValueError: A part would have no targets, or the journeys have no clock to split by.
    """
    candidate, left_out = _candidates(journeys, repeats=split.repeats)
    if split.by == "time":
        parts = _split_by_time(journeys, split, candidate, left_out)
    else:
        parts = _leave_one_out(journeys, split, candidate)
    for name in ("validation", "test"):
        if not len(getattr(parts, name)):
            raise ValueError(
                f"split: the {name} part has no event to predict ({parts.protocol}); take a longer "
                f"log, a larger split.{name}, or split.by: "
                f"{'leave_one_out' if split.by == 'time' else 'time'}"
            )
    if not events_before(journeys, parts.train_until).any():
        raise ValueError("split: nothing is left to learn from; take smaller shares")
    return parts


def events_before(journeys: Journeys, until: Places) -> npt.NDArray[np.bool_]:
    """(E,) true for the `until` (V,) oldest events of each visitor."""
    lengths = journeys.lengths
    place = np.arange(journeys.num_events) - np.repeat(journeys.offsets[:-1], lengths)
    return place < np.repeat(until, lengths)


def _candidates(
    journeys: Journeys, *, repeats: bool
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.bool_]]]:
    """(E,) which events may be targets, and reason -> which are not for it, each for one reason."""
    lengths = journeys.lengths
    first = np.zeros(journeys.num_events, np.bool_)
    first[journeys.offsets[:-1][lengths > 0]] = True
    no_item = ~first & (np.asarray(journeys.item) < FIRST_CODE)
    candidate = ~first & ~no_item
    met = np.zeros_like(first)
    if not repeats:
        targets = targets_of(journeys, candidate)
        met[targets.rows(journeys)[is_repeat(journeys, targets)]] = True
    return candidate & ~met, dict(zip(LEFT_OUT, (first, no_item, met), strict=True))


def _split_by_time(
    journeys: Journeys,
    split: JourneySplit,
    candidate: npt.NDArray[np.bool_],
    left_out: dict[str, npt.NDArray[np.bool_]],
) -> JourneyParts:
    if not journeys.has_clock:
        raise ValueError(
            "split.by: expected leave_one_out, got time, but the log has an order and no clock; "
            "if its order is one for all visitors, say events.time_unit: s in the log recipe"
        )
    time = np.asarray(journeys.time_s)
    test_s = _newest(time, split.test)
    earlier = time < test_s
    validation_s = _newest(time[earlier], split.validation) if earlier.any() else test_s
    learnt = time < validation_s
    return JourneyParts(
        train_until=_count(journeys, learnt),
        test_from=_count(journeys, earlier),
        validation=targets_of(journeys, candidate & earlier & ~learnt),
        test=targets_of(journeys, candidate & ~earlier),
        left_out={name: int((mask & ~earlier).sum()) for name, mask in left_out.items()},
        protocol=(
            f"global time split: test from {_moment(test_s)}, validation from "
            f"{_moment(validation_s)} (UTC); each event is predicted from all before it in its "
            f"visitor's journey; networks are told its moment and action; {_repeats(split)}"
        ),
        validation_from_s=validation_s,
        test_from_s=test_s,
    )


def _leave_one_out(
    journeys: Journeys, split: JourneySplit, candidate: npt.NDArray[np.bool_]
) -> JourneyParts:
    targets = targets_of(journeys, candidate)
    visitor = targets.visitor
    # Targets lie in the order of visitors, so that the last two of each lie side by side.
    last = np.flatnonzero(np.diff(visitor, append=-1))
    two = last[(last > 0) & (visitor[last - 1] == visitor[last])]
    before = targets.take(two - 1)
    two = two[before.position > 0]
    before, test = targets.take(two - 1), targets.take(two)
    train_until, test_from = journeys.lengths.copy(), journeys.lengths.copy()
    train_until[before.visitor] = before.position
    test_from[test.visitor] = test.position
    return JourneyParts(
        train_until=train_until,
        test_from=test_from,
        validation=before,
        test=test,
        left_out=dict.fromkeys(LEFT_OUT, 0),
        protocol=(
            "leave one out: each visitor's last item is predicted from all earlier events, the "
            "one before it is for validation; visitors with fewer are learnt from alone; "
            "networks are told the event's moment and action; "
            f"{_repeats(split)}"
        ),
    )


def _newest(time: npt.NDArray[np.int64], share: float) -> int:
    """The moment from which the newest `share` of events begins, as near as whole moments allow."""
    wanted = len(time) * (1 - share)
    place = min(int(wanted), len(time) - 1)
    moment = int(np.partition(time, place)[place])
    later = time[time > moment]
    if len(later) and wanted - (time < moment).sum() > len(time) - len(later) - wanted:
        return int(later.min())
    return moment


def _count(journeys: Journeys, mask: npt.NDArray[np.bool_]) -> Places:
    """(V,) events of each visitor at which `mask` (E,) is true."""
    before = np.concatenate([[0], np.cumsum(mask)])
    count: Places = before[journeys.offsets[1:]] - before[journeys.offsets[:-1]]
    return count


def _moment(time_s: int) -> str:
    return str(np.datetime64(time_s, "s")).replace("T", " ")


def _repeats(split: JourneySplit) -> str:
    if split.repeats:
        return "items met before may be answered"
    return "items met before are left out of answers and of targets"
