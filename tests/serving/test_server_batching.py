"""Requests that share a run: who waits for whom, and what each is told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server import batching
from serving.server.batching import Parameters, Scheduler
from serving.server.errors import Code, ServingError

LATE = 10**9  # microseconds: a batch that is not full is not run


class Doubling:
    """Doubles what it is given; holds its first run until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.seen: list[np.ndarray] = []
        self.go = threading.Event()
        self.holds = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, inputs, seconds):
        x = inputs["x"]
        self.seen.append(x)
        self.holds.set()
        assert self.go.wait(60)
        if x.dtype != object and (x < 0).any():
            raise ServingError(Code.OUT_OF_RANGE, f"{x.min():g} is negative")
        return [x + x]


@pytest.fixture
def scheduled(eventually):
    """A scheduler and a run; `ask` asks from a thread of its own, and returns when that waits."""
    made, pool = [], ThreadPoolExecutor(64)

    def make(*, held=False, **parameters):
        given, run = Parameters(**parameters), Doubling(held=held)
        scheduler = Scheduler(given.num_batch_threads)
        made.append((scheduler, run))

        def waiting():
            with scheduler._changed:
                queues = list(scheduler._queues.values())
                return sum(batch.rows for queue in queues for batch in queue.batches)

        def ask(*rows, kind="k", run=run, **options):
            before, x = waiting(), rows[0] if isinstance(rows[0], np.ndarray) else np.array(rows)
            answer = pool.submit(scheduler.submit, kind, run, {"x": x}, given, **options)
            eventually(lambda: answer.done() or waiting() > before)
            return answer

        def hold():
            """Occupies the one thread, so that what is asked now waits."""
            first = pool.submit(scheduler.submit, "held", run, {"x": np.array([0.0])}, given)
            assert run.holds.wait(60)
            run.seen.clear()
            return first

        return scheduler, run, ask, hold

    yield make
    for scheduler, run in made:
        run.go.set()
        scheduler.close()
    pool.shutdown()


def test_what_waits_shares_one_run_and_each_gets_its_own_rows(scheduled):
    _, run, ask, hold = scheduled(held=True)
    hold()
    answers = [ask(1.0), ask(2.0, 3.0), ask(4.0)]
    run.go.set()
    assert [a.result(60)[0].tolist() for a in answers] == [[2], [4, 6], [8]]
    assert [x.tolist() for x in run.seen] == [[1, 2, 3, 4]]


def test_a_batch_has_no_more_rows_than_allowed(scheduled):
    _, run, ask, hold = scheduled(held=True, max_batch_size=3)
    hold()
    answers = [ask(1.0, 2.0), ask(3.0, 4.0), ask(5.0)]
    run.go.set()
    assert [a.result(60)[0].tolist() for a in answers] == [[2, 4], [6, 8], [10]]
    assert [x.tolist() for x in run.seen] == [[1, 2], [3, 4, 5]]


def test_only_who_is_to_blame_is_refused(scheduled):
    _, run, ask, hold = scheduled(held=True)
    hold()
    answers = [ask(1.0), ask(-2.0), ask(3.0)]
    run.go.set()
    assert answers[0].result(60)[0].tolist() == [2] and answers[2].result(60)[0].tolist() == [6]
    with pytest.raises(ServingError, match="-2 is negative") as caught:
        answers[1].result(60)
    assert caught.value.code == Code.OUT_OF_RANGE


def test_different_kinds_and_shapes_wait_apart(scheduled):
    _, run, ask, hold = scheduled(held=True)
    hold()
    answers = [
        ask(1.0),
        ask(2.0, kind="other"),
        ask(np.array([[1.0, 2.0]])),
        ask(np.array([[3.0]])),
        ask(np.array([[4.0]], np.float32)),
    ]
    run.go.set()
    for answer in answers:
        answer.result(60)
    assert sorted(x.shape for x in run.seen) == [(1,), (1,), (1, 1), (1, 1), (1, 2)]


