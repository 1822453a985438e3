"""TF Serving's text configurations that its Python package lacks, declared by us.

Only their text is read, so their field numbers are ours; each lives in a descriptor pool of its
own, where it collides with nobody's.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "kmodels.serving.server"
Kind = str | Mapping[str, "Kind"]


def declare(name: str, fields: Mapping[str, Kind]) -> Any:
    """A message class.

    Args:
        fields: Name to type: int64, bool or string, with "*" before it where it repeats, or the
            fields of a message inside.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"kmodels/serving/server/{name}.proto", package=PACKAGE, syntax="proto3"
    )
    _add(file, name, fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _add(file: Any, name: str, fields: Mapping[str, Kind]) -> None:
    proto = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name=name)
    for number, (field_name, kind) in enumerate(fields.items(), 1):
        field = message.field.add(name=field_name, number=number, label=proto.LABEL_OPTIONAL)
        if not isinstance(kind, str):
            inner = f"{name}_{field_name}"
            _add(file, inner, kind)
            field.type, field.type_name = proto.TYPE_MESSAGE, f".{PACKAGE}.{inner}"
            continue
        if kind.startswith("*"):
            field.label = proto.LABEL_REPEATED
        field.type = proto.Type.Value(f"TYPE_{kind.removeprefix('*').upper()}")
