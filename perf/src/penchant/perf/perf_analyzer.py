"""Triton's own load generator: found, installed and run, its answer read as a :class:`Load`.

perf_analyzer is the judge of speed: a C++ client that sends golden rows in a closed loop. The wheel
of its current release needs glibc 2.38; the binary inside the tritonclient wheel of Triton 2.51
runs from glibc 2.34 on, with two libraries that come with the embedded Triton.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from rich.console import Console

from penchant.serving.tritonserver import runtime_folder

WHEEL: Final = "tritonclient==2.51.0"
WHEEL_SHA256: Final = "c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52"
WHEEL_MEMBER: Final = "tritonclient-2.51.0.data/data/bin/perf_analyzer"
LIBRARIES: Final = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12.*"}
"""What the binary is linked with -> the same library's hashed name in the embedded Triton."""

UNSTABLE: Final = 2
"""Exit code of a run whose windows differ from one another more than it was told to accept."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one closed loop of callers saw; times in microseconds a request."""

    callers: int
    """Requests in flight at any time."""
    batch_size: int
    """Rows a request."""
    rows_per_s: float
    """Rows answered a second, over all callers."""
    p50_us: float
    """Median latency."""
    p99_us: float
    """99th percentile of the latency."""
    client_us: float
    """Sending and receiving in the client."""
    network_us: float
    """Between client and the model's queue, both ways: gRPC, the kernel, Triton's front end."""
    queue_us: float
    """Waiting for the model to be free."""
    input_us: float
    """Gathering the inputs of a batch."""
    infer_us: float
    """In the model."""
    output_us: float
    """Handing the outputs out."""


@dataclass(frozen=True)
class PerfAnalyzer:
    """A perf_analyzer that was seen to start on this machine."""

    program: Path
    environment: Mapping[str, str]
    version: str

    def run(
        self,
        model: str,
        *,
        address: str,
        input_data: Path,
        callers: int,
        batch_size: int = 1,
        window_ms: int = 1000,
    ) -> Load:
        """Load a model with as many callers as told, for three windows after a warm-up.

        Args:
            model: its name on the server.
            address: host:port of the gRPC of a server that shows its statistics to everyone.
            input_data: file of :func:`penchant.perf.input_data.write_input_data`.
            callers: requests in flight.
            batch_size: rows a request.
            window_ms: length of one window.

        Raises:
            ValueError: the run failed; the message holds what perf_analyzer said.
        """
        options = ["-m", model, "-i", "grpc", "-u", address, "--input-data", str(input_data)]
        options += ["-b", str(batch_size), "--concurrency-range", str(callers)]
        # On a machine that is busy otherwise a short window may see no request from start to end,
        # or three of them differ so much that perf_analyzer reports none.
        for patience in (1, 3, 9):
            row, said = self._measure(options, window_ms=window_ms * patience)
            if row is not None:
                return _read_load(row, callers=callers, batch_size=batch_size)
            if said.returncode != UNSTABLE and "larger time window" not in said.stdout:
                break
        raise ValueError(
            f"perf_analyzer failed on model {model!r} with {callers} callers and batches of "
            f"{batch_size} (exit code {said.returncode}): {_last_words(said)}"
        )

    def _measure(
        self, options: Sequence[str], *, window_ms: int
    ) -> tuple[dict[str, str] | None, subprocess.CompletedProcess[str]]:
        """The one row of perf_analyzer's table, None where it failed, and what it said."""
        with tempfile.TemporaryDirectory(prefix="penchant-perf-") as folder:
            table = Path(folder) / "load.csv"
            # Windows are taken as they come: repeated and interleaved runs show the noise better
            # than waiting for a quiet moment does.
            windows = ["-p", str(window_ms), "-r", "3", "-s", "1000", "-f", str(table)]
            command = [str(self.program), *options, *windows]
            # The server is on this machine, whatever proxy the environment names.
            environment = {**self.environment, "no_grpc_proxy": "127.0.0.1,localhost"}
            said = _run(command, environment, timeout_s=60 + window_ms / 20)
            if said.returncode not in (0, UNSTABLE) or not table.is_file():
                return None, said
            with table.open(newline="") as file:
                return next(csv.DictReader(file), None), said


def median_load(loads: Sequence[Load]) -> Load:
    """The median of repeated runs, field by field."""
    return Load(
        **{
            field.name: type(getattr(loads[0], field.name))(
                statistics.median(getattr(load, field.name) for load in loads)
            )
            for field in fields(Load)
        }
    )


