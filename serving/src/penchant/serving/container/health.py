"""``python3 -m penchant.serving.container.health``: whether every model answers rightly.

A ready server may hold a model whose process hangs or whose GPU is gone. So each model is asked a
golden row, through the port that callers use. One whose queue does not let that through is well
while it answers others.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Final
from urllib.request import urlopen

from penchant.serving.canary import BusyError, Canary, CanaryError
from penchant.serving.container.settings import ContainerSettings
from penchant.serving.repository import Repository
from penchant.serving.tritonserver import LOOPBACK

TIMEOUT_S: Final = 5.0
"""For each model's answer."""
PROGRESS_S: Final = 3.0
"""Time in which a busy model has to answer somebody."""

_ANSWERED: Final = re.compile(r'nv_inference_request_success{model="(\w+)",[^}]*} (\d+)')


def problems(settings: ContainerSettings) -> list[str]:
    """What is wrong with the served models; nothing where all is well."""
    repository = Repository(settings.home.model_repository)
    models = repository.models()
    if not models:
        return [f"no model is published in {repository.folder} yet"]
    canary = Canary(f"{LOOPBACK}:{settings.grpc_port}", {}, repository)
    try:
        found = [_problem(model, canary, settings) for model in models]
    finally:
        canary.close()
    return [problem for problem in found if problem]


def _problem(model: str, canary: Canary, settings: ContainerSettings) -> str:
    try:
        before = num_answered(model, settings)
        canary.ask(model, timeout_s=TIMEOUT_S)
    except BusyError as error:
        deadline = time.monotonic() + PROGRESS_S
        while time.monotonic() < deadline:
            if num_answered(model, settings) > before:
                return ""
            time.sleep(0.1)
        return f"model {model!r} answers nobody: {error}"
    except (CanaryError, ValueError, OSError) as error:
        return str(error)
    return ""


def num_answered(model: str, settings: ContainerSettings) -> int:
    """Requests that the model has answered, by the server's metrics.

    Raises:
        OSError: if there is no server, or it does not answer in time.
    """
    url = f"http://{LOOPBACK}:{settings.metrics_port}/metrics"
    with urlopen(url, timeout=TIMEOUT_S) as response:
        text = response.read().decode()
    return sum(int(count) for name, count in _ANSWERED.findall(text) if name == model)


if __name__ == "__main__":
    sys.exit("\n".join(problems(ContainerSettings.read(os.environ))) or 0)
