"""A real Triton with small models that do on purpose what models should not: wait, fail, change.

A row's logit is -1 plus, per column, its value times a weight that follows from the column's name,
so it does not depend on the order of columns and :func:`logit` can say it without a server.
"""

from __future__ import annotations

import math
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from penchant.clients.contract import CONTRACT_PARAMETER, Contract, MultiValued, canonical_text
from penchant.serving.tritonserver import (
    LOOPBACK,
    SECRET_HEADER,
    Launch,
    command_line,
    environment,
    find_tritonserver,
    make_backends,
    working_folder,
)

CONTRACT: Final = Contract(
    model="lab",
    goals=("purchase", "unsubscribe"),
    numeric=("age", "basket", "wait_s", "fail"),
    categorical=("city", "channel"),
    multi_valued=(MultiValued(name="tags", max_values=3),),
    max_batch_size=64,
)
MAX_QUEUE: Final = 4
VERSION: Final = 7
START_S: Final = 60.0
_TYPES: Final = {
    "FP32": model_config_pb2.TYPE_FP32,
    "INT32": model_config_pb2.TYPE_INT32,
    "INT64": model_config_pb2.TYPE_INT64,
    "BYTES": model_config_pb2.TYPE_STRING,
}

MODEL: Final = """
import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


def weight(name):
    return 1 + sum(name.encode()) % 7


def word(text):
    return sum(text) % 97 / 97 - 0.5 if text else 0.0


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.contract = json.loads(parameters["lab_contract"]["string_value"])
        self.version = int(parameters["package_version"]["string_value"])
        self.extra_goals = int(parameters["extra_goals"]["string_value"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = self.contract["numeric"]
        numeric = pb_utils.get_input_tensor_by_name(request, "numeric").as_numpy()
        words = pb_utils.get_input_tensor_by_name(request, "categorical").as_numpy()
        tags = np.zeros((len(numeric), 0))
        if self.contract["multi_valued"]:
            tags = pb_utils.get_input_tensor_by_name(request, "multi_tags").as_numpy()
        value = dict(zip(names, np.nan_to_num(numeric, posinf=0, neginf=0).T))
        if "wait_s" in value:
            time.sleep(float(value.pop("wait_s").max()))
            if value.pop("fail").any():
                return pb_utils.InferenceResponse(error=pb_utils.TritonError("it was told to fail"))
        nothing = np.zeros(len(numeric))
        shares = [value.get(name, nothing) / 100 * weight(name) for name in names]
        shares += [np.array([word(text) for text in column]) * weight(name)
                   for name, column in zip(self.contract["categorical"], words.T)]
        if self.contract["multi_valued"]:
            sums = [sum(word(text) for text in row) for row in tags]
            shares.append(np.array(sums) * weight("tags"))
        share = np.stack(shares, axis=1)
        goals = range(1, 1 + len(self.contract["goals"]) + self.extra_goals)
        reason = np.stack([share * goal for goal in goals], axis=1).astype(np.float32)
        base = np.full(reason.shape[:2], -1, np.float32)
        unknown = [sum(text == b"?" for text in row) for row in words]
        results = {
            "propensity": 1 / (1 + np.exp(-base - reason.sum(axis=2))),
            "reason": reason,
            "base": base,
            "unknown": np.array(unknown, np.int32)[:, None],
            "version": np.full((len(numeric), 1), self.version, np.int64),
        }
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, results[name]) for name in results if name in wanted]
        )
"""


def weight(name: str) -> int:
    """Weight of a column."""
    return 1 + sum(name.encode()) % 7


def logit(row: Mapping[str, Any], goal: int = 0) -> float:
    """What the lab's models give for a row."""
    total = 0.0
    for name in ("age", "basket"):
        total += float(row.get(name) or 0) / 100 * weight(name)
    for name in ("city", "channel"):
        total += _word(canonical_text(row.get(name))) * weight(name)
    total += sum(_word(text) for text in row.get("tags") or []) * weight("tags")
    return -1 + total * (goal + 1)


