"""Threads that answer requests: few, and more only beside those that take their time.

One thread of a Python program runs at a time. Others that could run are woken and put to sleep
again, which for a quick answer costs more than the answer does (decision 0040).
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

AT_HAND = 2  # threads that wait for quick tasks
LONG_SECONDS = 0.005  # after which a task's thread is not at hand
IDLE_SECONDS = 1.0  # until a thread that is one too many ends
NOT_BEGUN = float("inf")

P = ParamSpec("P")
R = TypeVar("R")
Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Workers(Executor):
    """Does tasks in threads, begun in the order in which they came.

    Args:
        most: Threads there may be, at least 1.
        name: What the threads' names begin with.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most, self._name = most, name
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._begun: dict[threading.Thread, float] = {}  # since when each has had its task
        self._long = 0  # threads that have had theirs for long, at the last look
        self._lock = threading.Lock()  # around a change of the number of threads
        self._waits = threading.Event()
        self._closed = False
        self._start(AT_HAND)
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """A task's future result.

        Raises:
            RuntimeError: after `shutdown`.
        """
        if self._closed:
            raise RuntimeError("no task is taken after a shutdown")
        future: Future[R] = Future()
        self.take(future, fn, *args, **kwargs)
        return future

    def take(
        self, future: Future[R], fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """A task whose future is there already; it is cancelled after `shutdown`."""
        if self._closed:
            future.cancel()
            return
        self._tasks.put((future, fn, args, kwargs))
        if not self._waits.is_set():
            self._waits.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further tasks; those that have been taken are done, unless they are cancelled."""
        self._closed = True
        self._waits.set()
        with contextlib.suppress(Empty):
            while cancel_futures and (task := self._tasks.get_nowait()) is not None:
                task[0].cancel()
        self._tasks.put(None)
        with self._lock:
            threads = list(self._begun)
        for thread in threads if wait else ():
            thread.join()

    def _watch(self) -> None:
        """Looks every few milliseconds, as long as tasks wait."""
        while not self._closed:
            self._waits.wait()
            time.sleep(LONG_SECONDS)
            if not self._look():
                self._waits.clear()
                self._look()  # for a task that came just before that

    def _look(self) -> bool:
        """Start threads for tasks that wait behind long ones; whether any task waits."""
        waiting, since = self._tasks.qsize(), time.monotonic() - LONG_SECONDS
        self._long = sum(begun < since for begun in list(self._begun.values()))
        self._start(waiting)
        return waiting > 0

    def _wanted(self) -> int:
        """As many at hand as have long tasks, so that many long ones soon have their threads."""
        return min(self._long + max(AT_HAND, self._long), self._most)

    def _start(self, number: int) -> None:
        """So many threads more, as long as they are wanted."""
        for _ in range(number):
            with self._lock:
                if len(self._begun) >= self._wanted():
                    return
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._begun[thread] = NOT_BEGUN
                try:
                    thread.start()
                except RuntimeError:  # the system has no more; the tasks wait for those there are
                    del self._begun[thread]
                    if not self._begun:
                        raise
                    return

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            try:
                task = self._tasks.get(timeout=IDLE_SECONDS)
            except Empty:
                self._look()
                if self._leave(me):
                    return
                continue
            if task is None:
                self._tasks.put(None)  # for the next thread
                return
            self._begun[me] = began = time.monotonic()
            do(*task)
            del task  # and with it the request and its answer
            self._begun[me] = NOT_BEGUN
            if time.monotonic() - began < LONG_SECONDS and self._leave(me):
                return

    def _leave(self, me: threading.Thread) -> bool:
        """Whether this thread is one too many; then it counts no more."""
        if len(self._begun) <= self._wanted():
            return False
        with self._lock:
            if len(self._begun) <= self._wanted():
                return False
            del self._begun[me]
            return True


def do(
    future: Future[Any], act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """A task, here and now; its error is the future's."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = act(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        del future, args, kwargs  # the error holds this frame
    else:
        future.set_result(result)
