"""The loop: batches in, logs out, and what happens every so many steps."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from training import checkpoints, guards, living, profiling, speed, step
from training.config import Run, UserError
from training.journal import Journal
from training.signals import Signals
from training.strategy import exchange, spread


class Learner(Protocol):
    """How parameters move.

    Both steps run in a replica's context and give logs with a weight. Within `averaged()` the
    model has the weights that evaluations and exports use. `watched` is called after each
    evaluation, in every worker alike.
    """

    @property
    def model(self) -> keras.Model: ...

    def train_step(self, batch: step.Batch) -> step.Logs: ...

    def eval_step(self, batch: step.Batch) -> step.Logs: ...

    def averaged(self) -> contextlib.AbstractContextManager[None]: ...

    def watched(self, value: float) -> None: ...

    @property
    def state(self) -> Mapping[str, Sequence[keras.Variable]]: ...


class Data(Protocol):
    """Batches of a split from a step on.

    What a step's batch holds depends on its number alone, unless the data are made by the model
    that learns from them (`training.living`).
    """

    def batches(
        self, split: str, batch_size: int, *, seed: int, start: int = 0
    ) -> tf.data.Dataset: ...


Evaluator = Callable[[], dict[str, Any]]  # what to show: name -> number, text, uint8 [H, W, C]


class Interrupted(Exception):
    """A signal asked for the end; everything up to `step` is saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(number, step)
        self.number, self.step = number, step


@dataclasses.dataclass
class Progress:
    """Where the run is.

    Attributes:
        step: Steps done.
        best: The lowest watched value.
        best_step: Where it was.
        evaluated: False while an evaluation is due at this step.
    """

    step: int = 0
    best: float | None = None
    best_step: int | None = None
    evaluated: bool = True

    def meta(self) -> checkpoints.Meta:
        """What a checkpoint made now knows besides tensors."""
        return checkpoints.Meta(**dataclasses.asdict(self))

    def improved(self, watched: float) -> bool:
        """Takes this step's watched value; whether it is the best so far."""
        self.evaluated = True
        if self.best is not None and watched >= self.best:
            return False
        self.best, self.best_step = watched, self.step
        return True


def train(
    run: Run,
    learner: Learner,
    data: Data,
    journal: Journal,
    *,
    strategy: tf.distribute.Strategy,
    evaluators: Sequence[Evaluator] = (),
) -> Progress:
    """Trains to the run's last step, from its newest readable checkpoint where there is one.

    Raises:
        Interrupted: by SIGINT or SIGTERM, after a checkpoint.
        guards.Diverged: the run stopped itself; the checkpoints before it stay.
        OSError: a checkpoint could not be written; the ones before it stay. The steps since it
            was begun are lost.
    """
    recipe, folder = run.recipe, run.run_dir / "checkpoints"
    feed = living.begin(data, learner, seed=run.seed, batch_size=recipe.batch_size)
    progress = resume(folder, learner, feed, journal)
    saver = checkpoints.Saver(folder, keep=recipe.keep)
    guard = guards.Guard(run, learner.state, saver)
    profile = profiling.Profile(run, say=journal.say, wanted=journal.writes)
    advance = stepper(
        run, learner, feed, journal, profile=profile, progress=progress, strategy=strategy
    )
    look = evaluation(run, learner, data, strategy=strategy, evaluators=evaluators)
    everyones = exchange(strategy)

    def save() -> None:
        if journal.writes:
            saver.save(learner.state, progress.meta(), data=feed.snapshot())

    def judge(means: dict[str, float], shown: dict[str, Any]) -> None:
        guard.eval(progress.step, means)
        journal.eval(progress.step, means, shown)
        watched = {**means, **shown}[recipe.watch]
        learner.watched(watched)
        if progress.improved(watched):
            save()

    def asked() -> int:
        return max(everyones(signals.number or 0))  # all workers end at the same step

    ends = (saver, contextlib.closing(profile), contextlib.closing(feed))
    with Signals() as signals, _all(*ends, journal.live(progress.step)):
        while progress.step < recipe.steps or not progress.evaluated:
            saver.check()
            if progress.evaluated:
                logs, count = advance()
                guard.train(progress.step, logs, count=count)
            seen = None if progress.evaluated else look(asked)
            if seen is not None:
                judge(*seen)
            if progress.step % recipe.save_every == 0 or progress.step == recipe.steps:
                save()
            if number := asked():
                save()
                raise Interrupted(number, progress.step)
    return progress


@contextlib.contextmanager
def _all(*managers: contextlib.AbstractContextManager[Any]) -> Iterator[None]:
    """Enters these one after another, and leaves them the other way round."""
    with contextlib.ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield


