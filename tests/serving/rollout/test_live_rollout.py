"""The whole rollout on a real Triton, with callers who keep asking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.packages import raw_rows
from tests.serving.rollout.conftest import AS_GOOD, FIRST, WORSE, WRONG
from tests.serving.rollout.store import QUICK, Store, copy_of
from tests.serving.servers import wait_until
from tests.serving.test_wire import answers, to_request
from tritonclient.grpc import service_pb2_grpc

from penchant.clients.client import PropensityClient
from penchant.clients.home import Home
from penchant.serving.health import Watch
from penchant.serving.registry import CHALLENGER, CHAMPION
from penchant.serving.repository import Repository
from penchant.serving.rollout.promote import promote
from penchant.serving.rollout.reconcile import reconcile
from penchant.serving.rollout.rollback import rollback
from penchant.serving.supervisor import Supervisor

ROWS = raw_rows(4)


@dataclass
class Callers:
    """What callers of the champion saw."""

    versions: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def asking(address: str, callers: int = 3) -> Iterator[Callers]:
    """Callers ask the champion without pause, each on a connection of its own."""
    seen, stop = Callers(), threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not stop.is_set():
                try:
                    got = answers(stub.ModelInfer(to_request(ROWS), timeout=30))
                    seen.versions.append(int(got["version"][0, 0]))
                except grpc.RpcError as error:
                    seen.failures.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class Live:
    """A store whose first version a real server serves."""

    store: Store
    server: Supervisor
    lines: list[str]

    @property
    def home(self) -> Path:
        return self.store.home.folder

    def promote(self, version: int, **options: Any) -> str:
        return promote("tiny", version=version, home=self.home, gates=QUICK, **options)


@pytest.fixture
def live(registered_and_served: Home, tmp_path: Path) -> Iterator[Live]:
    store, lines = copy_of(registered_and_served, tmp_path / "home"), list[str]()
    server = Supervisor(
        Repository(store.home.model_repository),
        store.home,
        watch=Watch(interval_s=0.1),
        report=lines.append,
    )
    server.start()
    try:
        yield Live(store, server, lines)
    finally:
        server.stop()


def test_promotion_and_rollback_fail_no_request(live: Live) -> None:
    with asking(live.server.address) as seen:
        for _ in range(2):
            live.promote(AS_GOOD)
            wait_until(lambda: seen.versions[-1] == AS_GOOD, "the new version")
            rollback("tiny", home=live.home)
            wait_until(lambda: seen.versions[-1] == FIRST, "the old version")

    assert seen.failures == []
    assert set(seen.versions) == {FIRST, AS_GOOD}
    assert live.server.num_restarts == 0


def test_versions_that_are_refused_are_never_seen_by_a_caller(live: Live) -> None:
    with asking(live.server.address, callers=2) as seen:
        for version in (WORSE, WRONG):
            with pytest.raises(ValueError, match=f"refuse tiny version {version}"):
                live.promote(version)

    assert (set(seen.versions), seen.failures) == ({FIRST}, [])


def test_the_challenger_answers_beside_the_champion_until_it_is_withdrawn(live: Live) -> None:
    live.promote(AS_GOOD, to="challenger")
    with PropensityClient(live.server.address, model="tiny_challenger", deadline_s=30) as client:
        scores = client.score(rows_of_columns())
        assert set(scores.version.tolist()) == {AS_GOOD}
    champion, challenger = live.store.status()
    assert (champion.health, challenger.health) == ("answers", "answers")
    assert (champion.served, challenger.served) == (FIRST, AS_GOOD)

    live.store.rollout().desired.unpoint("tiny", CHALLENGER)
    assert reconcile(home=live.home, gates=QUICK) == 0

    wait_until(lambda: "tiny_challenger is withdrawn" in live.lines, "the withdrawal")
    assert live.server.models == ("tiny",)
    with grpc.insecure_channel(live.server.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = to_request(ROWS)
        request.model_name = "tiny_challenger"
        with pytest.raises(grpc.RpcError, match="tiny_challenger"):
            stub.ModelInfer(request, timeout=30)
    live.promote(AS_GOOD, to="challenger")
    wait_until(lambda: "tiny_challenger" in live.server.models, "the challenger's return")
    assert live.server.num_restarts == 0


def test_a_version_that_only_the_server_finds_wrong_is_refused(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its preflight passes; what the server loads is broken on the way."""
    publish = Repository.publish

    def broken(self: Repository, *args: Any, **options: Any) -> int:
        number = publish(self, *args, **options)
        if options["version"] == AS_GOOD:
            # As if the file had been damaged between the check and the load.
            path = self.folder / "tiny" / str(number) / "model.onnx"
            path.write_bytes(path.read_bytes()[:-100])
        return number

    monkeypatch.setattr(Repository, "publish", broken)
    with (
        asking(live.server.address, callers=1) as seen,
        pytest.raises(ValueError, match="the server took it back"),
    ):
        live.promote(AS_GOOD)

    assert (set(seen.versions), seen.failures) == ({FIRST}, [])
    assert live.store.model().aliases == {CHAMPION: FIRST}
    assert live.store.served() == FIRST


def rows_of_columns() -> list[dict[str, object]]:
    return [
        {
            "age_days": float(ROWS["numeric"][at, 0]),
            "basket_value": float(ROWS["numeric"][at, 1]),
            "channel": str(ROWS["categorical"][at, 0]),
            "country": str(ROWS["categorical"][at, 1]),
            "interests": [str(word) for word in ROWS["multi_interests"][at] if word],
        }
        for at in range(4)
    ]
