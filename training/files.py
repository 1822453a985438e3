"""Files that are written whole or not at all, and by one process at a time."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Iterator

from training.config import UserError


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Replaces a file; after a kill or on a full disk the old one is still there.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def digest(path: pathlib.Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: pathlib.Path) -> None:
    """Forces a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: pathlib.Path, busy: str) -> Iterator[int]:
    """Holds a file's or a folder's lock; gives its handle, and the lock dies with whoever has that.

    Raises:
        UserError: another process holds it; `busy` is the message.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(busy) from None
        yield handle
    finally:
        os.close(handle)
