"""Protobuf messages out of a table, built when a dialect is imported: no generated code, and no compiler to run.

A table has a line for each message, of its fields: number, type, name.

    {"Quote": "1 int64 quantity, 2 double price", "Book": "1 list:Quote bids, 2 map:int32:Quote steps"}

`list` repeats, `map` is named by its keys and values, `one` is one field of a choice: at most one of them is there,
and `WhichOneof("choice")` names it. Enums travel as int32. Fields that are not in the table are skipped when a message
is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "double": Field.TYPE_DOUBLE,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "string": Field.TYPE_STRING,
}


def messages(package: str, file: str, schema: Mapping[str, str]) -> Mapping[str, Any]:
    """The classes of all messages in a table, by name.

    In a pool of their own: another library may know the same package from its `.proto`.
    """
    described = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    for name, fields in schema.items():
        message = described.message_type.add(name=name)
        for line in fields.split(", "):
            _add(package, message, *line.split(" "))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in schema}


def _add(package: str, message: descriptor_pb2.DescriptorProto, number: str, kind: str, name: str) -> None:
    """Add a field. A map is a list of pairs that are marked as such."""
    *how, kind = kind.split(":")
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    if "map" in how:
        pair = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        pair.options.map_entry = True
        _add(package, pair, "1", how[1], "key")
        _add(package, pair, "2", kind, "value")
        kind = f"{message.name}.{pair.name}"
    if "one" in how:
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if "list" in how or "map" in how:
        field.label = Field.LABEL_REPEATED
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{package}.{kind}"
