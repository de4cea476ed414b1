"""``penchant export descriptors``: the gRPC service, described for other languages' tools."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2


def write_descriptors(output: Path = Path("grpc_service.desc")) -> str:
    """Write the FileDescriptorSet of the KServe v2 service, as the installed tritonclient has it.

    ``grpcurl -protoset``, Node's ``@grpc/proto-loader`` and most other gRPC tools read it, so that
    no .proto files are needed.

    Args:
        output: file to write.

    Returns:
        A line that says what was written.

    Raises:
        OSError: if it cannot be written.
    """
    descriptors = FileDescriptorSet()
    for module in (model_config_pb2, service_pb2):  # a file after those it imports
        module.DESCRIPTOR.CopyToProto(descriptors.file.add())
    output.write_bytes(descriptors.SerializeToString())
    return f"wrote {output}"
