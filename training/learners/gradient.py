"""The common rule: one objective, one optimizer, down the gradient."""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from training import averages, loss_scale, optimizers
from training.averages import Average
from training.config import Run
from training.loss_scale import LossScale
from training.schedules import Rate
from training.step import Batch, Logs, Objective, descend, judge


@dataclasses.dataclass
class Gradient:
    """A learner: see `training.loop.Learner`. Make it inside the strategy's scope."""

    model: keras.Model
    objective: Objective
    optimizer: keras.optimizers.Optimizer
    clip_norm: float | None
    micro_batches: int
    compile: bool
    average: Average | None = None
    loss_scale: LossScale | None = None
    schedule: Rate | None = None

    def train_step(self, batch: Batch) -> Logs:
        rate = tf.convert_to_tensor(self.optimizer.learning_rate)  # of this step, so before it
        logs = descend(
            self.objective,
            self.model,
            [(self.optimizer, self.model.trainable_variables)],
            batch,
            clip_norm=self.clip_norm,
            micro_batches=self.micro_batches,
            compile=self.compile,
            average=self.average,
            loss_scale=self.loss_scale,
        )
        return {**logs, "learning_rate": rate}

    def eval_step(self, batch: Batch) -> Logs:
        return judge(self.objective, self.model, batch, compile=self.compile)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.swapped() if self.average else contextlib.nullcontext()

    def watched(self, value: float) -> None:
        if self.schedule is not None:
            self.schedule.watched(value)

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        groups = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        more = {"average": self.average, "loss_scale": self.loss_scale}
        return {**groups, **{name: part.variables for name, part in more.items() if part}}


def make(model: keras.Model, objective: Objective, run: Run) -> Gradient:
    """The learner of a run, its optimizer's variables created."""
    recipe = run.recipe
    optimizer = optimizers.make(recipe.optimizer, recipe.schedule, recipe.steps, model)
    return Gradient(
        model=model,
        objective=objective,
        optimizer=optimizer,
        clip_norm=recipe.optimizer.clip_norm,
        micro_batches=recipe.micro_batches,
        compile=run.compile,
        average=averages.of(model, recipe),
        loss_scale=loss_scale.of(run),
        schedule=optimizer.rate,
    )
