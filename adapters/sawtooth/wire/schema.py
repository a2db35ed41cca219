"""Protobuf message classes from a short schema text, in a descriptor pool of their own.

A pool of our own, so that a family's code or a test may load the Sawtooth SDK's generated modules, whose messages have
the same names, in the same process.

The text has one message a paragraph, its fields as number, type and name; `*` is "repeated". Enumerations travel as
int32 does: their values stand beside the schemas, in Python.

    Batch: 1 bytes header, 2 string header_signature, 3 Transaction* transactions
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "bool": Field.TYPE_BOOL,
    "bytes": Field.TYPE_BYTES,
    "int32": Field.TYPE_INT32,
    "string": Field.TYPE_STRING,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
}


class Schema:
    """The message classes of some texts. A class is had by name: `schema["BatchHeader"]`."""

    def __init__(self, *texts: str) -> None:
        """Raises ValueError: a text that is none, or one that names a message it does not have."""
        bodies = {}
        for paragraph in "\n".join(texts).split("\n\n"):
            name, colon, body = " ".join(paragraph.split()).partition(":")
            if colon:
                bodies[name] = body
        file = descriptor_pb2.FileDescriptorProto(name="messages.proto", syntax="proto3")
        for name, body in bodies.items():
            message = file.message_type.add(name=name)
            for field in filter(None, (part.split() for part in body.split(","))):
                add_field(message, field, bodies)
        pool = DescriptorPool()
        pool.Add(file)
        self._classes = {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in bodies}

    def __getitem__(self, name: str) -> Any:
        return self._classes[name]


def add_field(message: descriptor_pb2.DescriptorProto, words: list[str], messages: dict[str, str]) -> None:
    """Add a field, written as number, type, name. Raises ValueError."""
    number, kind, name = words
    field = message.field.add(name=name, number=int(number))
    field.label = Field.LABEL_REPEATED if kind.endswith("*") else Field.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind in SCALARS:
        field.type = SCALARS[kind]
    elif kind in messages:
        field.type = Field.TYPE_MESSAGE
        field.type_name = f".{kind}"
    else:
        raise ValueError(f"{message.name}.{name}: unknown type {kind}")
