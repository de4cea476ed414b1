"""Find or install a tritonserver, and say how it is started.

Two sources: a ``tritonserver`` on the PATH (Triton's container), else a wheel of Triton's makers,
which carries a real one, unpacked into a runtime folder of its own because its requirements are not
ours. The wheel's Triton is 2.51.0, which has known holes: it is for CPU serving on loopback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "PENCHANT_TRITONSERVER_FOLDER"
"""Environment variable that names another runtime folder."""
WHEEL: Final = "nvidia-pytriton==0.7.0"
WHEEL_SHA256: Final = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
STUB_NUMPY: Final = "numpy==1.26.4"
STUB_NUMPY_SHA256: Final = {
    "3.11": "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5",
    "3.12": "675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed",
}
"""The wheel's Python stubs were built before NumPy 2: with it every tensor they hand over holds its
first value throughout, and every answer is empty. So they get a NumPy of their own, where there is
one."""
INSTALL_REMEDY: Final = "run `penchant install tritonserver`"

STATISTICS: Final = "statistics"
RESTRICTED_PROTOCOLS: Final = (
    "shared-memory",
    "model-repository",
    STATISTICS,
    "trace",
    "logging",
)
"""What needs the server's secret. Model configs stay open: callers read the contract from them."""
SECRET_NAME: Final = "penchant"
SECRET_HEADER: Final = f"triton-grpc-protocol-{SECRET_NAME}"
SECRET_NOTE: Final = (
    "the secret that guards model control stands on tritonserver's command line: on a machine with "
    "local users whom you do not trust, mount /proc with hidepid=2 or serve in a private pid "
    "namespace (a container)"
)

PYTHON_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
LOOPBACK: Final = "127.0.0.1"
SHM_DEFAULT_BYTES: Final = 4 << 20
"""Shared memory of one model process at start: holds a full batch, so it need not grow."""
SHM_GROWTH_BYTES: Final = 16 << 20
EXIT_TIMEOUT_S: Final = 20


@dataclass(frozen=True, kw_only=True)
class TritonServer:
    """An executable and what has to stand around it."""

    executable: Path
    """The tritonserver binary."""
    backends: Path
    """Folder of backends that came with it."""
    stub: Path | None
    """Python stub for this Python, where it does not stand in the backends folder."""
    libraries: Path | None = None
    """Folder of shared libraries that came with it."""
    stub_packages: Path | None = None
    """Folder of the Python packages that the stub needs in place of this environment's."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What one start of a server needs to know."""

    repository: Path
    models: tuple[str, ...]
    backends: Path
    grpc_port: int
    metrics_port: int
    secret: str
    shm_prefix: str
    open_statistics: bool = False


def runtime_folder() -> Path:
    """Where the wheel is unpacked: the variable's folder, else one in this Python environment."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path(sys.prefix) / "share" / "penchant" / "tritonserver"
    # The server is started in a working folder of its own.
    return folder.absolute()


def find_tritonserver() -> TritonServer:
    """The server to start.

    Raises:
        ValueError: if there is none.
    """
    on_path = shutil.which("tritonserver")
    if on_path:
        executable = Path(on_path).resolve()
        return TritonServer(
            executable=executable, backends=executable.parents[1] / "backends", stub=None
        )
    folders = [runtime_folder(), Path(sysconfig.get_path("purelib"))]
    for folder in folders:
        root = folder / "pytriton" / "tritonserver"
        if (root / "bin" / "tritonserver").is_file():
            return TritonServer(
                executable=root / "bin" / "tritonserver",
                backends=root / "backends",
                stub=root / "python_backend_stubs" / PYTHON_VERSION / "triton_python_backend_stub",
                libraries=folder / "nvidia_pytriton.libs",
                stub_packages=stub_packages_folder(),
            )
    raise ValueError(
        f"tritonserver: expected it on the PATH or unpacked in {folders[0]}, got neither; "
        f"{INSTALL_REMEDY}"
    )


def stub_packages_folder() -> Path:
    """Where the stub's own NumPy is."""
    folder = runtime_folder()
    return folder.with_name(f"{folder.name}-python{PYTHON_VERSION}")