def stepper(
    run: Run,
    learner: Learner,
    data: living.Living,
    journal: Journal,
    *,
    profile: profiling.Profile,
    progress: Progress,
    strategy: tf.distribute.Strategy,
) -> Callable[[], tuple[dict[str, float], int]]:
    """A function that takes the steps up to the next log, logs them, and gives means and count."""
    recipe, start = run.recipe, progress.step
    meter = speed.Meter(learner.train_step, run, strategy, measures=journal.writes)
    many = step.repeat(meter, strategy)
    iterator = spread(
        data.batches("train", recipe.batch_size, seed=run.seed, start=start), strategy
    )

    def advance() -> tuple[dict[str, float], int]:
        to_log = recipe.log_every - progress.step % recipe.log_every
        count = min(to_log, recipe.steps - progress.step)
        with profile.around(progress.step + 1, progress.step + count):
            began = time.perf_counter()
            logs = walk(many, iterator, data, first=progress.step, count=count)
            seconds = time.perf_counter() - began
        progress.step += count
        numbers = {**meter.numbers(count=count, seconds=seconds), **data.facts()}
        if progress.step == start + count:
            journal.machine(meter.facts())
        journal.train(progress.step, logs, count=count, seconds=seconds, machine=numbers)
        ended = progress.step == recipe.steps
        progress.evaluated = not ended and progress.step % recipe.eval_every != 0
        return logs, count

    return advance


def walk(
    many: Callable[[Any, int], dict[str, float]],
    iterator: Any,
    data: living.Living,
    *,
    first: int,
    count: int,
) -> dict[str, float]:
    """The means of `count` steps, taken in calls of the graph as long as there are batches for."""
    parts: list[dict[str, float]] = []
    done = 0
    while done < count:
        some = data.ready(first + done, count - done)
        parts.append(many(iterator, some))
        done += some
    return pooled(parts)


def pooled(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of parts of different weight to the means over all; the weight is the sum."""
    total = sum(part[step.WEIGHT] for part in parts)
    means = {
        name: sum(part[name] * part[step.WEIGHT] for part in parts) / total for name in parts[0]
    }
    return {**means, step.WEIGHT: total} if len(parts) > 1 else parts[0]


Seen = tuple[dict[str, float], dict[str, Any]]  # means of an evaluation, what evaluators show


def evaluation(
    run: Run,
    learner: Learner,
    data: Data,
    *,
    strategy: tf.distribute.Strategy,
    evaluators: Sequence[Evaluator] = (),
    split: str = "eval",
) -> Callable[[Callable[[], int]], Seen | None]:
    """A function that evaluates `eval_batches` batches from a split's beginning.

    It is given `asked`, which it calls in between: where that is not 0 it ends without a result.
    """
    many = step.repeat(learner.eval_step, strategy)
    recipe = run.recipe

    def look(asked: Callable[[], int] = lambda: 0) -> Seen | None:
        iterator = spread(data.batches(split, recipe.batch_size, seed=0), strategy)
        parts: list[dict[str, float]] = []
        shown: dict[str, Any] = {}
        with learner.averaged():
            for first in range(0, recipe.eval_batches, recipe.log_every):
                if asked():
                    return None
                parts.append(many(iterator, min(recipe.log_every, recipe.eval_batches - first)))
            for evaluator in evaluators:
                if asked():
                    return None
                shown |= evaluator()
        return pooled(parts), shown

    return look


def resume(folder: Any, learner: Learner, data: living.Living, journal: Journal) -> Progress:
    """Sets learner and data to the newest readable checkpoint; says which ones could not be read.

    Raises:
        UserError: the newest readable checkpoint is of other variables.
    """
    for checkpoint in reversed(checkpoints.everything(folder)):
        try:
            kept = checkpoints.read_data(checkpoint)
            meta = checkpoints.restore(checkpoint, learner.state)
        except checkpoints.Unreadable as error:
            journal.say(f"Checkpoint {error}; it is set aside and the one before is taken.")
            if journal.writes:
                checkpoints.set_aside(checkpoint)
            continue
        except checkpoints.Foreign as error:
            raise UserError(
                f"Checkpoint {error}; other code made it. Give another --run-dir, and --init-from "
                "to begin with its weights."
            ) from None
        try:
            data.restore(kept)
        except ValueError as error:
            raise UserError(
                f"Checkpoint {checkpoint.name} has other data: {error}. Give another --run-dir."
            ) from None
        journal.rewind(meta.step, evaluated=meta.evaluated)
        journal.say(f"Going on from step {meta.step:,}.")
        return Progress(meta.step, meta.best, meta.best_step, meta.evaluated)
    journal.rewind(0)
    return Progress()
