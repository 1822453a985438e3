"""Trees of files, as a folder or in a zip: what is there, and contents from inside a graph."""

import dataclasses
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import tensorflow as tf

READERS = 16  # threads that look at the beginnings of files
HEADER = 30  # bytes of a zip's local header before its name


class Tree(Protocol):
    """Files below one place, numbered from 0.

    Attributes:
        place: The folder or the zip.
        names: Paths below it, "/" between their parts, in order.
        sizes: Of each in bytes.
        folders: Paths of all folders below it.
    """

    @property
    def place(self) -> pathlib.Path: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def sizes(self) -> Sequence[int]: ...

    @property
    def folders(self) -> Sequence[str]: ...

    def content(self, number: int, most: int | None = None) -> bytes:
        """A file's bytes, or about the first `most` of them; OSError where unreadable."""

    def path(self, number: int) -> str:
        """A file's name for messages, the place included."""

    def reader(self, numbers: np.ndarray) -> "Reader":
        """What reads the file at a place in `numbers` from inside a graph."""


Reader = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # int64 [] -> path, content


def read(place: pathlib.Path) -> Tree:
    """A folder, or a zip.

    Raises:
        ValueError: there is neither, or it cannot be read; the message is one sentence.
    """
    if not place.exists():
        raise ValueError(f"--data-dir={place} does not exist.")
    try:
        return Folder.of(place) if place.is_dir() else Zip.of(place)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"Cannot read {place}: {error}.") from error


def beginnings(tree: Tree, numbers: Sequence[int], most: int) -> list[bytes]:
    """The first `most` bytes of each file, read by many threads at once."""

    def first(number: int) -> bytes:
        return tree.content(number, most)[:most]

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(first, numbers))


@dataclasses.dataclass(frozen=True, eq=False)
class Folder:
    """The files below a folder."""

    place: pathlib.Path
    names: Sequence[str]
    sizes: Sequence[int]
    folders: Sequence[str]

    @classmethod
    def of(cls, place: pathlib.Path) -> "Folder":
        found, folders = [], []
        for name, entry in _walk(place):
            if entry.is_dir():
                folders.append(name)
            else:
                found.append((name, entry.stat().st_size))
        found.sort()
        return cls(place, [n for n, _ in found], [s for _, s in found], sorted(folders))

    def content(self, number: int, most: int | None = None) -> bytes:
        with (self.place / self.names[number]).open("rb") as file:
            return file.read(most)

    def path(self, number: int) -> str:
        return str(self.place / self.names[number])

    def reader(self, numbers: np.ndarray) -> Reader:
        files = tf.constant([os.fsencode(self.path(number)) for number in numbers])

        def read(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            file = tf.gather(files, place)
            return file, tf.io.read_file(file)

        return read


def _walk(folder: pathlib.Path, above: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All files and folders below, by their paths."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield above + entry.name, entry
            if entry.is_dir():
                yield from _walk(folder / entry.name, f"{above}{entry.name}/")


@dataclasses.dataclass(frozen=True, eq=False)
class Zip:
    """The files in a zip, which stays open: many threads read it at once, each at its own place.

    Attributes:
        handle: The open file.
        members: Their entries in the zip's own list.
    """

    place: pathlib.Path
    names: Sequence[str]
    sizes: Sequence[int]
    folders: Sequence[str]
    handle: int
    members: Sequence[zipfile.ZipInfo]

    @classmethod
    def of(cls, place: pathlib.Path) -> "Zip":
        with zipfile.ZipFile(place) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
        members = [entry for entry in entries if not entry.is_dir()]
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"{member.filename} is packed in an unknown way")
        paths = [pathlib.PurePosixPath(entry.filename) for entry in entries]
        folders = {str(above) for path in paths for above in path.parents} - {"."}
        folders |= {entry.filename.rstrip("/") for entry in entries if entry.is_dir()}
        names, sizes = [m.filename for m in members], [m.file_size for m in members]
        return cls(place, names, sizes, sorted(folders), os.open(place, os.O_RDONLY), members)

    def content(self, number: int, most: int | None = None) -> bytes:
        member = self.members[number]
        header = os.pread(self.handle, HEADER, member.header_offset)
        begin = member.header_offset + HEADER + sum(np.frombuffer(header[26:30], "<u2").tolist())
        stored = os.pread(
            self.handle, min(most or member.compress_size, member.compress_size), begin
        )
        if member.compress_type == zipfile.ZIP_STORED:
            return stored
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored)
        except zlib.error as error:
            raise OSError(f"{self.names[number]} in {self.place}: {error}") from error

    def path(self, number: int) -> str:
        return f"{self.place}/{self.names[number]}"

    def reader(self, numbers: np.ndarray) -> Reader:
        return from_python(self, numbers)


def from_python(tree: Tree, numbers: np.ndarray) -> Reader:
    """Contents as Python gives them; it runs for a moment only, decoding is TensorFlow's."""

    def read(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        number = int(numbers[place])
        path = os.fsencode(tree.path(number))
        # Objects, for an array of bytes would lose the zeros at its end.
        return np.array(path, object), np.array(tree.content(number), object)

    def traced(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        path, content = tf.numpy_function(read, [place], [tf.string, tf.string], stateful=False)
        return tf.ensure_shape(path, []), tf.ensure_shape(content, [])

    return traced
