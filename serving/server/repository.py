"""The versions of one model: found on disk, loaded, offered, replaced, unloaded.

A repository watches one base folder from its own thread, so that a model that cannot be loaded
holds up no other. Every child folder whose name is an integer is a version; one that is not yet
whole waits while it grows. Those that the policy wants are served, older ones in the place of
any that does not load; what is wanted no more is let go only after its successor is up, and is
closed by whoever finishes the last request on it.

Nothing here knows TensorFlow: `load` turns a folder into anything that can be closed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.server.attempts import Attempt, Policy
from serving.server.errors import Code, ServingError, invalid_argument, servable_not_found
from serving.server.versions import NEWEST, VersionPolicy, find_versions

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class _Target:
    """Where the versions are and which of them are wanted; replaced as a whole."""

    base_path: Path
    versions: VersionPolicy


@dataclass
class _Served(Generic[Model]):
    """An available version and how many requests are using it."""

    version: int
    path: Path
    model: Model
    users: int = 0
    retired: bool = False


class Repository(Generic[Model]):
    """Keeps the wanted versions under `base_path` available, under the name `name`.

    `lacks` says in words what a folder needs to be whole; nothing by default. `on_change` is
    called, from any thread, after each change that callers may wait for.
    """

    def __init__(
        self,
        name: str,
        base_path: Path,
        load: Callable[[Path], Model],
        *,
        policy: Policy,
        versions: VersionPolicy = NEWEST,
        lacks: Callable[[Path], str] = lambda path: "",
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._target = _Target(base_path, versions)
        self._load = load
        self._policy = policy
        self._lacks = lacks
        self._on_change = on_change
        self._lock = threading.Lock()
        self._served: dict[int, _Served[Model]] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._attempts: dict[int, Attempt] = {}
        self._labels: Mapping[str, int] = {}
        self._told: set[str] = set()  # complaints, so that each is logged once
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{name}", daemon=True)
        self.looked = threading.Event()
        """Set once every version found was tried, or nothing was found."""
        self.settled = threading.Event()
        """Set once a version is available, or once it is clear that none will be."""

    # what callers ask

    @contextmanager
    def lease(
        self, version: int | None = None, *, label: str | None = None
    ) -> Iterator[tuple[int, Model]]:
        """The version number and the model, kept loaded while the block runs.

        `label` chooses the version that it was given to; without either it is the newest.

        Raises:
            ServingError: NOT_FOUND if that version is not available, INVALID_ARGUMENT for a
                label that no version has.
        """
        with self._lock:
            if label is not None:
                version = self._labels.get(label)
                if version is None:
                    raise unrecognized_label(label)
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

    def available(self) -> list[int]:
        """All available versions, newest first."""
        with self._lock:
            return sorted(self._served, reverse=True)

    @property
    def labels(self) -> Mapping[str, int]:
        """The versions by which callers may also ask, by name."""
        return self._labels

    def set_labels(self, labels: Mapping[str, int]) -> None:
        """Replace all labels at once."""
        self._labels = dict(labels)

    def start(self) -> None:
        """Begin to watch the base folder."""
        self._thread.start()

    def update(self, base_path: Path, versions: VersionPolicy) -> bool:
        """Go over to other versions or another folder; whether these are others at all.

        What is served stays until others are up.
        """
        with self._lock:
            if self._target == _Target(base_path, versions):
                return False
            self._target = _Target(base_path, versions)
            self.looked.clear()
            self.settled.clear()
        self._wake.set()
        return True

    def is_running(self) -> bool:
        """Whether the folder is still watched, or a version still loaded or unloaded."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let every version go as soon as its requests are done, without waiting for that."""
        self._stop.set()
        self._wake.set()

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Stop watching and let every version go; False if a load is still going on then."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        self._retire_all_but([])
        return not self._thread.is_alive()

    # the watching thread

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except OSError as error:  # a folder that vanishes or may not be read
                self._tell_once(f"{self.name}: cannot read {self._target.base_path}: {error}")
            pause: float | None = self._policy.poll_seconds
            if self._policy.poll_seconds <= 0:
                pause = RETRY_TICK_SECONDS if self._pending() else None
                if pause is None:
                    self._conclude(self._target, settled=True)
            self._wake.wait(pause)
            self._wake.clear()
        self._retire_all_but([])

    def refresh(self) -> None:
        """Look at the base folder once and act on what is there.

        Raises:
            OSError: if the folder cannot be read.
        """
        target = self._target
        base_path = target.base_path
        if not base_path.is_dir():
            why = "is no folder" if base_path.exists() else "does not exist"
            self._tell_once(f"{self.name}: waiting for versions, {base_path} {why}")
            return self._conclude(target, settled=bool(self._served))
        folders = find_versions(base_path)
        wanted = target.versions.candidates(folders)
        self._attempts = {v: a for v, a in self._attempts.items() if v in wanted}
        chosen: list[int] = []
        for version in wanted:
            if target.versions.is_enough(len(chosen)):
                break
            if self._up(version, folders[version]):
                chosen.append(version)
        if chosen:
            self._retire_all_but(chosen)
        elif not folders:  # what came from a folder watched before stays until another is up
            kept = [v for v, served in self._served.items() if served.path.parent != base_path]
            self._retire_all_but(kept)
        if not wanted:
            self._tell_once(
                f"{self.name}: waiting, {base_path} has no version to serve yet; "
                "a version is a folder with a whole number for a name"
            )
        gave_up = bool(wanted) and not self._pending()
        return self._conclude(target, settled=bool(self._served) or gave_up)

    def _conclude(self, target: _Target, *, settled: bool) -> None:
        """Tell those who wait, unless what they wait for has been changed meanwhile."""
        with self._lock:
            if self._target is not target:
                return
            self.looked.set()
            if settled:
                self.settled.set()
        self._on_change()

    def _up(self, version: int, path: Path) -> bool:
        """Whether the version is available, after trying to load it if it is time to."""
        served = self._served.get(version)
        if served is not None and served.path == path:
            return True
        attempt = self._due(version, path)
        if attempt is None or self._stop.is_set():
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
            replaced = self._served.get(version)
            self._served[version] = _Served(version, path, model)
            self._statuses[version] = VersionStatus(version, State.AVAILABLE)
            if replaced is not None:  # the same number from a folder that was watched before
                replaced.retired = True
        if replaced is not None and replaced.users == 0:
            self._close(replaced)
        self._told.clear()
        seconds = time.monotonic() - started
        log.info("%s: version %d is available after %.1f s", self.name, version, seconds)
        self._on_change()
        return True

    def _due(self, version: int, path: Path) -> Attempt | None:
        """The version's record if it should be loaded now, None if it is to wait."""
        attempt = self._attempts.get(version)
        if attempt is None or attempt.path != path:
            attempt = self._attempts[version] = Attempt(path, self._policy)
        if attempt.is_due(self._lacks):
            return attempt
        if attempt.lacking:
            self._tell_once(f"{self.name}: version {version} waits to be whole: {attempt.lacking}")
            if not attempt.failures and version not in self._served:
                self._set_status(VersionStatus(version, State.START, message=attempt.lacking))
        return None

    def _note_failure(self, version: int, attempt: Attempt, error: Exception) -> None:
        code = error.code if isinstance(error, ServingError) else Code.INTERNAL
        attempt.note_failure()
        final = attempt.is_exhausted
        state = State.END if final else State.LOADING
        if version in self._served:
            state = State.AVAILABLE  # from the folder that was watched before
        self._set_status(VersionStatus(version, state, code, str(error)))
        hope = (
            "not tried again until its files change"
            if final
            else f"next try in {self._policy.retry_seconds:g} s or when its files change"
        )
        log.error("%s: version %d failed to load: %s; %s", self.name, version, error, hope)

    def _pending(self) -> bool:
        return not all(attempt.is_exhausted for attempt in self._attempts.values())

    def _retire_all_but(self, kept: list[int]) -> None:
        """Take versions out of the offer; each is closed when its last request is done."""
        idle = []
        with self._lock:
            for version in [v for v in self._served if v not in kept]:
                served = self._served.pop(version)
                served.retired = True
                self._statuses[version] = VersionStatus(version, State.UNLOADING)
                if served.users == 0:
                    idle.append(served)
        for served in idle:
            self._close(served)

    def _close(self, served: _Served[Model]) -> None:
        try:
            served.model.close()
        finally:
            with self._lock:
                if served.version not in self._served:
                    self._statuses[served.version] = VersionStatus(served.version, State.END)
        log.info("%s: version %d is unloaded", self.name, served.version)
        self._on_change()

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status

    def _tell_once(self, complaint: str) -> None:
        if complaint not in self._told:
            log.warning(complaint)
            self._told.add(complaint)


def unrecognized_label(label: str) -> ServingError:
    """No version has this label."""
    return invalid_argument(f"Unrecognized servable version label: {label}")
