"""Whether a version folder is all there, or still being copied.

An exporter that renames a finished folder into place is never seen half done; a copy is. So a
version is loaded once

- its graph is there and can be read to the end,
- the variables that the graph restores are there: the index, and every shard at least as long
  as the index says that it is,
- the assets that the graph names are there, and so is the last recorded request for warmup.

The index is a sorted table of serialized BundleEntryProto messages, in blocks of keys and values
that are listed in a last block, to which the file's last 48 bytes point.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2, tensor_bundle_pb2

GRAPH_FILE, TEXT_FILE = "saved_model.pb", "saved_model.pbtxt"
VARIABLES = Path("variables") / "variables"
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
FOOTER_BYTES, MAGIC = 48, 0xDB4775248B80FB57


def lacks(path: Path) -> str:
    """What the folder `path` still lacks to be a whole SavedModel, in words; empty if nothing."""
    graph = path / GRAPH_FILE
    if not graph.is_file():
        return "" if (path / TEXT_FILE).is_file() else f"{GRAPH_FILE} is not there"
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(graph.read_bytes())
    except Exception:  # cut short or damaged: more bytes may come
        return f"{GRAPH_FILE} cannot be read to its end"
    if not saved_model.meta_graphs:
        return f"{GRAPH_FILE} holds no graph"
    for meta_graph in saved_model.meta_graphs:
        for asset in meta_graph.asset_file_def:
            if not (path / "assets" / asset.filename).is_file():
                return f"assets/{asset.filename} is not there"
    if any(meta_graph.saver_def.restore_op_name for meta_graph in saved_model.meta_graphs):
        return _lacking_variables(path) or _lacking_records(path)
    return _lacking_records(path)


def _lacking_records(path: Path) -> str:
    """Whether the recorded requests end inside one: 8 bytes of length, 4, the record, 4."""
    file = path / WARMUP_FILE
    if not file.is_file():
        return ""
    size, position = file.stat().st_size, 0
    with file.open("rb") as records:
        while position < size:
            records.seek(position)
            position += 16 + int.from_bytes(records.read(8), "little")
    return "" if position == size else f"{WARMUP_FILE} cannot be read to its end"


def _lacking_variables(path: Path) -> str:
    index = Path(f"{path / VARIABLES}.index")
    if not index.is_file():
        return f"{VARIABLES}.index is not there"
    try:
        sizes = shard_bytes(index.read_bytes())
    except (ValueError, IndexError):
        return f"{VARIABLES}.index cannot be read to its end"
    for shard, least in enumerate(sizes):
        name = f"{VARIABLES}.data-{shard:05d}-of-{len(sizes):05d}"
        file = path / name
        present = file.stat().st_size if file.is_file() else -1
        if present < least:
            return f"{name} has {max(present, 0)} of {least} bytes"
    return ""


def shard_bytes(table: bytes) -> list[int]:
    """How long each shard of the variables is, according to the bytes of their index.

    Raises:
        ValueError, IndexError: if the table is cut short or is none.
    """
    footer = table[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("no table, or one that is cut short")
    position = 0
    handle = []
    for _ in range(4):  # offset and length of a block of notes, then of the list of blocks
        number, position = _varint(footer, position)
        handle.append(number)
    sizes: list[int] = []
    for _, place in _entries(_block(table, handle[2], handle[3])):
        offset, after = _varint(place, 0)
        length, _ = _varint(place, after)
        for key, value in _entries(_block(table, offset, length)):
            if not key:
                header = _parsed(tensor_bundle_pb2.BundleHeaderProto(), value)
                sizes = [0] * header.num_shards
            else:
                entry = _parsed(tensor_bundle_pb2.BundleEntryProto(), value)
                sizes[entry.shard_id] = max(sizes[entry.shard_id], entry.offset + entry.size)
    return sizes


def _parsed(message: Any, value: bytes) -> Any:
    try:
        message.ParseFromString(value)
    except Exception as error:
        raise ValueError("a damaged entry") from error
    return message


def _block(table: bytes, offset: int, length: int) -> bytes:
    if table[offset + length] != 0:  # the byte after a block names its compression: none is used
        raise ValueError("compressed")
    return table[offset : offset + length]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; a key leaves out what it shares with the one before it."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the position after it."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position