def install_tritonserver() -> str:
    """Unpack a real tritonserver into this environment: no Docker, no root, nothing else touched.

    Returns:
        Where it is.

    Raises:
        ValueError: if pip fails.
    """
    if PYTHON_VERSION not in STUB_NUMPY_SHA256:
        raise ValueError(
            f"Python: expected one of {', '.join(STUB_NUMPY_SHA256)} for the wheel's Python "
            f"backend, got {PYTHON_VERSION}; use one of these, or put the tritonserver of Triton's "
            "container on the PATH"
        )
    folder = runtime_folder()
    if not (folder / "pytriton" / "tritonserver" / "bin" / "tritonserver").is_file():
        _install(WHEEL, WHEEL_SHA256, folder)
    if not (stub_packages_folder() / "numpy").is_dir():
        _install(STUB_NUMPY, STUB_NUMPY_SHA256[PYTHON_VERSION], stub_packages_folder())
    return f"tritonserver is in {folder}"


def _install(requirement: str, sha256: str, folder: Path) -> None:
    """Unpack one wheel, beside its place and then moved, so that none is left half unpacked."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        target = Path(temporary) / "target"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
        command += ["--target", str(target), "--requirement", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(
                f"installing {requirement}: pip failed: {done.stderr.strip()[-500:]}; see "
                "whether the package index can be reached, or put tritonserver on the PATH"
            )
        target.rename(folder)


def libpython() -> Path | None:
    """This Python's shared library, which the Python backend loads; None where there is none."""
    name = sysconfig.get_config_var("INSTSONAME") or f"libpython{PYTHON_VERSION}.so.1.0"
    library_folder = sysconfig.get_config_var("LIBDIR") or ""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for folder in (
        Path(library_folder),
        Path(library_folder) / multiarch,
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / multiarch,
    ):
        if (folder / name).is_file() and ".so" in name:
            return folder / name
    return None


def make_backends(server: TritonServer, folder: Path) -> Path:
    """Backends folder to start with: the server's own, or a private one with this Python's stub.

    Nothing is written into the server's folder, which may be read-only or shared.
    """
    if server.stub is None:
        return server.backends
    backends = folder / f"backends-{PYTHON_VERSION}-{server.stub.stat().st_mtime_ns}"
    if backends.is_dir():
        return backends
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backends-") as temporary:
        made = Path(temporary) / "backends"
        shutil.copytree(server.backends, made, ignore=shutil.ignore_patterns("__pycache__"))
        stub = made / "python" / server.stub.name
        shutil.copyfile(server.stub, stub)
        stub.chmod(0o755)
        try:
            made.rename(backends)
        except OSError:
            # Another start made the same folder meanwhile.
            if not backends.is_dir():
                raise
    return backends


def environment(server: TritonServer) -> dict[str, str]:
    """Environment of the server: its libraries, and this Python's for the model processes."""
    variables = {name: value for name, value in os.environ.items() if name != "AIP_MODE"}
    if server.stub is None:
        return variables
    library = libpython()
    libraries = [str(server.libraries)] if server.libraries else []
    libraries += [str(library.parent)] if library else []
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(
        [*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    )
    # It also has its working folder on Python's path, before everything: see working_folder.
    # The stub starts Python in isolated mode, where PYTHONPATH does not count; it takes the python3
    # that it finds first, and with it that environment's packages.
    variables["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    return variables


def working_folder(server: TritonServer, otherwise: Path) -> Path:
    """Where to start the server: its stub looks for packages there first."""
    return server.stub_packages or otherwise


def command_line(server: TritonServer, launch: Launch) -> list[str]:
    """Command that starts the server safely: loopback, gRPC alone, a secret for control.

    The secret, new at every start, stands in the process list, which on most machines every local
    user can read; Triton 2.51 takes it in no other way. Whoever has it can load a model, that is,
    run code as this user: see :data:`SECRET_NOTE`.
    """
    restricted = ",".join(
        name for name in RESTRICTED_PROTOCOLS if not (launch.open_statistics and name == STATISTICS)
    )
    python = {
        "shm-default-byte-size": SHM_DEFAULT_BYTES,
        "shm-growth-byte-size": SHM_GROWTH_BYTES,
        "shm-region-prefix-name": launch.shm_prefix,
        "stub-timeout-seconds": 60,
    }
    return [
        str(server.executable),
        f"--model-repository={launch.repository.absolute()}",
        f"--backend-directory={launch.backends.absolute()}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in launch.models),
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        # A model that does not load must not keep the others from being served; the canary tells.
        "--exit-on-error=false",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--allow-http=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={launch.grpc_port}",
        "--grpc-infer-allocation-pool-size=64",
        # Clients may ping an idle connection every half minute without being sent away.
        "--grpc-http2-min-recv-ping-interval-without-data=10000",
        f"--grpc-restricted-protocol={restricted}:{SECRET_NAME}={launch.secret}",
        "--allow-gpu-metrics=false",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={launch.metrics_port}",
        *(f"--backend-config=python,{name}={value}" for name, value in python.items()),
    ]
