from __future__ import annotations

import json
import subprocess
import sys

import penchant.clients


def test_public_names() -> None:
    assert sorted(penchant.clients.__all__) == [
        "AccessDenied",
        "AsyncJourneyClient",
        "AsyncPropensityClient",
        "ClientClosed",
        "Contract",
        "DeadlineExceeded",
        "Event",
        "Histories",
        "History",
        "InvalidAnswer",
        "InvalidRequest",
        "InvalidRows",
        "JourneyClient",
        "JourneyContract",
        "ModelNotFound",
        "Overloaded",
        "PenchantError",
        "PropensityClient",
        "Reason",
        "Recommendation",
        "Recommendations",
        "Scores",
        "ServerError",
        "ServerUnavailable",
        "Tls",
    ]
    assert all(getattr(penchant.clients, name) is not None for name in penchant.clients.__all__)


def test_clients_load_nothing_heavy() -> None:
    program = (
        "import sys, json; from penchant.clients import *; "
        "print(json.dumps([name for name in sys.modules if '.' not in name]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stdout))
    assert "grpc" in loaded
    heavy = {"torch", "mlflow", "onnx", "onnxruntime", "pyarrow", "pandas", "rich", "jsonargparse"}
    assert not loaded & heavy
