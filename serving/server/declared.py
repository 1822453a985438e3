"""TF Serving's text configurations that its Python package lacks, declared by us.

Only their text is read, so their field numbers are ours; they live in a descriptor pool of our
own, where they collide with nobody's.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "kmodels.serving.server"
_VALUES = {"Int64Value": "int64", "BoolValue": "bool", "StringValue": "string"}


def declare(name: str, fields: Mapping[str, str]) -> Any:
    """A message class.

    Args:
        fields: Name to type: int64, bool or string, with "*" before it where it repeats, or one
            of Int64Value, BoolValue and StringValue, which have a `value`.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"kmodels/serving/server/{name}.proto", package=PACKAGE, syntax="proto3"
    )
    for value, kind in _VALUES.items():
        _add(file.message_type.add(name=value).field, "value", kind)
    message = file.message_type.add(name=name)
    for field, kind in fields.items():
        _add(message.field, field, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _add(fields: Any, name: str, kind: str) -> None:
    proto = descriptor_pb2.FieldDescriptorProto
    label = proto.LABEL_REPEATED if kind.startswith("*") else proto.LABEL_OPTIONAL
    field = fields.add(name=name, number=len(fields) + 1, label=label)
    kind = kind.removeprefix("*")
    if kind in _VALUES:
        field.type, field.type_name = proto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = proto.Type.Value(f"TYPE_{kind.upper()}")
