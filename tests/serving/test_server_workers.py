"""Few threads for quick tasks, more beside long ones."""

import gc
import threading
import weakref
from concurrent.futures import Future

import pytest

from serving.server import workers
from serving.server.workers import Workers

SECONDS = 30.0  # until a test has failed


@pytest.fixture
def make():
    made = []

    def maker(most):
        made.append(Workers(most, name="test"))
        return made[-1]

    yield maker
    for pool in made:
        pool.shutdown()


def test_a_task_gives_its_result_or_its_error(make):
    pool = make(4)
    assert pool.submit(divmod, 7, 2).result(SECONDS) == (3, 1)
    assert pool.submit(int, "11", base=2).result(SECONDS) == 3
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(SECONDS)


def test_quick_tasks_share_few_threads(make, monkeypatch):
    monkeypatch.setattr(workers, "LONG_SECONDS", SECONDS)
    pool = make(100)
    futures = [pool.submit(threading.get_ident) for _ in range(500)]
    assert len({future.result(SECONDS) for future in futures}) <= workers.AT_HAND
    assert [pool.submit(divmod, i, 7).result(SECONDS) for i in range(9)][8] == (1, 1)


def test_long_tasks_do_not_keep_the_others_waiting(make):
    pool, number = make(100), 40
    together = threading.Barrier(number + 1)
    futures = [pool.submit(together.wait, SECONDS) for _ in range(number)]
    assert pool.submit(divmod, 7, 2).result(SECONDS) == (3, 1)
    together.wait(SECONDS)  # all of them have begun
    assert sorted(future.result(SECONDS) for future in futures) != [0] * number


def test_there_are_at_most_as_many_threads_as_allowed(make):
    pool, go = make(3), threading.Event()
    futures = [pool.submit(go.wait, SECONDS) for _ in range(9)]
    together = threading.Semaphore(0)
    while len(pool._begun) < 3:
        together.acquire(timeout=0.001)
    for _ in range(5):
        pool._look()
    assert len(pool._begun) == 3 and pool._tasks.qsize() >= 6
    go.set()
    assert all(future.result(SECONDS) for future in futures)


def test_where_there_are_no_more_threads_the_others_go_on(make, monkeypatch):
    pool, go = make(50), threading.Event()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    futures = [pool.submit(go.wait, SECONDS) for _ in range(5)]
    pause = threading.Event()
    while pool._long < workers.AT_HAND:
        pause.wait(0.001)
    assert pool._look() and len(pool._begun) == workers.AT_HAND
    go.set()
    assert all(future.result(SECONDS) for future in futures)
    with pytest.raises(RuntimeError, match="new thread"):
        Workers(1, name="test")


def test_a_failed_task_is_forgotten_with_its_future(make):
    class Request:
        def fail(self):
            raise ValueError

    pool, request = make(1), Request()
    kept = weakref.ref(request)
    gc.disable()
    try:
        future = pool.submit(lambda given: given.fail(), request)
        assert isinstance(future.exception(SECONDS), ValueError)
        assert pool.submit(divmod, 7, 2).result(SECONDS) == (3, 1)  # and the thread is past it
        del request, future
        assert kept() is None
    finally:
        gc.enable()


def test_one_thread_may_be_all(make):
    pool = make(1)
    idents = {pool.submit(threading.get_ident).result(SECONDS) for _ in range(5)}
    assert len(idents) == 1


def test_threads_that_nobody_needs_end(make, monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.01)
    pool, go = make(50), threading.Event()
    futures = [pool.submit(go.wait, SECONDS) for _ in range(20)]
    pause = threading.Event()
    while len(pool._begun) < 20:
        pause.wait(0.001)
    threads = set(pool._begun)
    go.set()
    assert all(future.result(SECONDS) for future in futures)
    while len(pool._begun) > workers.AT_HAND:
        pause.wait(0.001)
    for thread in threads - set(pool._begun):
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert pool.submit(divmod, 7, 2).result(SECONDS) == (3, 1)


@pytest.mark.parametrize("cancels", [False, True])
def test_after_a_shutdown_nothing_is_taken(make, cancels):
    pool, go = make(1), threading.Event()
    begun = pool.submit(go.wait, SECONDS)
    while not begun.running():
        go.wait(0.001)
    waits = pool.submit(divmod, 7, 2)
    pool.shutdown(wait=False, cancel_futures=cancels)
    assert waits.cancelled() == cancels
    with pytest.raises(RuntimeError, match="after a shutdown"):
        pool.submit(divmod, 7, 2)
    late = Future()
    pool.take(late, divmod, 7, 2)
    assert late.cancelled()
    go.set()
    assert begun.result(SECONDS)
    assert cancels or waits.result(SECONDS) == (3, 1)
    threads = set(pool._begun)
    pool.shutdown()
    assert not any(thread.is_alive() for thread in threads)
