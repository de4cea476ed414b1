"""Promotion, rollback and status, on top of the reconciler."""

from __future__ import annotations

import pytest
from tests.serving.rollout.conftest import AS_GOOD, FIRST, WORSE, WRONG
from tests.serving.rollout.store import QUICK, Store

from penchant.serving.package import ModelPackage
from penchant.serving.publish import publish
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.gates import Gates, QualityGate
from penchant.serving.rollout.promote import promote
from penchant.serving.rollout.reconcile import reconcile
from penchant.serving.rollout.roles import as_served
from penchant.serving.rollout.rollback import rollback
from penchant.serving.rollout.status import status


def aliases(store: Store) -> dict[str, int]:
    return dict(store.model().aliases)


def test_the_challenger_becomes_champion_and_is_challenger_no_more(served: Store) -> None:
    home = served.home.folder
    line = promote("tiny", version=AS_GOOD, to="challenger", home=home, gates=QUICK)
    assert line == "challenger of tiny is version 2"
    assert served.served("tiny_challenger") == AS_GOOD

    assert promote("tiny", home=home, gates=QUICK) == "champion of tiny is version 2"

    assert aliases(served) == {CHAMPION: AS_GOOD}
    assert (served.served(), served.served("tiny_challenger")) == (AS_GOOD, None)


def test_a_refused_promotion_leaves_aliases_and_server_as_they_were(served: Store) -> None:
    served.point(CHALLENGER, WORSE)

    with pytest.raises(ValueError, match=r"refuse tiny version 3 .* auc is worse"):
        promote("tiny", home=served.home.folder, gates=QUICK)

    assert aliases(served) == {CHAMPION: FIRST, CHALLENGER: WORSE}
    assert served.served() == FIRST


def test_a_version_that_does_not_exist_is_named(served: Store) -> None:
    with pytest.raises(ValueError, match=r"got 9; the newest is 5"):
        promote("tiny", version=9, home=served.home.folder)
    with pytest.raises(ValueError, match=r"'tiny' has no challenger.*1, 2, 3, 4, 5"):
        promote("tiny", home=served.home.folder)
    assert aliases(served) == {CHAMPION: FIRST}


def test_the_champion_is_not_made_its_own_challenger(served: Store) -> None:
    with pytest.raises(ValueError, match="expected another than the champion, got version 1"):
        promote("tiny", version=FIRST, to="challenger", home=served.home.folder)

    assert (aliases(served), served.served()) == ({CHAMPION: FIRST}, FIRST)


def test_only_the_alias_moves_where_asked_and_a_reconciler_does_the_rest(served: Store) -> None:
    home = served.home.folder
    promote("tiny", version=AS_GOOD, alias_only=True, home=home)
    assert (aliases(served), served.served()) == ({CHAMPION: AS_GOOD}, FIRST)

    assert reconcile(home=home, gates=QUICK) == 0

    assert served.served() == AS_GOOD


def test_what_the_evidence_does_not_decide_is_held_until_a_person_accepts_it(
    served: Store,
) -> None:
    strict = Gates(quality=QualityGate(auc_drop=0.0, rounds=200), latency=QUICK.latency)
    home = served.home.folder

    with pytest.raises(ValueError, match=r"hold tiny version 2 .*undecided"):
        promote("tiny", version=AS_GOOD, home=home, gates=strict)
    assert (aliases(served), served.served()) == ({CHAMPION: FIRST}, FIRST)
    assert served.model().versions[AS_GOOD].tags[record.OUTCOME] == "undecided"

    # As challenger it may gather evidence.
    promote("tiny", version=AS_GOOD, to="challenger", home=home, gates=strict)
    assert served.served("tiny_challenger") == AS_GOOD
    promote("tiny", accept_undecided=True, home=home, gates=strict)
    assert served.served() == AS_GOOD
    assert " on " in served.model().versions[AS_GOOD].tags[record.ACCEPTED]


def test_acceptance_does_not_serve_what_is_worse(served: Store) -> None:
    with pytest.raises(ValueError, match="auc is worse"):
        promote("tiny", version=WORSE, accept_undecided=True, home=served.home.folder, gates=QUICK)