@pytest.mark.parametrize("text", [False, True])
def test_unequal_shapes_are_filled_up_where_asked(scheduled, text):
    _, run, ask, hold = scheduled(held=True, pad_variable_length_inputs=True)
    hold()
    wide, narrow, zero = ([b"a", b"b"], [b"c"], b"") if text else ([1, 2], [3], 0)
    answers = [ask(np.array([row], object if text else int)) for row in (wide, narrow)]
    run.go.set()
    assert [a.result(60)[0].shape for a in answers] == [(1, 2), (1, 2)]
    assert [x.tolist() for x in run.seen] == [[wide, [*narrow, zero]]]


def test_a_batch_is_filled_up_to_an_allowed_size(scheduled):
    _, run, ask, _ = scheduled(max_batch_size=8, allowed_batch_sizes=(4, 8))
    assert ask(1.0, 2.0, 3.0).result(60)[0].tolist() == [2, 4, 6]
    assert ask(1.0, 2.0, 3.0, 4.0, 5.0).result(60)[0].tolist() == [2, 4, 6, 8, 10]
    assert [x.tolist() for x in run.seen] == [[1, 2, 3, 3], [1, 2, 3, 4, 5, 5, 5, 5]]


def test_outputs_without_a_row_for_each_input_are_no_ones_answer(scheduled):
    _, _, ask, _ = scheduled(max_batch_size=4, allowed_batch_sizes=(4,))
    with pytest.raises(ServingError, match="0th dimension does not equal") as caught:
        ask(1.0, 2.0, 3.0, run=lambda inputs, _: [inputs["x"].sum()]).result(60)
    assert caught.value.code == Code.FAILED_PRECONDITION


def test_where_outputs_have_no_rows_each_is_asked_alone(scheduled):
    _, run, ask, hold = scheduled(held=True)
    hold()
    answers = [ask(*rows, run=lambda x, _: [x["x"].sum()]) for rows in ((1.0, 2.0), (4.0,))]
    run.go.set()
    assert [a.result(60)[0] for a in answers] == [3, 4]


def test_a_large_request_is_cut_and_first_fills_the_batch_that_waits(scheduled):
    _, run, ask, hold = scheduled(
        held=True, enable_large_batch_splitting=True, max_batch_size=7, max_execution_batch_size=3
    )
    hold()
    answers = [ask(1.0), ask(2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)]
    run.go.set()
    assert [a.result(60)[0].tolist() for a in answers] == [[2], [4, 6, 8, 10, 12, 14, 16]]
    assert [x.tolist() for x in run.seen] == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_one_bad_row_of_a_cut_request_refuses_all_of_it_and_nobody_else(scheduled):
    _, run, ask, hold = scheduled(
        held=True, enable_large_batch_splitting=True, max_batch_size=4, max_execution_batch_size=2
    )
    hold()
    answers = [ask(1.0), ask(2.0, 3.0, -4.0), ask(5.0)]
    run.go.set()
    assert [answers[i].result(60)[0].tolist() for i in (0, 2)] == [[2], [10]]
    with pytest.raises(ServingError, match="-4 is negative"):
        answers[1].result(60)


def test_a_full_queue_refuses(scheduled):
    _, run, ask, hold = scheduled(held=True, max_batch_size=1, max_enqueued_batches=2)
    hold()
    answers = [ask(1.0), ask(2.0)]
    with pytest.raises(ServingError) as caught:
        ask(3.0).result(60)
    assert caught.value.code == Code.UNAVAILABLE
    assert caught.value.message == (
        "The batch scheduling queue to which this task was submitted is full; currently 2 batches "
        "enqueued and max_enqueued_batches is 2"
    )
    run.go.set()
    assert [a.result(60)[0].tolist() for a in answers] == [[2], [4]]


