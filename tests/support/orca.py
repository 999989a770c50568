"""Load reports as real endpoints make them, with the Protocol Buffers of Google."""

import base64
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

_FIELDS = {
    "cpu_utilization": 1,
    "mem_utilization": 2,
    "rps_fractional": 6,
    "eps": 7,
    "application_utilization": 9,
}


def _message() -> Any:
    """Build the class of xds.data.orca.v3.OrcaLoadReport."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="orca_load_report.proto", package="xds.data.orca.v3", syntax="proto3"
    )
    message = file.message_type.add(name="OrcaLoadReport")
    for name, number in _FIELDS.items():
        message.field.add(
            name=name, number=number, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL
        )
    message.field.add(name="rps", number=3, type=types.TYPE_UINT64, label=types.LABEL_OPTIONAL)
    for name, number in (("request_cost", 4), ("utilization", 5), ("named_metrics", 8)):
        entry_name = f"{name.title().replace('_', '')}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=types.TYPE_STRING, label=types.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL)
        message.field.add(
            name=name,
            number=number,
            type=types.TYPE_MESSAGE,
            type_name=f".xds.data.orca.v3.OrcaLoadReport.{entry_name}",
            label=types.LABEL_REPEATED,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("xds.data.orca.v3.OrcaLoadReport")
    return message_factory.GetMessageClass(found)


_OrcaLoadReport = _message()


def octets_of(**words: Any) -> bytes:
    """Return a report as Protocol Buffers write it."""
    octets: bytes = _OrcaLoadReport(**words).SerializeToString()
    return octets


def value_of(**words: Any) -> str:
    """Return the value of `endpoint-load-metrics-bin`, without padding, as gRPC has it."""
    return base64.b64encode(octets_of(**words)).rstrip(b"=").decode()