def test_undecided_may_be_configured_to_pass(served: Store) -> None:
    lax = Gates(
        quality=QualityGate(auc_drop=0.0, rounds=200), latency=QUICK.latency, undecided="pass"
    )

    promote("tiny", version=AS_GOOD, home=served.home.folder, gates=lax)

    assert served.served() == AS_GOOD


def test_rollback_serves_what_was_served_before_without_comparing(served: Store) -> None:
    home = served.home.folder
    promote("tiny", version=AS_GOOD, home=home, gates=QUICK)

    line = rollback("tiny", home=home)

    assert line == "champion of tiny is version 1 again, instead of version 2"
    assert (aliases(served), served.served()) == ({CHAMPION: FIRST}, FIRST)
    assert served.model().versions[AS_GOOD].tags[record.ROLLED_BACK]
    # It leads back, not forth again.
    with pytest.raises(ValueError, match="version 1 is the first"):
        rollback("tiny", home=home)
    assert served.served() == FIRST


def test_rollback_goes_on_going_back(served: Store) -> None:
    home = served.home.folder
    lax = Gates(quality=QualityGate(enabled=False), latency=QUICK.latency)
    for version in (AS_GOOD, WORSE):
        promote("tiny", version=version, home=home, gates=lax)

    rollback("tiny", home=home)
    assert served.served() == AS_GOOD
    rollback("tiny", home=home)
    assert served.served() == FIRST


def test_moving_the_alias_back_in_mlflow_is_a_rollback_too(store: Store) -> None:
    home = store.home.folder
    for version in (WORSE, FIRST):
        promote("tiny", version=version, home=home, gates=QUICK)

    store.point(CHAMPION, WORSE)

    assert reconcile(home=home, gates=QUICK) == 0
    assert store.served() == WORSE


def test_rollback_takes_an_alias_back_that_was_never_followed(served: Store) -> None:
    served.point(CHAMPION, WRONG)
    assert reconcile(home=served.home.folder, gates=QUICK) == 1

    rollback("tiny", home=served.home.folder)

    assert (aliases(served), served.served()) == ({CHAMPION: FIRST}, FIRST)


def test_publish_promotes_the_newest(served: Store) -> None:
    with pytest.raises(ValueError, match=r"version 5 .*not published"):
        publish("tiny", home=served.home.folder, gates=QUICK)
    line = publish("tiny", version=AS_GOOD, home=served.home.folder, gates=QUICK)

    assert line.startswith("published tiny version 2 as ")
    assert aliases(served) == {CHAMPION: AS_GOOD}


def test_status_says_what_is_wanted_served_and_refused(
    served: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    home = served.home.folder
    assert status(home=home) == 0
    served.point(CHALLENGER, WRONG)
    reconcile(home=home, gates=QUICK)

    assert status(home=home) == 1

    champion, challenger = served.status()
    assert (champion.wanted, champion.served, champion.health) == (FIRST, FIRST, "no server runs")
    assert (champion.target, champion.refusal) == ("cpu", "")
    assert champion.since
    assert (challenger.wanted, challenger.served, challenger.health) == (WRONG, None, "not served")
    assert challenger.refusal.startswith("version 5 refused at ")
    said = capsys.readouterr().out
    assert "challenger" in said
    assert "PyTorch's golden answers" in said


def test_status_shows_what_is_served_while_the_registry_is_away(
    served: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(home=served.home.folder, tracking_uri="http://127.0.0.1:9") == 1

    said = capsys.readouterr().out
    assert "What is wanted is not known" in said
    assert "tiny" in said
    assert "no server runs" in said


def test_status_shows_what_was_published_without_the_registry(
    served: Store, tiny_package: ModelPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    package = as_served(tiny_package, CHALLENGER)
    Repository(served.home.model_repository).publish(package, version=7)
    assert [row.served for row in served.status()] == [FIRST, 7]
    (served.home.model_repository / "tiny_challenger").rename(
        served.home.model_repository / "stray"
    )

    status(home=served.home.folder)

    assert "stray" in capsys.readouterr().out
