"""More requests than an ensemble can take: refused, never left without an answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc
import pytest
from tests.packages import raw_rows
from tests.serving.servers import ask
from tests.serving.test_wire import to_request
from tritonclient.grpc import service_pb2_grpc

from penchant.serving.health import Watch
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.supervisor import running_server
from penchant.serving.targets import rehearsal

NUM_REQUESTS = 120
SLOW = '        """Answer each request, in order'


@pytest.mark.parametrize("step", ["encode", "net", "explain", "decode"])
def test_whichever_step_is_slow_every_request_is_answered(
    tiny_package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A queue with a limit behind encode would make Triton 2.51 crash, or never answer."""
    monkeypatch.setattr(rehearsal, "MAX_QUEUE_SIZE", 4)
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=1, target=rehearsal.RehearsalTarget())
    runner = repository.folder / f"tiny_{step}_1" / "1" / "model.py"
    text = runner.read_text()
    assert text.count(SLOW) == 1
    runner.write_text(
        text.replace(SLOW, f"        import time; time.sleep(.03 * len(requests))\n{SLOW}")
    )

    with running_server(repository.folder, watch=Watch(canary_every_s=3600)) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = to_request(raw_rows(2))
            calls = [stub.ModelInfer.future(request, timeout=20) for _ in range(NUM_REQUESTS)]
            codes = Counter(call.code() for call in calls)

            assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            assert ask(stub) == 1
        assert server.num_restarts == 0
