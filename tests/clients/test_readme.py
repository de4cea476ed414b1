"""The examples of clients/README.md that can be run without a network."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from google.protobuf import json_format
from tritonclient.grpc import service_pb2

README = Path(__file__).parents[2] / "clients" / "README.md"


def test_grpcurl_request_is_what_it_says() -> None:
    (config, infer) = re.findall(r"-d '(\{.*?\})' ", README.read_text(), flags=re.DOTALL)
    assert json_format.Parse(config, service_pb2.ModelConfigRequest()).name == "propensity"
    request = json_format.Parse(infer, service_pb2.ModelInferRequest())
    assert list(request.raw_input_contents) == [struct.pack("<f", 12.5), b"\x03\x00\x00\x00Nov"]
    assert list(request.inputs[0].shape) == [1, 1]
