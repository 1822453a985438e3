"""One training of `benchmarks.fit`, in a process of its own, by `Model.fit` or by this trainer.

    python -m benchmarks.fit_cases --who=ours --strategy=mirrored --question=plain --folder=FOLDER

Both train the same network of Keras's stock layers, from the same weights, on the same batches.
What came of it goes to FOLDER/QUESTION.json and, the weights, FOLDER/QUESTION.npz; an error goes to
FOLDER/error.txt, and the exit status is 1.
"""

import dataclasses
import io
import json
import os
import pathlib
import signal
import sys
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import rich.console
import tensorflow as tf
import tyro

from training import config, living, loop, optimization, strategy
from training.data.windows import TokenWindows
from training.journal import Journal
from training.learners.gradient import Gradient
from training.objectives.next_token import next_token

VOCAB, CONTEXT, WIDTH, BATCH = 29, 16, 32, 8
STEPS = 10  # of a question that is not about going on
AT_ONCE = 5  # steps in a call; divides STEPS
PARTS = 4  # of an accumulated batch
BOUND = 0.1  # of the gradient's global norm
EPOCH, SAVES, KILLED = 16, 5, 22  # two epochs; steps between saves; the last step before the kill
WHOLE = ("undisturbed", "killed", "resumed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One training.

    Attributes:
        who: keras.Model.fit, or this project's loop.
        strategy: One device, two replicas in a process, or two processes.
        question: What is asked; see `benchmarks.fit`.
        folder: Where the outcome, and what the training saves, goes.
    """

    who: Literal["fit", "ours"]
    strategy: Literal["one", "mirrored", "workers"]
    question: str
    folder: pathlib.Path

    @property
    def steps(self) -> int:
        if self.question == "clip":
            return 1
        return 2 * EPOCH if self.question in WHOLE else STEPS

    @property
    def dropout(self) -> float:
        return 0.5 if self.question in (*WHOLE, "saved", "loaded") else 0.0


def data() -> TokenWindows:
    """Random tokens; which batch a step gets depends on its number alone."""
    tokens = np.random.default_rng(0).integers(0, VOCAB, 4000, dtype=np.int32)
    return TokenWindows(train=tokens, eval=tokens[:400], context=CONTEXT)


def network(case: Case) -> keras.Model:
    """int32 tokens [B, T] -> float32 logits of the next token [B, T, V]."""
    tokens = keras.Input([CONTEXT], dtype="int32")
    x = keras.layers.Embedding(VOCAB, WIDTH)(tokens)
    x = keras.layers.Dense(2 * WIDTH, activation="gelu")(x)
    x = keras.layers.Dropout(case.dropout)(keras.layers.LayerNormalization()(x))
    return keras.Model(tokens, keras.layers.Dense(VOCAB)(x))


def rule(case: Case, **options: Any) -> keras.optimizers.Optimizer:
    """AdamW where runs are compared with themselves, else SGD, whose steps are the gradients."""
    if case.question in WHOLE:
        return keras.optimizers.AdamW(1e-2, **options)
    return keras.optimizers.SGD(1.0 if case.question == "clip" else 0.1, **options)


def fit(case: Case, chosen: tf.distribute.Strategy) -> keras.Model:
    """What Keras's documentation has a user write."""
    asked = case.question
    accumulated = {"gradient_accumulation_steps": PARTS} if asked == "accumulate" else {}
    clipped = {"global_clipnorm": BOUND} if asked == "clip" else {}
    size = BATCH // PARTS if accumulated else BATCH
    batches = data().batches("train", size, seed=0)
    with chosen.scope():
        model = network(case)
        model.compile(
            optimizer=rule(case, **accumulated, **clipped),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True if asked == "xla" else "auto",
            steps_per_execution=AT_ONCE if asked == "many" else 1,
        )
    before(case, model)
    epochs = 2 if asked in WHOLE else 1
    callbacks: list[keras.callbacks.Callback] = []
    if asked in WHOLE:
        callbacks.append(keras.callbacks.BackupAndRestore(str(case.folder / kept(case)), SAVES))
    if asked == "killed":
        ends = iter(range(1, KILLED + 1))
        die = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: kill() if next(ends) == KILLED else None
        )
        callbacks.append(die)
    model.fit(
        batches.map(lambda batch: (batch["tokens"], batch["targets"])),
        steps_per_epoch=case.steps * BATCH // size // epochs,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    )
    if asked == "saved":
        model.save(case.folder / "model.keras")
    return model


def ours(case: Case, chosen: tf.distribute.Strategy) -> keras.Model:
    """This project's loop, its step and its checkpoints."""
    asked = case.question
    run = described(case)
    with chosen.scope():
        model = network(case)
        optimizer = rule(case)
        optimizer.build(model.trainable_variables)
        learner = Gradient(
            model=model,
            objective=next_token,
            optimizer=optimizer,
            clip_norm=BOUND if asked == "clip" else None,
            micro_batches=run.recipe.micro_batches,
            compile=run.compile,
        )
    before(case, model)
    model.optimizer = optimizer
    kind = Deadly if asked == "killed" else Journal
    console = rich.console.Console(file=io.StringIO())
    journal = kind(run, unit="tokens", console=console, writes=strategy.is_chief(chosen))
    if asked == "loaded":
        loop.resume(run.run_dir / "checkpoints", learner, living.of(data()), journal)
    else:
        loop.train(run, learner, data(), journal, strategy=chosen)
    return model


class Deadly(Journal):
    """Kills the process after a step's log line."""

    def train(self, step: int, logs: Any, *, count: int, seconds: float, **more: Any) -> None:
        super().train(step, logs, count=count, seconds=seconds, **more)
        if step == KILLED:
            kill()


def described(case: Case) -> config.Run:
    """The run; one step in a call of the graph unless it is asked what more do."""
    at_once = AT_ONCE if case.question == "many" else 1
    recipe = config.Recipe(
        data="docs",
        codec=config.TextCodecChoice(),
        learner="gradient",
        objective="next_token",
        optimizer=optimization.AdamW(),
        schedule=optimization.Constant(),
        batch_size=BATCH,
        micro_batches=PARTS if case.question == "accumulate" else 1,
        steps=case.steps,
        log_every=at_once,
        eval_every=at_once * 1000,
        save_every=SAVES if case.question in WHOLE else at_once * 1000,
        eval_batches=1,
    )
    return config.Run(
        model="network",
        preset="small",
        config=None,
        recipe=recipe,
        compile=case.question == "xla",
        run_dir=case.folder / kept(case),
        export_dir=case.folder / "exports",
    )


def kept(case: Case) -> str:
    """The folder of what a training saves: a resumed one has that of the killed."""
    return {"resumed": "killed", "loaded": "saved"}.get(case.question, case.question)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(case: Case, model: keras.Model) -> None:
    """Keeps the first weights, for the length of a single step."""
    if case.question == "clip":
        model.first = [v.numpy() for v in model.trainable_variables]


def outcome(case: Case, model: keras.Model) -> dict[str, Any]:
    """What can be compared, besides weights."""
    found: dict[str, Any] = {"seeds": [v.numpy().tolist() for v in model.variables if seed(v)]}
    if case.question == "clip":
        pairs = zip(model.trainable_variables, model.first, strict=True)
        found["moved"] = float(np.sqrt(sum(((v.numpy() - w) ** 2).sum() for v, w in pairs)))
    if case.question in WHOLE:
        found["updates"] = int(model.optimizer.iterations.numpy())
    return found


def seed(variable: keras.Variable) -> bool:
    return "seed_generator" in variable.path


def said(error: Exception) -> str:
    """An error's message as one line; of one in a graph the sentence, not the way there."""
    parts = [part for part in str(error).split("\n\n") if "[[{{node" in part] or [str(error)]
    return " ".join(parts[-1].partition("[[{{node")[0].split())


def main() -> int:
    """Trains; gives the exit status."""
    case = tyro.cli(Case)
    keras.utils.set_random_seed(0)
    if case.question != "xla":  # determinism makes Keras switch XLA off
        tf.config.experimental.enable_op_determinism()
    try:
        name: Any = {"workers": "multi_worker"}.get(case.strategy, case.strategy)
        chosen = strategy.make(name, replicas=2 if case.strategy == "mirrored" else None)
        if case.who == "fit" and case.question == "loaded":
            model = keras.models.load_model(case.folder / "model.keras")
        else:
            model = (fit if case.who == "fit" else ours)(case, chosen)

        def write() -> int:
            weights = [v.numpy() for v in model.trainable_variables]
            np.savez(case.folder / f"{case.question}.npz", *weights)
            file = case.folder / f"{case.question}.json"
            file.write_text(json.dumps(outcome(case, model)))
            return 0

        return strategy.by_chief(chosen, write)
    except Exception as error:
        (case.folder / "error.txt").open("x").write(f"{type(error).__name__}: {said(error)}")
        raise


if __name__ == "__main__":
    sys.exit(main())
