"""The versions of one model: found on disk, loaded, offered, replaced, unloaded.

A repository watches one base folder from its own thread, so that a model that cannot be loaded
holds up no other. Every child folder whose name is an integer and that holds a SavedModel is a
version. The newest version that can be loaded is served; its predecessor is let go only after
it is up, and closed by whoever finishes the last request on it.

Nothing here knows TensorFlow: `load` turns a folder into anything that can be closed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.server.errors import Code, ServingError, servable_not_found

log = logging.getLogger(__name__)

VERSION_FILES = ("saved_model.pb", "saved_model.pbtxt")
MAX_VERSION = 2**63 - 1
RETRY_TICK_SECONDS = 0.5  # how often to look again while a retry is due but polling is off


class Closeable(Protocol):
    """A loaded model, as far as the repository knows it."""

    def close(self) -> None: ...


Model = TypeVar("Model", bound=Closeable)


class State(IntEnum):
    """The stages of a version, numbered as in GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """What is known about one version; `code` and `message` say why a load failed."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to look for versions and how often to try one that does not load.

    `poll_seconds` 0 means: look once. `retries` counts the attempts after the first.
    """

    poll_seconds: float = 1.0
    retries: int = 5
    retry_seconds: float = 60.0


@dataclass
class _Served(Generic[Model]):
    """An available version and how many requests are using it."""

    version: int
    model: Model
    users: int = 0
    retired: bool = False


_Fingerprint = tuple[tuple[str, int, int], ...]  # (path, bytes, modification time) of each file


@dataclass
class _Attempt:
    """Failed loads of one version, and the files as they were then."""

    tried: _Fingerprint
    seen: _Fingerprint
    failures: int = 0
    next_time: float = 0.0


