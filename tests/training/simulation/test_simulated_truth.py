"""The truth beside a simulated log agrees with its events, within what chance allows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from penchant.training.events.event_log import open_event_log, read_log_recipe
from penchant.training.events.sessions import with_sessions
from penchant.training.simulation.simulated_log import SimulatedLog

VIEWS = """
create table events as select distinct * from read_parquet('{folder}/events.parquet')
    where visitor_id is not null and time < '2025-01-01' and coalesce(item_id, '') <> 'withdrawn';
create table items as from read_parquet('{folder}/items.parquet');
create table customers as from read_parquet('{folder}/customers.parquet');
create table sessions as from read_parquet('{folder}/truth/sessions.parquet');
create table visitors as from read_parquet('{folder}/truth/visitors.parquet');
create table rates as from read_parquet('{folder}/truth/answer_rates.parquet');
create table hours as from read_parquet('{folder}/truth/hours.parquet');
create table seasons as from read_parquet('{folder}/truth/seasons.parquet');
create table pairs as from read_parquet('{folder}/truth/pairs.parquet');
create table within as select sessions.*, events.action, events.item_id, events.time
    from sessions join events on events.visitor_id = sessions.visitor_id
    and epoch(events.time)::bigint between start_s and end_s
"""


@pytest.fixture(scope="module")
def tables(simulated: SimulatedLog) -> Iterator[duckdb.DuckDBPyConnection]:
    """Clean events and the truth in DuckDB; `within` has the events of each session."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(VIEWS.format(folder=simulated.folder))
        yield connection


def number(tables: duckdb.DuckDBPyConnection, query: str) -> float:
    row = tables.execute(query).fetchone()
    assert row is not None
    return float(row[0])


def columns(tables: duckdb.DuckDBPyConnection, query: str) -> list[np.ndarray]:
    return list(tables.execute(query).fetchnumpy().values())


def test_most_views_of_a_session_are_of_its_intent(
    simulated: SimulatedLog, tables: duckdb.DuckDBPyConnection
) -> None:
    share = number(
        tables,
        "select avg((intent = category)::int) from within join items using (item_id) "
        "where action = 'view'",
    )
    config = simulated.facts()["config"]
    assert config["intent"] < share < config["intent"] + 0.06  # strays hit it by chance, too
    empty = "select count(*) from within where intent is null and action in ('view', 'purchase')"
    assert number(tables, empty) == 0


def test_sessions_are_those_that_a_pause_of_30_minutes_finds(
    simulated: SimulatedLog, tables: duckdb.DuckDBPyConnection
) -> None:
    log = open_event_log(read_log_recipe(simulated.recipe))
    numbered = with_sessions(log.events, log.recipe.session_gap_minutes)
    found = numbered.group_by(["visitor_id", "session"]).agg(start_s=numbered.time_s.min())
    starts = {
        tuple(row) for row in found[["visitor_id", "start_s"]].to_pyarrow().to_pandas().to_numpy()
    }
    true = columns(
        tables,
        "select visitor_id, start_s from sessions join visitors using (visitor_id) where not bot",
    )
    true_starts = set(zip(*(column.tolist() for column in true), strict=True))
    # A session whose first view is among the planted errors seems to begin with its second one.
    assert len(true_starts & starts) > 0.98 * len(true_starts)
    humans = number(tables, "select count(*) from visitors where not bot")
    assert len(starts) < len(true_starts) + 0.02 * len(starts) + 10 * humans * 0.002


def test_answer_rates_hold_by_channel_hour_and_segment(tables: duckdb.DuckDBPyConnection) -> None:
    sent, opened, rate = columns(
        tables,
        """
        select count(*) sent, sum(opened::int) opened, sum(open) expected
        from sessions join visitors using (visitor_id)
        join rates on rates.channel = sessions.channel and rates.segment = visitors.segment
            and rates.hour = sessions.hour
        where sent group by rates.channel, rates.segment, open > 0.12
        """,
    )
    spread = np.sqrt(np.maximum(rate * (1 - rate / sent), 1))
    assert len(sent) >= 12
    assert np.abs((opened - rate) / spread).max() < 4.5
    # The events say the same as the truth.
    for action, column in (("sent", "sent"), ("open", "opened"), ("click", "clicked")):
        events = f"select count(*) from events where action = '{action}'"
        assert number(tables, events) == number(tables, f"select sum({column}::int) from sessions")


def test_visits_come_in_the_hours_of_the_segment(tables: duckdb.DuckDBPyConnection) -> None:
    visits, expected = columns(
        tables,
        """
        select count(*) visits, any_value(share) * sum(count(*)) over (partition by segment) as e
        from sessions join visitors using (visitor_id) join hours using (segment, hour)
        where not sent group by segment, hour having any_value(share) > 0.003
        """,
    )
    # Visits too close to another one are left out, the more where there are many.
    assert np.corrcoef(visits, expected)[0, 1] > 0.97
    assert np.abs(visits / expected - 1).mean() < 0.2
    peak = number(tables, "select arg_max(hour, share) from hours where segment = 'night_owls'")
    assert peak % 24 in (22, 23, 0)


def test_coats_are_for_autumn_and_sandals_for_early_summer(
    tables: duckdb.DuckDBPyConnection,
) -> None:
    month = """
        select arg_max(m, n) from (select month(time) m, avg((category = '{}')::int) n
        from events join items using (item_id) where action = 'view' group by m)
    """
    assert number(tables, month.format("coats")) in (9, 10, 11, 12)
    assert number(tables, month.format("sandals")) in (5, 6, 7)
    weight = "select max(weight) / min(weight) from seasons where category = '{}'"
    assert number(tables, weight.format("coats")) > 10
    assert number(tables, weight.format("jeans")) == pytest.approx(1)


