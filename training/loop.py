"""The loop: batches in, logs out, and what happens every so many steps."""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol

import keras
import tensorflow as tf

from training import checkpoints, step
from training.config import Run, UserError
from training.journal import Journal
from training.strategy import exchange, spread


class Learner(Protocol):
    """How parameters move. Both steps run in a replica's context and give logs with a weight."""

    @property
    def model(self) -> keras.Model: ...

    def train_step(self, batch: step.Batch) -> step.Logs: ...

    def eval_step(self, batch: step.Batch) -> step.Logs: ...

    @property
    def state(self) -> Mapping[str, Sequence[keras.Variable]]: ...


class Data(Protocol):
    """Batches of a split from a step on; what a step's batch holds depends on its number alone."""

    def batches(
        self, split: str, batch_size: int, *, seed: int, start: int = 0
    ) -> tf.data.Dataset: ...


Evaluator = Callable[[], dict[str, Any]]  # what to show: name -> number or text


class Interrupted(Exception):
    """A signal asked for the end; everything up to `step` is saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(number, step)
        self.number, self.step = number, step


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


@dataclasses.dataclass
class Progress:
    """Where the run is. `best` is the lowest watched value, `best_step` where it was."""

    step: int = 0
    best: float | None = None
    best_step: int | None = None


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
        OSError: a checkpoint could not be written; the ones before it stay. The steps since it
            was begun are lost.
    """
    recipe, folder = run.recipe, run.run_dir / "checkpoints"
    progress = resume(folder, learner, journal)
    many, evaluate = (step.repeat(s, strategy) for s in (learner.train_step, learner.eval_step))
    batches = data.batches("train", recipe.batch_size, seed=run.seed, start=progress.step)
    iterator = spread(batches, strategy)
    everyones = exchange(strategy)

    def save() -> None:
        if not journal.writes:
            return
        meta = checkpoints.Meta(progress.step, progress.best, progress.best_step)
        saver.save(learner.state, meta)

    def evaluated() -> tuple[dict[str, float], dict[str, Any]]:
        held_out = data.batches("eval", recipe.batch_size, seed=0)
        logs = evaluate(spread(held_out, strategy), recipe.eval_batches)
        return logs, {k: v for look in evaluators for k, v in look().items()}

    with Signals() as signals, checkpoints.Saver(folder) as saver, journal.live(progress.step):
        while progress.step < recipe.steps:
            saver.check()
            to_log = recipe.log_every - progress.step % recipe.log_every
            count = min(to_log, recipe.steps - progress.step)
            began = time.perf_counter()
            logs = many(iterator, count)
            progress.step += count
            journal.train(progress.step, logs, count=count, seconds=time.perf_counter() - began)
            ended = progress.step == recipe.steps
            if progress.step % recipe.eval_every == 0 or ended:
                logs, shown = evaluated()
                journal.eval(progress.step, logs, shown)
                if progress.best is None or logs[recipe.watch] < progress.best:
                    progress.best, progress.best_step = logs[recipe.watch], progress.step
                    save()
            asked = max(everyones(signals.number or 0))  # all workers end at the same step
            if progress.step % recipe.save_every == 0 or ended or asked:
                save()
            if asked:
                raise Interrupted(asked, progress.step)
    return progress


def resume(folder: Any, learner: Learner, journal: Journal) -> Progress:
    """Sets the learner to the newest readable checkpoint; says which ones could not be read.

    Raises:
        UserError: the newest readable checkpoint is of other variables.
    """
    for checkpoint in reversed(checkpoints.everything(folder)):
        try:
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
        journal.rewind(meta.step)
        journal.say(f"Going on from step {meta.step:,}.")
        return Progress(meta.step, meta.best, meta.best_step)
    journal.rewind(0)
    return Progress()