ROW: Final = {"age": 33.5, "basket": 12, "city": "Łódź", "channel": "?", "tags": ["boty", "أحذية"]}


def rows(count: int) -> list[dict[str, Any]]:
    """Rows that differ."""
    return [{**ROW, "age": float(at % 101), "city": f"city {at % 7}"} for at in range(count)]


def probability(row: Mapping[str, Any], goal: int = 0) -> float:
    """What a client should get for a row."""
    return 1 / (1 + math.exp(-logit(row, goal)))


def _word(text: str) -> float:
    return sum(text.encode()) % 97 / 97 - 0.5 if text else 0.0


class Lab:
    """One tritonserver process over a repository of its own."""

    def __init__(self, folder: Path, *, extra_arguments: Sequence[str] = ()) -> None:
        self.repository = folder / "models"
        self.log = folder / "triton.log"
        self._folder = folder
        self._extra_arguments = extra_arguments
        self._secret = secrets.token_hex(8)
        self._grpc_port, self._metrics_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """host:port of the gRPC endpoint; stays the same over restarts."""
        return f"{LOOPBACK}:{self._grpc_port}"

    def publish(
        self, contract: Contract, *, number: int = 1, version: int = VERSION, extra_goals: int = 0
    ) -> None:
        """Write a model; ``extra_goals`` makes it answer with more goals than its contract has."""
        home = self.repository / contract.model
        (home / str(number)).mkdir(parents=True)
        (home / str(number) / "model.py").write_text(MODEL)
        config = _config(contract, number=number, extra_goals=extra_goals)
        config.parameters["package_version"].string_value = str(version)
        config.parameters["extra_goals"].string_value = str(extra_goals)
        (home / "config.pbtxt").write_text(text_format.MessageToString(config, as_utf8=True))

    def start(self) -> None:
        """Start the server and wait for it."""
        server = find_tritonserver()
        launch = Launch(
            repository=self.repository,
            models=tuple(sorted(path.name for path in self.repository.iterdir())),
            backends=make_backends(server, self._folder),
            grpc_port=self._grpc_port,
            metrics_port=self._metrics_port,
            secret=self._secret,
            shm_prefix=f"lab_{self._grpc_port}_",
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command_line(server, launch), *self._extra_arguments],
                env=environment(server),
                cwd=working_folder(server, self._folder),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def kill(self) -> None:
        """kill -9, and reap."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=30)
        for region in Path("/dev/shm").glob(f"lab_{self._grpc_port}_*"):
            region.unlink()

    def load(self, model: str) -> None:
        """Have the server load what was published."""
        with grpc.insecure_channel(self.url) as channel:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=model),
                metadata=((SECRET_HEADER, self._secret),),
                timeout=START_S,
            )

    def _wait(self) -> None:
        assert self._process is not None
        until_s = time.monotonic() + START_S
        while "Started Metrics Service" not in self.log.read_text().rpartition("lab-start")[2]:
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"tritonserver did not start:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.05)
        with self.log.open("a") as log:
            log.write("lab-start\n")


def _config(contract: Contract, *, number: int, extra_goals: int) -> model_config_pb2.ModelConfig:
    config = model_config_pb2.ModelConfig(
        name=contract.model, backend="python", max_batch_size=contract.max_batch_size
    )
    for spec in contract.inputs:
        config.input.add(name=spec.name, data_type=_TYPES[spec.dtype], dims=spec.shape)
    for spec in contract.outputs:
        dims = list(spec.shape)
        if spec.shape[0] == len(contract.goals):
            dims[0] += extra_goals
        config.output.add(name=spec.name, data_type=_TYPES[spec.dtype], dims=dims)
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)
    queue = config.dynamic_batching.default_queue_policy
    queue.max_queue_size = MAX_QUEUE
    queue.default_timeout_microseconds = 30_000_000
    queue.allow_timeout_override = True
    # Requests of several callers together would share one sleep.
    config.dynamic_batching.preferred_batch_size.append(1)
    config.version_policy.specific.versions.append(number)
    config.parameters["lab_contract"].string_value = contract.to_json()
    if contract.model != "bare":
        config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
