"""What `benchmarks.trainer` times, each in a process of its own: the loop, the step, the data."""

import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import rich.console
import tensorflow as tf

from benchmarks import peers
from kmodels import gpt
from training import checkpoints, config, loop, recipes
from training import run as command
from training.data.windows import TokenWindows
from training.journal import Journal

FOREVER = 1_000_000_000  # steps; a peer's process is ended from outside
TURNS = "turns.jsonl"  # what a peer measured itself, a line a turn
TURN = 50  # steps of a turn of `overhead`
BETWEEN = 100  # steps between two saves
SAVED = gpt.Config(vocab=None, context=64, depth=8, heads=8, width=512, bias=False, dropout=0.0)
KEPT = 2000  # batches that the bare step has in memory
WINDOWS = {"char": 5000, "gpt2-small": 1000}  # batches in a unit of the pipeline's work
BATCH = {"char": 12, "gpt2-small": 2}
STEPS = {"char": 25}  # in a unit of the step's work
WORDS = 1_000_000  # random tokens that gpt2-small's windows are cut from


def run_of(shape: gpt.Config, folder: pathlib.Path, **changes: Any) -> tuple[config.Run, Any]:
    """A run of that GPT on the embedded text, never evaluated; and its data."""
    module = recipes.load("gpt")
    recipe = module.recipe(shape)
    if shape.vocab is None:
        prepared: Any = module.prepare(shape, recipe, None)
        shape, data = prepared.config, prepared.data
    else:
        tokens = np.random.default_rng(0).integers(0, shape.vocab, WORDS, dtype=np.int32)
        data = TokenWindows(train=tokens, eval=tokens, context=shape.context)
    never = recipe.log_every * 1_000_000
    recipe = dataclasses.replace(
        recipe, **{"steps": FOREVER, "eval_every": never, "save_every": never, **changes}
    )
    run = config.Run(
        model="gpt",
        preset="char",
        config=shape,
        recipe=recipe,
        compile=True,
        run_dir=folder / "run",
        export_dir=folder / "exports",
    )
    return run, data


class Turns(Journal):
    """A journal that stops the loop when a turn's steps are done, until the next turn."""

    def __init__(self, run: config.Run) -> None:
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
        console = rich.console.Console(file=nowhere, force_terminal=True)
        super().__init__(run, unit="tokens", console=console)
        self.asked: queue.Queue[int] = queue.Queue()
        self.done: queue.Queue[None] = queue.Queue()
        self.left = 0
        self.calls: list[float] = []  # seconds of each call of the graph in this turn

    def train(self, step: int, logs: Any, *, count: int, seconds: float, **more: Any) -> None:
        super().train(step, logs, count=count, seconds=seconds, **more)
        self.calls.append(seconds)
        self.left -= count
        if self.left <= 0:
            self.done.put(None)
            self.left = self.asked.get()

    def turn(self, steps: int) -> None:
        """Lets the loop take that many steps, a multiple of its log interval."""
        assert steps % self.run.recipe.log_every == 0
        self.calls.clear()
        self.asked.put(steps)
        self.done.get()


def serve_loop(run: config.Run, data: Any, job: Any, *, warm: int) -> None:
    """Runs `loop.train` and serves turns of it.

    The loop has the main thread, where it takes signals; the turns are asked for in another.

    Args:
        job: `job(turns, units)` does units of work.
        warm: Units before the first answer.
    """
    chosen = tf.distribute.get_strategy()
    learner = command.learner_of(run, chosen)
    journal = Turns(run)

    def make() -> tuple[peers.Job, str]:
        return lambda units: job(journal, units), f"{learner.model.count_params():,} parameters"

    threading.Thread(target=lambda: peers.serve(make, warm=warm), daemon=True).start()
    journal.left = journal.asked.get()
    loop.train(run, learner, data, journal, strategy=chosen)


