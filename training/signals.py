"""SIGINT and SIGTERM: at once where nothing can be lost, at the next stop in the loop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """SIGTERM raises Terminated: a container's first process would otherwise not hear it."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@contextlib.contextmanager
def deadly() -> Iterator[None]:
    """SIGINT and SIGTERM end the process at once: for a wait that Python cannot leave."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    old = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class Signals:
    """Notes SIGINT and SIGTERM so that the loop can end at the next call; a second one kills."""

    def __enter__(self) -> "Signals":
        self.number: int | None = None
        self.old: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.old[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        for number, old in self.old.items():
            signal.signal(number, old)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for number, old in self.old.items():
            signal.signal(number, old)
