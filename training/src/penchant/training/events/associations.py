"""Which items go together, as one Ibis query for each statistic.

Counts decay: a pair that is seen at time s counts 2^(-(reference - s) / half-life), times the
weights of its two actions. With n_ij the decayed count of a pair, n_i and n_j its sums over j and
i, and N that over both, the weight of j for i is

    n_ij / (n_i + 1) * ln(n_ij * N / (n_i * n_j))

for pairs that are seen more often than chance would have it, which is the share of j in what goes
with i times its pointwise mutual information (Church and Hanks, 1990). It is the pair's own term of
the log-likelihood ratio (Dunning, 1993) for each time that i is seen, so that weights of
frequent and of rare items can be added; the 1 shrinks what was seen too little or too long ago,
as in Bell and Koren (2007).
"""

from __future__ import annotations

import math
from typing import Final

import ibis
import ibis.expr.types as ir

from penchant.training.journeys.journey_recipe import AssociationConfig

MOST_ITEMS: Final = 50
"""Items of one basket or session that make pairs, the newest; and items viewed before a purchase.
A session of 10,000 items makes 1,225 pairs, not 50 million."""
AFTER_S: Final = 7 * 86_400
"""A purchase counts as one after a view for so many seconds."""
_SHRINKAGE: Final = 1.0
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_PAIR: Final = ("item_id", "other_id")


def association_pairs(
    events: ir.Table, config: AssociationConfig, statistic: str, *, reference_s: int | None
) -> ir.Table:
    """Pairs of items of one statistic.

    - bought_together: purchases of one order, where there is none of one session.
    - viewed_together: other events of one session, their first ones within `within_hours`.
    - bought_after_viewing: another item bought up to seven days after the item was viewed.

    A pair counts once for an order, a session, or an order after a view. Of an item, the neighbours
    of most weight are kept, of equal ones those seen more often, then those first by id.

    Args:
        events: Canonical events with `session`; later ones than the reference are left out.
        config: Half-life, weights, limits.
        statistic: bought_together, viewed_together or bought_after_viewing.
        reference_s: Moment at which an event counts whole, in seconds since 1970 UTC; None for a
            log without a clock: nothing decays and no time limit holds.

    Returns:
        `item_id`, `other_id`, `weight` (float64, above 0), `support` (int64, times seen).
    """
    weighed = _weighed(events, config, reference_s)
    bought = weighed.filter(weighed.action.isin(config.purchases))
    viewed = weighed.filter(~weighed.action.isin(config.purchases))
    within_s = None if reference_s is None else config.within_hours * _HOUR_S
    if statistic == "bought_together":
        counted = _mirrored(_together(_with_basket(bought), within_s=None), config)
    elif statistic == "viewed_together":
        counted = _mirrored(_together(_in_sessions(viewed), within_s=within_s), config)
    elif statistic == "bought_after_viewing":
        after_s = None if reference_s is None else AFTER_S
        pairs = _bought_after(viewed, _with_basket(bought), after_s=after_s)
        counted = _counted(pairs, config)
    else:
        raise ValueError(
            "statistic: expected bought_together, viewed_together or bought_after_viewing, "
            f"got {statistic!r}"
        )
    return _nearest(_with_weight(counted), config.neighbours)


def popular_items(
    events: ir.Table, config: AssociationConfig, *, reference_s: int | None
) -> ir.Table:
    """Decayed, weighed number of events of each item: `item_id`, `weight` (float64, above 0).

    Args:
        events: Canonical events; later ones than the reference are left out.
        config: Half-life and weights of actions.
        reference_s: As in :func:`association_pairs`.
    """
    weighed = _weighed(events, config, reference_s)
    return weighed.group_by("item_id").aggregate(
        weight=(weighed.action_weight * weighed.decay).sum().round(12)
    )


def _weighed(events: ir.Table, config: AssociationConfig, reference_s: int | None) -> ir.Table:
    """Events with an item, the weight of their action (above 0) and their decay."""
    rows = events.filter(events.item_id.notnull())
    weights = config.action_weights
    weight: ir.Value = ibis.literal(1.0)
    if weights:
        cases = [(action, float(value)) for action, value in weights.items()]
        weight = rows.action.cases(*cases, else_=1.0)
    decay: ir.Value = ibis.literal(1.0)
    if reference_s is not None:
        rows = rows.filter(rows.time_s <= reference_s)
        halves = (ibis.literal(reference_s) - rows.time_s) / (config.half_life_days * _DAY_S)
        decay = (halves * -math.log(2)).exp()
    rows = rows.mutate(action_weight=weight.cast("float64"), decay=decay.cast("float64"))
    return rows.filter(rows.action_weight > 0)


def _with_basket(bought: ir.Table) -> ir.Table:
    session = ibis.literal("session ") + bought.session.cast("string")
    return bought.mutate(basket=ibis.coalesce(bought.order_id, session))


def _in_sessions(viewed: ir.Table) -> ir.Table:
    return viewed.mutate(basket=viewed.session)