class Repository(Generic[Model]):
    """Keeps the newest loadable version under `base_path` available, under the name `name`."""

    def __init__(
        self, name: str, base_path: Path, load: Callable[[Path], Model], *, policy: Policy
    ) -> None:
        self.name = name
        self._base_path = base_path
        self._load = load
        self._policy = policy
        self._lock = threading.Lock()
        self._served: dict[int, _Served[Model]] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._told: str | None = None  # the last complaint, so that it is logged once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{name}", daemon=True)
        self.settled = threading.Event()
        """Set once a version is available, or once it is clear that none will be."""

    # what callers ask

    @contextmanager
    def lease(self, version: int | None = None) -> Iterator[tuple[int, Model]]:
        """The version number and the model, kept loaded while the block runs; None is latest.

        Raises:
            ServingError: NOT_FOUND if that version is not available.
        """
        with self._lock:
            wanted = version if version is not None else max(self._served, default=None)
            served = self._served.get(wanted) if wanted is not None else None
            if served is None:
                raise servable_not_found(self.name, version)
            served.users += 1
        try:
            yield served.version, served.model
        finally:
            with self._lock:
                served.users -= 1
                last = served.retired and served.users == 0
            if last:
                self._close(served)

    def statuses(self) -> list[VersionStatus]:
        """Every version ever seen, newest first."""
        with self._lock:
            return sorted(self._statuses.values(), key=lambda s: s.version, reverse=True)

    def latest(self) -> int | None:
        """The newest available version."""
        with self._lock:
            return max(self._served, default=None)

    def start(self) -> None:
        """Begin to watch the base folder."""
        self._thread.start()

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Stop watching and let every version go; False if a load is still going on then."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        for version in list(self._served):
            self._retire(version)
        return not self._thread.is_alive()

    # the watching thread

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except OSError as error:  # a folder that vanishes or may not be read
                self._tell_once(f"{self.name}: cannot read {self._base_path}: {error}")
            polling = self._policy.poll_seconds > 0
            if not polling and not self._retry_pending():
                self.settled.set()
                return
            self._stop.wait(self._policy.poll_seconds if polling else RETRY_TICK_SECONDS)

    def refresh(self) -> None:
        """Look at the base folder once and act on what is there.

        Raises:
            OSError: if the folder cannot be read.
        """
        if not self._base_path.is_dir():
            self._tell_once(f"{self.name}: waiting for versions, {self._base_path} does not exist")
            return
        folders = find_versions(self._base_path)
        complete = {v: p for v, p in folders.items() if is_complete(p)}
        chosen = next((v for v in sorted(complete, reverse=True) if self._up(v, complete[v])), None)
        if chosen is not None or not folders:
            for version in [v for v in self._served if v != chosen]:
                self._retire(version)
        if not complete:
            self._tell_once(
                f"{self.name}: waiting, no version in {self._base_path} has a SavedModel yet"
            )
        elif self._served or not self._retry_pending():
            self.settled.set()

    def _up(self, version: int, path: Path) -> bool:
        """Whether the version is available, after trying to load it if it is time to."""
        if version in self._served:
            return True
        files = fingerprint(path)
        attempt = self._attempts.get(version)
        if attempt is None:
            attempt = self._attempts[version] = _Attempt(tried=files, seen=files)
        elif not self._try_again(attempt, files):
            return False
        if self._stop.is_set():
            return False
        self._set_status(VersionStatus(version, State.LOADING))
        log.info("%s: loading version %d from %s", self.name, version, path)
        started = time.monotonic()
        try:
            model = self._load(path)
        except Exception as error:  # whatever it is, the other versions go on
            self._note_failure(version, attempt, error)
            return False
        self._attempts.pop(version)
        with self._lock:
            self._served[version] = _Served(version, model)
            self._statuses[version] = VersionStatus(version, State.AVAILABLE)
        self._told = None
        seconds = time.monotonic() - started
        log.info("%s: version %d is available after %.1f s", self.name, version, seconds)
        return True

    def _try_again(self, attempt: _Attempt, files: _Fingerprint) -> bool:
        """Changed files count as a new version, once two looks in a row see the same."""
        settled, attempt.seen = files == attempt.seen, files
        if files != attempt.tried:
            if settled:
                attempt.tried, attempt.failures = files, 0
            return settled
        return attempt.failures <= self._policy.retries and time.monotonic() >= attempt.next_time

    def _note_failure(self, version: int, attempt: _Attempt, error: Exception) -> None:
        code = error.code if isinstance(error, ServingError) else Code.INTERNAL
        attempt.failures += 1
        attempt.next_time = time.monotonic() + self._policy.retry_seconds
        final = attempt.failures > self._policy.retries
        state = State.END if final else State.LOADING
        self._set_status(VersionStatus(version, state, code, str(error)))
        hope = (
            "not tried again until its files change"
            if final
            else f"next try in {self._policy.retry_seconds:g} s or when its files change"
        )
        log.error("%s: version %d failed to load: %s; %s", self.name, version, error, hope)

    def _retry_pending(self) -> bool:
        return any(a.failures <= self._policy.retries for a in self._attempts.values())

    def _retire(self, version: int) -> None:
        """Take the version out of the offer; it is closed when its last request is done."""
        with self._lock:
            served = self._served.pop(version)
            served.retired = True
            idle = served.users == 0
            self._statuses[version] = VersionStatus(version, State.UNLOADING)
        if idle:
            self._close(served)

    def _close(self, served: _Served[Model]) -> None:
        try:
            served.model.close()
        finally:
            self._set_status(VersionStatus(served.version, State.END))
        log.info("%s: version %d is unloaded", self.name, served.version)

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status

    def _tell_once(self, complaint: str) -> None:
        if complaint != self._told:
            log.warning(complaint)
            self._told = complaint


def find_versions(base_path: Path) -> dict[int, Path]:
    """The version folders under `base_path` by number; `00000123` is version 123."""
    return {
        int(child.name): child
        for child in base_path.iterdir()
        if child.name.isascii() and child.name.isdecimal() and int(child.name) <= MAX_VERSION
    }


def is_complete(path: Path) -> bool:
    """Whether the folder holds a SavedModel's graph; one that is being copied may not yet."""
    return any((path / name).is_file() for name in VERSION_FILES)


def fingerprint(path: Path) -> _Fingerprint:
    """Equal for equal contents of the folder, as far as sizes and times can tell."""
    return tuple(
        (str(file), stat.st_size, stat.st_mtime_ns)
        for file in sorted(path.rglob("*"))
        if file.is_file() and (stat := file.stat())
    )
