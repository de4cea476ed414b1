"""JourneyModel: a fitted network with the association statistics beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch

from penchant.training.headroom import padded, with_room
from penchant.training.journeys.association_fit import (
    fit_associations,
    fit_associations_of_journeys,
)
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import Blend, BlendModule, blended_scorer, fit_blend
from penchant.training.journeys.code_parts import codes_at_once
from penchant.training.journeys.fit import FittedJourneys
from penchant.training.journeys.head_quality import (
    HEADS,
    HeadQualities,
    head_cases,
    head_qualities,
)
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.journey_evaluation import (
    MOST_TARGETS,
    NETWORK_ALONE,
    SERVED,
    UNTOLD,
    JourneyEvaluation,
    evaluate_journeys,
)
from penchant.training.journeys.journey_packaging import journey_contract
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import events_before
from penchant.training.journeys.network_states import states_before
from penchant.training.journeys.ranking import Scorer
from penchant.training.journeys.rivals import rival_scorers
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.journeys.targets import Places, Targets, sample_of

ITEM_STEP: Final = 64
"""Tables of items have rows in multiples of this."""
CATEGORY_STEP: Final = 16
"""Tables of categories have rows in multiples of this."""


@dataclass(frozen=True, kw_only=True)
class JourneyModel:
    """What answers: the network, and statistics by weight."""

    fitted: FittedJourneys
    """The network."""
    blend: Blend
    """What the statistics weigh."""
    tables: AssociationTables
    """Statistics of all events before the test part, which are served."""

    def network(self, data: JourneyData) -> Scorer:
        """The network alone, to rank by."""
        return partial(self.fitted.scores, data.journeys)

    def scorer(self, data: JourneyData) -> Scorer:
        """What is served, to rank by."""
        network = self.network(data) if self.blend.network else None
        return blended_scorer(self.blend, network, self.tables, data.journeys)


def with_statistics(
    fitted: FittedJourneys, data: JourneyData, recipe: JourneyRecipe
) -> JourneyModel:
    """Count statistics of the training part, weigh them on validation targets, and count anew.

    Args:
        fitted: The network.
        data: What it was fitted on.
        recipe: Which statistics, and whether one of them answers alone.
    """
    blend = fit_blend(
        partial(fitted.scores, data.journeys),
        _statistics(data, recipe, data.parts.train_until),
        data.journeys,
        data.parts.validation,
        repeats=recipe.split.repeats,
        alone=recipe.associations.alone,
        seed=recipe.fit.seed,
    )
    tables = _statistics(data, recipe, data.parts.test_from)
    return JourneyModel(fitted=fitted, blend=blend, tables=tables)


def serve_journeys(model: JourneyModel, data: JourneyData, recipe: JourneyRecipe) -> ServedJourney:
    """The model as one PyTorch module, with masks and ranking, and with room for later items."""
    contract = journey_contract(recipe, data.journeys, data.catalogue)
    catalogue = data.catalogue
    num_codes = with_room(catalogue.num_codes, step=ITEM_STEP)
    tables = model.tables.with_room(num_codes)
    blend = BlendModule(model.blend, tables, num_known=catalogue.num_codes)
    return ServedJourney(
        model.fitted.net,
        category_of_code=padded(torch.from_numpy(catalogue.category_of_code), num_codes),
        num_items=contract.num_items,
        num_intents=contract.num_intents,
        num_categories=with_room(catalogue.num_category_codes, step=CATEGORY_STEP),
        blend=blend,
        most_codes=codes_at_once(contract.max_batch_size, tables=max(blend.num_pairs, 1)),
        repeats=recipe.split.repeats,
    )


def assess_journeys(
    model: JourneyModel, data: JourneyData, recipe: JourneyRecipe
) -> JourneyEvaluation:
    """Rank the test targets by what is served, by the network alone and by every baseline.

    Of more than `MOST_TARGETS` a sample is ranked, which is the same for every model.
    """
    repeats, seed = recipe.split.repeats, recipe.fit.seed
    targets = sample_of(data.parts.test, MOST_TARGETS, seed=seed)
    ours, heads = _ours(model, data, recipe, targets)
    rivals = rival_scorers(
        data.journeys,
        data.parts,
        data.catalogue.num_codes,
        repeats=repeats,
        tables=model.tables,
        seed=seed,
    )
    return evaluate_journeys(
        ours | rivals,
        data.journeys,
        data.catalogue,
        data.parts,
        targets=targets,
        repeats=repeats,
        heads=heads,
        seed=seed,
    )


def _ours(
    model: JourneyModel, data: JourneyData, recipe: JourneyRecipe, targets: Targets
) -> tuple[dict[str, Scorer], HeadQualities]:
    """What is served and the network alone, to rank the targets by; the answers beside the items.

    The network reads the histories twice: to be asked with all that is known of the targets, and
    with nothing.
    """
    if not model.blend.network:
        why = "the network is not trained, what is said of it is the same for all"
        return {SERVED: model.scorer(data)}, HeadQualities(absent=dict.fromkeys(HEADS, why))
    net, journeys, seed = model.fitted.net, data.journeys, recipe.fit.seed
    action = recipe.target_action or journeys.actions[0]
    told = states_before(net, journeys, targets)
    untold = states_before(net, journeys, targets, action=journeys.actions.index(action) + 1)
    ours = {
        name: blended_scorer(model.blend, states.scores, model.tables, journeys)
        for name, states in ((SERVED, told), (UNTOLD, untold))
    }
    cases = head_cases(untold, journeys, data.catalogue, data.parts, recipe)
    return ours | {NETWORK_ALONE: told.scores}, head_qualities(cases, net, seed=seed)


def _statistics(data: JourneyData, recipe: JourneyRecipe, until: Places) -> AssociationTables:
    """Those of the `until` (V,) oldest events of each visitor."""
    journeys, config = data.journeys, recipe.associations
    if recipe.split.by != "time":
        return fit_associations_of_journeys(journeys, until, config, data.catalogue)
    later = np.asarray(journeys.time_s)[~events_before(journeys, until)]
    return fit_associations(data.log, config, data.catalogue, before_s=int(later.min()))