def _together(rows: ir.Table, *, within_s: float | None) -> ir.Table:
    """Each two items of a basket once, the lesser id as `item_id`: decayed weight `w` of the pair.

    Of a large basket only the newest MOST_ITEMS items.
    """
    once = rows.group_by("visitor_id", "basket", "item_id").aggregate(
        first_s=rows.time_s.min(), action_weight=rows.action_weight.max(), decay=rows.decay.min()
    )
    newest = ibis.window(
        group_by=[once.visitor_id, once.basket],
        order_by=[once.first_s.desc(), once.action_weight.desc(), once.item_id],
    )
    kept = once.mutate(place=ibis.row_number().over(newest))
    kept = kept.filter(kept.place < MOST_ITEMS).drop("place")
    other = kept.view()
    same = [
        kept.visitor_id == other.visitor_id,
        kept.basket == other.basket,
        kept.item_id < other.item_id,
    ]
    if within_s is not None:
        same.append((kept.first_s - other.first_s).abs() <= within_s)
    joined = kept.join(other, same, rname="{name}_other")
    later = ibis.greatest(joined.decay, joined.decay_other)
    return joined.select(
        item_id=joined.item_id,
        other_id=joined.item_id_other,
        w=joined.action_weight * joined.action_weight_other * later,
    )


def _bought_after(viewed: ir.Table, bought: ir.Table, *, after_s: int | None) -> ir.Table:
    """Each item viewed before an order with each other item of it, once: decayed weight `w`.

    Of many views before a purchase only the newest MOST_ITEMS. Views are numbered and put into
    blocks of that many, so that a purchase is joined with two blocks and not with all views.
    """
    order = [name for name in ("time_s", "action", "item_id") if name in viewed.columns]
    both = viewed.mutate(is_view=ibis.literal(1), basket=ibis.null("string"))
    both = both.union(bought.mutate(is_view=ibis.literal(0)).select(*both.columns))
    so_far = ibis.window(
        group_by=both.visitor_id,
        order_by=[both[name] for name in order],
        preceding=None,
        following=0,
    )
    both = both.mutate(number=both.is_view.sum().over(so_far).cast("int64"))
    views = both.filter(both.is_view == 1)
    views = views.mutate(block=(views.number // MOST_ITEMS).cast("int64")).select(
        "visitor_id", "block", "number", "item_id", "time_s", "action_weight"
    )
    purchases = both.filter(both.is_view == 0)
    purchases = purchases.mutate(block=(purchases.number // MOST_ITEMS).cast("int64"))
    purchases = purchases.union(purchases.mutate(block=purchases.block - 1))
    joined = views.join(purchases, ["visitor_id", "block"], rname="{name}_other")
    near = [
        joined.number_other - joined.number < MOST_ITEMS,
        joined.time_s < joined.time_s_other,
        joined.item_id != joined.item_id_other,
    ]
    if after_s is not None:
        near.append(joined.time_s_other - joined.time_s <= after_s)
    joined = joined.filter(*near)
    once = joined.group_by("visitor_id", "basket", "item_id", "item_id_other").aggregate(
        w=(joined.action_weight * joined.action_weight_other * joined.decay).max()
    )
    return once.select(item_id=once.item_id, other_id=once.item_id_other, w=once.w)


def _counted(pairs: ir.Table, config: AssociationConfig) -> ir.Table:
    """Decayed count and support of the pairs that are seen often enough."""
    counted = pairs.group_by(*_PAIR).aggregate(n=pairs.w.sum(), support=pairs.count())
    return counted.filter(counted.support >= config.least_support)


def _mirrored(pairs: ir.Table, config: AssociationConfig) -> ir.Table:
    """The same of pairs that have no direction, both ways round."""
    counted = _counted(pairs, config)
    back = counted.select(
        item_id=counted.other_id, other_id=counted.item_id, n=counted.n, support=counted.support
    )
    return counted.union(back)


def _with_weight(counted: ir.Table) -> ir.Table:
    """Pairs that are seen more often than chance would have it, with their weight."""
    total = counted.aggregate(total=counted.n.sum())
    items = counted.group_by("item_id").aggregate(n_item=counted.n.sum())
    others = counted.group_by("other_id").aggregate(n_other=counted.n.sum())
    rows = counted.join(items, "item_id").join(others, "other_id").cross_join(total)
    information = (rows.n * rows.total / (rows.n_item * rows.n_other)).ln()
    # Rounded, so that what is equal but for the order of a sum ranks alike each time.
    rows = rows.mutate(weight=(rows.n / (rows.n_item + _SHRINKAGE) * information).round(12))
    return rows.filter(rows.weight > 0).select(*_PAIR, "weight", "support")


def _nearest(pairs: ir.Table, neighbours: int) -> ir.Table:
    best = ibis.window(
        group_by=pairs.item_id,
        order_by=[pairs.weight.desc(), pairs.support.desc(), pairs.other_id],
    )
    ranked = pairs.mutate(place=ibis.row_number().over(best))
    return ranked.filter(ranked.place < neighbours).drop("place")
