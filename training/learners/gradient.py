"""The common rule: one objective, one optimizer, down the gradient."""

import dataclasses

import keras
import tensorflow as tf

from training.config import AdamW, Run, Schedule
from training.step import Batch, Logs, Objective, descend


@dataclasses.dataclass
class Gradient:
    """A learner: see `training.loop.Learner`. Make it inside the strategy's scope."""

    model: keras.Model
    objective: Objective
    optimizer: keras.optimizers.Optimizer
    clip_norm: float | None
    micro_batches: int
    compile: bool

    def train_step(self, batch: Batch) -> Logs:
        rate = tf.convert_to_tensor(self.optimizer.learning_rate)  # of this step, so before it
        logs = descend(
            self.objective,
            self.model,
            self.optimizer,
            batch,
            clip_norm=self.clip_norm,
            micro_batches=self.micro_batches,
            compile=self.compile,
        )
        return {**logs, "learning_rate": rate}

    def eval_step(self, batch: Batch) -> Logs:
        def forward(batch: Batch) -> Logs:
            loss, logs = self.objective(self.model, batch, training=False)
            return {"loss": loss, **logs}

        return tf.function(forward, jit_compile=True)(batch) if self.compile else forward(batch)

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        return {"model": self.model.variables, "optimizer": self.optimizer.variables}


def make(model: keras.Model, objective: Objective, run: Run) -> Gradient:
    """The learner of a run, its optimizer's variables created."""
    recipe = run.recipe
    optimizer = adamw(recipe.optimizer, recipe.schedule, recipe.steps, model)
    return Gradient(
        model=model,
        objective=objective,
        optimizer=optimizer,
        clip_norm=recipe.optimizer.clip_norm,
        micro_batches=recipe.micro_batches,
        compile=run.compile,
    )


def adamw(
    values: AdamW, schedule: Schedule, steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Keras's AdamW, built on the model's variables."""
    optimizer = keras.optimizers.AdamW(
        learning_rate=Rate(values.learning_rate, schedule, steps),
        beta_1=values.beta_1,
        beta_2=values.beta_2,
        epsilon=values.epsilon,
        weight_decay=values.weight_decay,
        name="adamw",
    )
    if values.decay == "matrices":
        vectors = [v for v in model.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(model.trainable_variables)
    return optimizer


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at a step, the first being 0."""

    def __init__(self, peak: float, schedule: Schedule, steps: int) -> None:
        super().__init__()
        self.peak, self.schedule, self.steps = peak, schedule, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warmup = float(self.schedule.warmup_steps)
        rising = (step + 1) / (warmup + 1)
        if self.schedule.kind == "constant":
            return self.peak * tf.minimum(rising, 1.0)
        done = tf.clip_by_value((step - warmup) / max(self.steps - warmup, 1.0), 0.0, 1.0)
        final = self.schedule.final
        falling = final + (1 - final) * 0.5 * (1 + tf.cos(3.141592653589793 * done))
        return self.peak * tf.where(step < warmup, rising, falling)
