"""A model moves from one target to another, and back, through the same gates."""

from __future__ import annotations

import pytest
from tests.serving.rollout.conftest import AS_GOOD, FIRST
from tests.serving.rollout.store import QUICK, Store

from penchant.clients.command import main
from penchant.serving.repository import Repository
from penchant.serving.rollout.promote import promote
from penchant.serving.rollout.reconcile import reconcile
from penchant.serving.rollout.rollback import rollback


def target(store: Store, name: str = "tiny") -> str:
    return Repository(store.home.model_repository).served(name).target


def test_the_same_version_moves_to_another_target_and_later_ones_stay_there(
    served: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    home = served.home.folder
    assert target(served) == "cpu"

    assert reconcile(home=home, target="rehearsal", gates=QUICK) == 0

    assert "publish tiny version 1: on rehearsal instead of cpu" in capsys.readouterr().out
    assert target(served) == "rehearsal"
    (row,) = served.status()
    assert (row.target, row.served) == ("rehearsal", FIRST)
    promote("tiny", version=AS_GOOD, home=home, gates=QUICK)
    assert target(served) == "rehearsal"
    rollback("tiny", home=home)
    assert (served.served(), target(served)) == (FIRST, "rehearsal")
    promote("tiny", version=FIRST, target="cpu", home=home, gates=QUICK)
    assert target(served) == "cpu"


def test_a_challenger_runs_on_the_champion_s_target(served: Store) -> None:
    home = served.home.folder
    reconcile(home=home, target="rehearsal", gates=QUICK)

    promote("tiny", version=AS_GOOD, to="challenger", home=home, gates=QUICK)

    assert target(served, "tiny_challenger") == "rehearsal"


def test_an_unknown_target_is_refused(served: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "--home", str(served.home.folder), "--target", "abacus"]) == 2

    said = capsys.readouterr().err
    assert "target" in said
    assert "rehearsal" in said


def test_a_target_that_cannot_serve_the_version_leaves_what_is_served(served: Store) -> None:
    with pytest.raises(ValueError, match="wait tiny version 2 while version 1 is served"):
        promote("tiny", version=AS_GOOD, target="tensorrt", home=served.home.folder, gates=QUICK)

    assert (served.served(), target(served)) == (FIRST, "cpu")