def default_folder() -> Path:
    """Where perf_analyzer is installed: in the environment that penchant runs in."""
    return Path(sys.prefix) / "share" / "penchant" / "perf_analyzer"


def find_perf_analyzer(folder: Path | None = None) -> PerfAnalyzer:
    """The perf_analyzer on PATH if it starts here, else the installed one.

    Args:
        folder: where to look for an installed one, by default :func:`default_folder`.

    Raises:
        ValueError: none starts; the message says why and what to do.
    """
    folder = folder or default_folder()
    reasons = []
    on_path = shutil.which("perf_analyzer")
    for program, libraries in ((on_path, None), (folder / "perf_analyzer", folder / "lib")):
        if program is None or not Path(program).is_file():
            continue
        environment = dict(os.environ)
        if libraries is not None:
            environment["LD_LIBRARY_PATH"] = str(libraries)
        said = _run([str(program), "--version"], environment, timeout_s=20)
        if said.returncode == 0:
            version = re.search(r"Version (\S+)", said.stdout)
            return PerfAnalyzer(Path(program), environment, version[1] if version else "unknown")
        reasons.append(f"{program} does not start: {_last_words(said)}")
    raise ValueError(
        "perf_analyzer: expected it on PATH or installed, got "
        f"{'; '.join(reasons) or 'neither'}; run: penchant install perf-analyzer"
    )


def install_perf_analyzer(*, folder: Path | None = None) -> str:
    """Put Triton's load generator into this environment; one that is there is kept.

    Args:
        folder: where to put it, by default share/penchant/perf_analyzer of this environment.

    Returns:
        Which version is where.

    Raises:
        ValueError: the download failed, Triton is not installed, or the program does not start.
    """
    console = Console(stderr=True)
    folder = folder or default_folder()
    if not (folder / "perf_analyzer").is_file():
        libraries = _find_libraries(runtime_folder() / "nvidia_pytriton.libs")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            console.status("Downloading perf_analyzer (14 MB)"),
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=".perf_analyzer-") as staging,
        ):
            _unpack(_download(Path(staging)), libraries, Path(staging) / "ready")
            shutil.rmtree(folder, ignore_errors=True)
            (Path(staging) / "ready").rename(folder)
    found = find_perf_analyzer(folder)
    return f"perf_analyzer {found.version} is in {found.program}"


def _find_libraries(folder: Path) -> dict[str, Path]:
    found = {name: sorted(folder.glob(pattern)) for name, pattern in LIBRARIES.items()}
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        raise ValueError(
            f"perf_analyzer needs {', '.join(missing)} of the embedded Triton, looked for in "
            f"{folder}; run: penchant install tritonserver"
        )
    return {name: paths[0] for name, paths in found.items()}


def _download(folder: Path) -> Path:
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    said = _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--platform", "manylinux1_x86_64"),
            *("--require-hashes", "--requirement", str(requirement), "--dest", str(folder)),
        ],
        os.environ,
        timeout_s=600,
    )
    wheels = list(folder.glob("*.whl"))
    if said.returncode != 0 or not wheels:
        raise ValueError(
            f"perf_analyzer: pip could not download {WHEEL}: {_last_words(said)}; check the "
            "network and pip's settings, or put a perf_analyzer on PATH"
        )
    return wheels[0]


def _unpack(wheel: Path, libraries: Mapping[str, Path], folder: Path) -> None:
    (folder / "lib").mkdir(parents=True)
    program = folder / "perf_analyzer"
    with zipfile.ZipFile(wheel) as archive, archive.open(WHEEL_MEMBER) as packed:
        program.write_bytes(packed.read())
    program.chmod(0o755)
    for name, path in libraries.items():
        (folder / "lib" / name).symlink_to(path)


def _read_load(row: Mapping[str, str], *, callers: int, batch_size: int) -> Load:
    def number(*names: str) -> float:
        return sum(float(row.get(name) or 0) for name in names)

    return Load(
        callers=callers,
        batch_size=batch_size,
        rows_per_s=number("Inferences/Second"),
        p50_us=number("p50 latency"),
        p99_us=number("p99 latency"),
        client_us=number("Client Send", "Client Recv"),
        network_us=number("Network+Server Send/Recv"),
        queue_us=number("Server Queue"),
        input_us=number("Server Compute Input"),
        infer_us=number("Server Compute Infer"),
        output_us=number("Server Compute Output"),
    )


def _run(
    command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"{Path(command[0]).name} gave no answer within {timeout_s:.0f} s; is the server alive?"
        ) from error


def _last_words(said: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in said.stdout.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