def test_who_waited_too_long_is_told_and_not_run(scheduled):
    _, run, ask, hold = scheduled(held=True)
    hold()
    late, patient = ask(1.0, timeout_seconds=0.0), ask(2.0, timeout_seconds=600.0)
    run.go.set()
    assert patient.result(60)[0].tolist() == [4]
    with pytest.raises(ServingError) as caught:
        late.result(60)
    assert caught.value.code == Code.RESOURCE_EXHAUSTED
    assert caught.value.message == "Run() timeout exceeded while waiting in batching queue"
    assert [x.tolist() for x in run.seen] == [[2]]


def test_a_batch_waits_until_it_is_full_or_the_scheduler_ends(scheduled):
    scheduler, run, ask, _ = scheduled(max_batch_size=2, batch_timeout_micros=LATE)
    first = ask(1.0)
    assert not first.done() and not run.seen
    assert [a.result(60)[0].tolist() for a in (ask(2.0), first)] == [[4], [2]]
    last = ask(3.0)
    assert not last.done()
    scheduler.close()
    assert last.result(60)[0].tolist() == [6]
    with pytest.raises(ServingError, match="has stopped"):
        scheduler.submit("k", run, {"x": np.ones(1)}, Parameters())


def test_a_batch_is_run_when_its_time_is_over(scheduled):
    _, _, ask, _ = scheduled(max_batch_size=2, batch_timeout_micros=1000, num_batch_threads=3)
    assert [ask(float(i)).result(60)[0].tolist() for i in range(5)] == [[2 * i] for i in range(5)]


def test_too_many_rows_are_refused(scheduled):
    scheduler, run, _, _ = scheduled()
    text = "Task size 5 is larger than maximum input batch size 4"
    with pytest.raises(ServingError, match=f"^{text}$") as caught:
        scheduler.submit("k", run, {"x": np.ones(5)}, Parameters(max_batch_size=4))
    assert caught.value.code == Code.INVALID_ARGUMENT and not run.seen


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, 3),
        ({"x": np.ones(2), "y": np.ones(1)}, None),
        ({"x": np.float32(1)}, None),
        ({"x": np.ones(0)}, None),
        ({}, None),
    ],
)
def test_inputs_with_as_many_rows_each_may_share(scheduled, inputs, rows):
    assert batching.rows_of(inputs) == rows
    if rows is None:
        scheduler, run, _, _ = scheduled()
        with pytest.raises(ValueError, match="cannot share a batch"):
            scheduler.submit("k", run, inputs, Parameters())


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"max_batch_size": 0}, "max_batch_size is 0; it must be at least 1"),
        ({"num_batch_threads": 0}, "num_batch_threads is 0"),
        ({"max_enqueued_batches": 0}, "max_enqueued_batches is 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros is -1; it must not be negative"),
        ({"max_batch_size": 4, "max_execution_batch_size": 5}, "it must be at most max_batch_size"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (2, 1, 4)}, "they must ascend"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (1, 2)}, "to the rows of the largest .* 4"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (0, 4)}, "from at least 1"),
    ],
)
def test_parameters_that_cannot_be_are_a_sentence(parameters, sentence):
    with pytest.raises(ServingError, match=sentence):
        Parameters(**parameters)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_is_asked_at_once_each_gets_twice_its_own(data):
    most = data.draw(st.integers(1, 9))
    cut = data.draw(st.booleans())
    execution = data.draw(st.integers(1, most)) if cut else 0
    sizes = data.draw(st.lists(st.integers(1, most), min_size=1, max_size=24))
    parameters = Parameters(
        max_batch_size=most,
        batch_timeout_micros=data.draw(st.sampled_from([0, 200])),
        max_enqueued_batches=10**6,
        num_batch_threads=data.draw(st.integers(1, 4)),
        enable_large_batch_splitting=cut,
        max_execution_batch_size=execution,
    )
    scheduler, run = Scheduler(parameters.num_batch_threads), Doubling()
    rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    with ThreadPoolExecutor(len(rows)) as pool:
        asked = [pool.submit(scheduler.submit, "k", run, {"x": x}, parameters) for x in rows]
        answers = [a.result(60)[0] for a in asked]
    scheduler.close()
    for x, answer in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * x)
    assert max(map(len, run.seen)) <= parameters.most
