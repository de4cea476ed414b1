"""How good the answers beside the items are: category, channel, hour and purchase.

Channel and hour are those of the next visit, a purchase is one in this session. Each is compared
with its prior, the shares of all events and visits before the test part, which say the same of
everybody. The question is put right after the visitor's last event, so that neither the moment nor
the action of what comes next gives anything away.

Letters: T cases, M possible answers, Z hidden numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from penchant.training.bootstrap import bootstrap, drawn_means, interval
from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.fit import training_batches
from penchant.training.journeys.head_priors import Floats, HeadPriors, head_priors
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts, events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.network_states import NetworkStates, states_before
from penchant.training.journeys.targets import Targets, sample_of, targets_of

INTENT: Final = "next category"
CHANNEL: Final = "next channel"
HOUR: Final = "next hour"
PURCHASE: Final = "purchase"
HEADS: Final = (INTENT, CHANNEL, HOUR, PURCHASE)
"""Names of the answers beside the items."""
MOST_CASES: Final = 10_000
"""Most visits, and most moments after which a purchase may come, that are looked at; of more, a
sample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadCases:
    """What came in some cases of the test part, and what was expected."""

    targets: Targets
    """T events that were to come; the position says how many were known."""
    label: npt.NDArray[np.int64]
    """(T,) which of the possible answers came."""
    network: Floats
    """(T, M) probabilities of the network."""
    prior: Floats
    """(M,) probabilities that are the same for all."""

    def losses(self, shares: Floats) -> Floats:
        """(T,) logloss, in nats, of probabilities (T, M) or (M,)."""
        each = np.arange(len(self.label))
        chosen = np.broadcast_to(shares, (len(each), shares.shape[-1]))[each, self.label]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)), np.float64)


@dataclass(frozen=True, kw_only=True)
class HeadQuality:
    """How much more than the prior the network knows of the cases."""

    cases: int
    """Number of cases T."""
    visitors: int
    """Number of visitors they belong to."""
    logloss: float
    """Mean of the network's, in nats."""
    prior_logloss: float
    """Mean of the prior's."""
    gain: float
    """By how much the prior's is greater; above 0 the network is better."""
    low: float
    """Lower end of the gain's 95 % interval, by a bootstrap over visitors."""
    high: float
    """Upper end."""
    auc: float | None = None
    """Of a purchase, where both answers occur; the prior's is .5."""
    auc_low: float | None = None
    """Lower end of its 95 % interval."""
    auc_high: float | None = None
    """Upper end."""


@dataclass(frozen=True, kw_only=True)
class HeadQualities:
    """The answers beside the items, by name."""

    found: dict[str, HeadQuality] = field(default_factory=dict)
    """Those that could be looked at."""
    absent: dict[str, str] = field(default_factory=dict)
    """The others -> why not."""


def head_cases(
    states: NetworkStates,
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    recipe: JourneyRecipe,
) -> dict[str, HeadCases]:
    """What each head that the log could teach says of the test part.

    The next category is looked at on the targets of the states; channel and hour on the beginnings
    of visits; a purchase after every event, those included after which nothing comes. It is looked
    at where the test part begins at one moment: after a visitor's last event there is none.

    Args:
        states: Of test targets, asked right after the event before each.
        journeys: All journeys.
        catalogue: Categories of items.
        parts: How the journeys are divided.
        recipe: Which actions are purchases, and the seed of samples.
    """
    net = states.net
    earlier = replace(parts, train_until=parts.test_from)
    before_test = training_batches(journeys, earlier, recipe)
    priors = head_priors(before_test, catalogue.category_of_code, net.sizes)
    in_test = ~events_before(journeys, parts.test_from)
    cases = {}
    if catalogue.categories:
        cases[INTENT] = _intents(states, journeys, catalogue, priors)
    visits = _visits(before_test, in_test, net, seed=recipe.fit.seed)
    if net.channel is not None:
        cases[CHANNEL] = _channels(visits, journeys, priors)
    if net.hour is not None:
        cases[HOUR] = HeadCases(
            targets=visits.targets,
            label=np.floor(before_test.hour[visits.targets.rows(journeys)]).astype(np.int64),
            network=shares_of(net.hour_logits, visits.hidden),
            prior=priors.hour,
        )
    if net.purchase is not None and parts.test_from_s is not None:
        cases[PURCHASE] = _purchases(net, before_test, in_test, priors, seed=recipe.fit.seed)
    return {name: each for name, each in cases.items() if len(each.label)}