def bare(preset: str, folder: pathlib.Path, *, units: int = 1) -> tuple[peers.Job, str]:
    """The learner's step in a graph over batches held in memory, and nothing else."""
    run, data = run_of(gpt.PRESETS[preset], folder, batch_size=BATCH[preset])
    learner = command.learner_of(run, tf.distribute.get_strategy())
    at_once = run.recipe.log_every if units == 1 else units
    first = data.batches("train", BATCH[preset], seed=run.seed).take(KEPT)
    batches = list(first.as_numpy_iterator())
    kept = {name: tf.constant(np.stack([b[name] for b in batches])) for name in batches[0]}

    @tf.function
    def many(start: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        loss = tf.constant(0.0)
        for i in tf.range(count):
            batch = {name: value[(start + i) % KEPT] for name, value in kept.items()}
            loss += learner.train_step(batch)["loss"]
        return loss

    position = 0

    def job(asked: int) -> None:
        nonlocal position
        for taken in range(0, asked * units, at_once):
            count = min(at_once, asked * units - taken)
            many(tf.constant(position), tf.constant(count)).numpy()
            position += count

    return job, f"{learner.model.count_params():,} parameters, batches of {BATCH[preset]}"


def overhead(folder: pathlib.Path) -> None:
    """`loop.train` of GPT char and the bare step in turn, in one process; a unit is a turn of each.

    Every other time the bare step is first. The bar, whose thread draws while the loop trains,
    stands still meanwhile. Seconds a step of each go to FOLDER/turns.jsonl.
    """
    run, data = run_of(gpt.PRESETS["char"], folder)
    alone, _ = bare("char", folder / "bare")

    def bare_turn(turns: Turns) -> None:
        alone(TURN)

    def whole_turn(turns: Turns) -> None:
        if turns.bar is not None:  # there is none before the loop begins
            turns.bar.start()
        turns.turn(TURN)
        assert turns.bar is not None
        turns.bar.stop()

    ways = {"ours": whole_turn, "bare": bare_turn}

    def both(turns: Turns, units: int) -> None:
        for _ in range(units):
            entry = {}
            for name, way in ways.items():
                time.sleep(peers.REST_SECONDS)
                began = time.perf_counter()
                way(turns)
                entry[name] = (time.perf_counter() - began) / TURN
            _write(folder, entry)
            first = next(iter(ways))
            ways[first] = ways.pop(first)  # to the end

    serve_loop(run, data, both, warm=2)


def _write(folder: pathlib.Path, entry: dict[str, float]) -> None:
    with (folder / TURNS).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def windows(preset: str, folder: pathlib.Path) -> tuple[peers.Job, str]:
    """The pipeline alone: every token of every batch is read."""
    run, data = run_of(gpt.PRESETS[preset], folder)
    batches = iter(data.batches("train", BATCH[preset], seed=run.seed))

    @tf.function
    def many(count: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0)
        for _ in tf.range(count):
            batch = next(batches)
            total += tf.reduce_max(batch["tokens"]) + tf.reduce_max(batch["targets"])
        return total

    def job(units: int) -> None:
        many(tf.constant(units * WINDOWS[preset])).numpy()

    return job, f"windows of {run.config.context} tokens, batches of {BATCH[preset]}"


def saves(folder: pathlib.Path, *, at_once: bool) -> None:
    """`loop.train` of 25 million parameters with a save every 100 steps; one unit is an interval.

    An interval begins with the save of the one before. What it took goes to FOLDER/turns.jsonl.

    Args:
        at_once: Whether the loop waits until the checkpoint is on disk, the way not taken.
    """
    run, data = run_of(SAVED, folder, batch_size=8, log_every=5, save_every=BETWEEN)
    spent = {"stands still": 0.0, "is written in": 0.0}
    real: dict[str, Any] = {
        "stands still": checkpoints.Saver.save,
        "is written in": checkpoints.write,
    }

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        spent[name] = time.perf_counter() - began

    def save(saver: checkpoints.Saver, *arguments: Any, **options: Any) -> None:
        with timed("stands still"):
            real["stands still"](saver, *arguments, **options)
            if at_once:
                saver.wait()

    def write(*arguments: Any, **options: Any) -> Any:
        with timed("is written in"):
            return real["is written in"](*arguments, **options)

    def interval(turns: Turns, units: int) -> None:
        for _ in range(units):
            began = time.perf_counter()
            turns.turn(BETWEEN)
            calls = sorted(turns.calls[len(turns.calls) // 2 :])  # nothing is written then
            call = calls[len(calls) // 2]
            entry = {
                **spent,
                "one step": call / run.recipe.log_every,
                "between two saves": time.perf_counter() - began,
                "steps take longer": sum(turns.calls) - call * len(turns.calls),
            }
            _write(folder, entry)

    checkpoints.Saver.save = save  # type: ignore[method-assign, assignment]
    checkpoints.write = write
    serve_loop(run, data, interval, warm=2)  # the first has no save, the second new memory


def work(name: str, folder: pathlib.Path) -> None:
    """Serves one peer of `benchmarks.trainer`, by name."""
    with tempfile.TemporaryDirectory() as place:
        here = pathlib.Path(place)
        if name == "overhead":
            overhead(folder)
        elif name.startswith("saves-"):
            saves(folder, at_once=name == "saves-at-once")
        else:
            what, _, preset = name.partition(":")
            if what == "windows":
                peers.serve(lambda: windows(preset, here), warm=1)
            else:
                peers.serve(lambda: bare(preset, here, units=STEPS[preset]), warm=1)
