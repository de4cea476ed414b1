"""``python3 -m penchant.serving.container.start``: prepare what is to be served, become Triton.

Triton has no authentication of its own. What penchant's own server guards with a secret is guarded
here with a key that nobody is told, new at every start, and model control is off: what is served
is fixed for the life of the container. Put TLS and access control before its port.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from penchant.serving.container.prepare import prepare
from penchant.serving.container.settings import ContainerSettings
from penchant.serving.tritonserver import EXIT_TIMEOUT_S, RESTRICTED_PROTOCOLS, SECRET_NAME


def command_line(executable: str, settings: ContainerSettings, more: Sequence[str]) -> list[str]:
    """Command that starts the server.

    Args:
        executable: the tritonserver.
        settings: its ports and its repository.
        more: further options of Triton's.
    """
    restricted = ",".join(RESTRICTED_PROTOCOLS)
    return [
        executable,
        f"--model-repository={settings.home.model_repository}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--allow-http=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        # Inside a container it listens on every interface; publish the port on the host's loopback.
        "--grpc-address=0.0.0.0",
        f"--grpc-port={settings.grpc_port}",
        "--grpc-infer-allocation-pool-size=64",
        # Clients may ping an idle connection every half minute without being sent away.
        "--grpc-http2-min-recv-ping-interval-without-data=10000",
        f"--grpc-restricted-protocol={restricted}:{SECRET_NAME}={secrets.token_hex(16)}",
        "--metrics-address=0.0.0.0",
        f"--metrics-port={settings.metrics_port}",
        *more,
    ]


def main(more: Sequence[str]) -> str:
    """Prepare and become tritonserver; what went wrong where that does not happen."""
    try:
        settings = ContainerSettings.read(os.environ)
        executable = shutil.which("tritonserver")
        if executable is None:
            raise ValueError(
                "tritonserver: expected one on the PATH, got none; build the image on Triton's own"
            )
        prepare(settings, _say)
    except (ValueError, OSError) as error:
        return str(error)
    # Triton takes these for a wish to be another kind of server.
    environment = {name: value for name, value in os.environ.items() if name != "AIP_MODE"}
    os.execve(executable, command_line(str(Path(executable)), settings, more), environment)


def _say(line: str) -> None:
    sys.stderr.write(f"penchant: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