def head_qualities(cases: Mapping[str, HeadCases], net: JourneyNet, *, seed: int) -> HeadQualities:
    """Compare the network with the prior on its cases, and say which heads have none."""
    has = {
        INTENT: (net.sizes.num_category_codes > FIRST_CODE, "the items have no categories"),
        CHANNEL: (net.channel is not None, "the log has no channels"),
        HOUR: (net.hour is not None, "the log has no clock"),
        PURCHASE: (net.purchase is not None, "no action of the log is a purchase"),
    }
    return HeadQualities(
        found={
            name: _quality(each, with_auc=name == PURCHASE, seed=seed)
            for name, each in cases.items()
        },
        absent={
            name: "the test part has no case of it" if is_known else why
            for name, (is_known, why) in has.items()
            if name not in cases
        },
    )


def _visits(
    batches: JourneyBatches, in_test: npt.NDArray[np.bool_], net: JourneyNet, *, seed: int
) -> NetworkStates:
    """States before the visits of the test part, those of new visitors left out."""
    begun = targets_of(batches.journeys, in_test & batches.opens_visit)
    some = sample_of(begun.take(begun.position > 0), MOST_CASES, seed=seed)
    return states_before(net, batches.journeys, some, action=1)


def _intents(
    states: NetworkStates, journeys: Journeys, catalogue: Catalogue, priors: HeadPriors
) -> HeadCases:
    """Of the targets that have a category."""
    net = states.net
    category = catalogue.category_of_code[journeys.item[states.targets.rows(journeys)]]
    known = category >= FIRST_CODE
    prior = priors.intent[FIRST_CODE:]
    return HeadCases(
        targets=states.targets.take(known),
        label=category[known].astype(np.int64) - FIRST_CODE,
        network=shares_of(
            lambda hidden: net.intent_logits(hidden)[:, FIRST_CODE:],
            states.hidden[torch.from_numpy(known)],
        ),
        prior=prior / prior.sum(),
    )


def _channels(visits: NetworkStates, journeys: Journeys, priors: HeadPriors) -> HeadCases:
    """Of the visits that have a channel."""
    channel = np.asarray(journeys.channel[visits.targets.rows(journeys)]).astype(np.int64) - 1
    known = channel >= 0
    return HeadCases(
        targets=visits.targets.take(known),
        label=channel[known],
        network=shares_of(visits.net.channel_logits, visits.hidden[torch.from_numpy(known)]),
        prior=priors.channel,
    )


def _purchases(
    net: JourneyNet,
    before_test: JourneyBatches,
    in_test: npt.NDArray[np.bool_],
    priors: HeadPriors,
    *,
    seed: int,
) -> HeadCases:
    """Whether a purchase follows in the session, asked right after events of the test part."""
    journeys = before_test.journeys
    events = sample_of(targets_of(journeys, in_test), MOST_CASES, seed=seed)
    after = Targets(visitor=events.visitor, position=events.position + 1)
    states = states_before(net, journeys, after, action=1)
    follows = replace(before_test, stop=journeys.offsets[1:]).purchase_follows
    with torch.inference_mode():
        chance = torch.sigmoid(net.purchase_logit(states.hidden).double())[:, 0].numpy()
    return HeadCases(
        targets=after,
        label=follows[events.rows(journeys)].astype(np.int64),
        network=np.column_stack([1 - chance, chance]),
        prior=np.array([1 - priors.purchase, priors.purchase]),
    )


def shares_of(logits: Callable[[Tensor], Tensor], hidden: Tensor) -> Floats:
    """(T, M) probabilities by the logits that a head reads off hidden states (T, Z)."""
    with torch.inference_mode():
        shares: Floats = torch.softmax(logits(hidden).double(), -1).numpy()
    return shares


def _quality(cases: HeadCases, *, with_auc: bool, seed: int) -> HeadQuality:
    network, prior = cases.losses(cases.network), cases.losses(cases.prior)
    visitor = cases.targets.visitor
    ends = interval(drawn_means(prior - network, visitor, seed=seed))
    auc = {}
    if with_auc and 0 < cases.label.sum() < len(cases.label):
        chance = cases.network[:, 1]
        draws = bootstrap(cases.label, {"network": chance}, group=visitor, seed=seed)
        around = interval(draws["network"]["auc"])
        auc = {
            "auc": float(roc_auc_score(cases.label, chance)),
            "auc_low": around.low,
            "auc_high": around.high,
        }
    return HeadQuality(
        cases=len(network),
        visitors=len(np.unique(visitor)),
        logloss=float(network.mean()),
        prior_logloss=float(prior.mean()),
        gain=float((prior - network).mean()),
        low=ends.low,
        high=ends.high,
        **auc,
    )