def test_planted_pairs_are_bought_together(tables: duckdb.DuckDBPyConnection) -> None:
    lift, chance = columns(
        tables,
        """
        with lines as (select distinct order_id, item_id from events where action = 'purchase'),
        orders as (select count(distinct order_id) n from lines),
        share as (select item_id, count(*) / any_value(n) share from lines, orders group by 1)
        select avg((second.item_id is not null)::int) / any_value(share) as lift,
            avg((second.item_id is not null)::int) as chance
        from pairs join lines as first on first.item_id = pairs.item_id
        left join lines as second
            on second.order_id = first.order_id and second.item_id = pairs.other_id
        join share on share.item_id = pairs.other_id
        where kind = 'bought_together' group by pairs.item_id
        """,
    )
    assert len(lift) == 24
    assert np.median(lift) > 10
    assert np.median(chance) > 0.3  # half of the orders that are for the first item


def test_planted_items_are_bought_after_a_view(
    simulated: SimulatedLog, tables: duckdb.DuckDBPyConnection
) -> None:
    viewed_first, other = columns(
        tables,
        """
        select avg(bought) filter (seen) as seen, avg(bought) filter (not seen) as other from (
            select pairs.item_id, visitor_id, start_s, bool_or(within.item_id = pairs.item_id
                and action = 'view') seen,
                max((within.item_id = other_id and action = 'purchase')::int) bought
            from pairs, within where kind = 'bought_after_viewing' and purchased
            group by all
        ) group by item_id
        """,
    )
    assert len(viewed_first) == 24
    rate = simulated.facts()["config"]["pair_rate"]
    assert abs(viewed_first.mean() - rate) < 0.08
    assert viewed_first.mean() > 10 * other.mean()


def test_purchases_happen_with_the_probability_that_is_told(
    tables: duckdb.DuckDBPyConnection,
) -> None:
    chance, bought = columns(
        tables,
        "select purchase_probability p, purchased::int b from sessions "
        "where intent is not null and channel <> 'store'",
    )
    for tenth in np.array_split(np.argsort(chance), 10):
        expected = chance[tenth].mean()
        error = np.sqrt(expected * (1 - expected) / len(tenth))
        assert abs(bought[tenth].mean() - expected) < 4.5 * error
    assert roc_auc_score(bought, chance) > 0.65  # there is something to be found
    store = "select min(purchased::int) from sessions where channel = 'store'"
    assert number(tables, store) == 1
    orders = "select count(distinct order_id) from events where action = 'purchase'"
    assert number(tables, orders) == number(tables, "select count(order_id) from sessions")


def test_bots_view_much_and_buy_nothing(
    simulated: SimulatedLog, tables: duckdb.DuckDBPyConnection
) -> None:
    bots = number(tables, "select sum(bot::int) from visitors")
    assert bots == simulated.facts()["bots"] > 0
    views, purchases = columns(
        tables,
        "select count(*) n, count(*) filter (action <> 'view') as other from events "
        "join visitors using (visitor_id) where bot group by visitor_id",
    )
    assert views.min() > 250
    assert purchases.max() == 0


def test_nobody_is_written_to_without_consent_or_after_unsubscribing(
    tables: duckdb.DuckDBPyConnection,
) -> None:
    against = """
        select count(*) from events left join customers using (visitor_id)
        where action = 'sent' and channel <> 'ad' and consent is distinct from true
    """
    assert number(tables, against) == 0
    later = """
        select count(*) from events as sent join events as gone using (visitor_id, channel)
        where sent.action = 'sent' and gone.action = 'unsubscribe' and sent.time > gone.time
    """
    assert number(tables, later) == 0
    assert number(tables, "select count(*) from events where action = 'unsubscribe'") > 0
    consent = "select avg((consent is null)::int) from customers"
    assert number(tables, consent) == pytest.approx(0.1, abs=0.02)


def test_returns_cancel_what_was_bought(tables: duckdb.DuckDBPyConnection) -> None:
    orphans = """
        select count(*) from events as back left join events as bought
            on bought.action = 'purchase' and bought.order_id[2:] = back.order_id[2:]
            and bought.item_id = back.item_id and bought.quantity = -back.quantity
            and bought.time < back.time
        where back.action = 'return' and (bought.time is null or back.order_id[1] <> 'c')
    """
    assert number(tables, orphans) == 0
    assert number(tables, "select count(*) from events where action = 'return'") > 100


def test_cold_items_are_in_the_catalogue_only(
    simulated: SimulatedLog, tables: duckdb.DuckDBPyConnection
) -> None:
    cold = set(simulated.facts()["cold_items"])
    assert 0.02 * 600 < len(cold) < 0.06 * 600
    met, known = (
        set(columns(tables, f"select distinct item_id from {table}")[0].tolist())
        for table in ("events where item_id is not null", "items")
    )
    assert cold <= known
    assert not cold & met
    assert len(known - cold - met) < 0.05 * len(known)


def test_titles_and_queries_come_in_several_scripts(tables: duckdb.DuckDBPyConnection) -> None:
    titles = "".join(columns(tables, "select title from items")[0].tolist())
    queries = "".join(
        columns(tables, "select distinct query from events where query is not null")[0].tolist()
    )
    for text in (titles, queries):
        scripts = {unicodedata.name(letter, " ").split()[0] for letter in set(text)}
        assert {"LATIN", "ARABIC"} <= scripts
        assert {"ł", "š", "پ", "ق"} <= set(text)
