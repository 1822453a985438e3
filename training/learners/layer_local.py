"""One rule per layer: each has an optimizer of its own, and no derivative passes between layers.

One tape sees all layers at once, because their losses are added and the model's states let no
derivative pass: what an optimizer is given is the derivative of its own layer's loss. Each clips by
the norm of its own layer, so layers learn nothing of each other there either.
"""

import contextlib
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from training import averages, loss_scale, optimizers
from training.averages import Average
from training.config import OptimizerChoice, Run
from training.loss_scale import LossScale
from training.step import WEIGHT, Batch, Logs, Moves, Objective, descend, judge

HEAD_RATE, HEAD_DECAY = 10.0, 3.0  # of the softmax over those of a layer, as in the published code
KEPT = 0.9  # of a unit's running activity at each step


@dataclasses.dataclass
class LayerLocal:
    """A learner: see `training.loop.Learner`. Make it inside the strategy's scope.

    Its model has `hidden`, layers with an `activity` each.

    Attributes:
        rules: What learns, by its layer's name: the optimizer and what it moves.
    """

    model: Any
    objective: Objective
    rules: dict[str, Moves]
    clip_norm: float | None
    micro_batches: int
    compile: bool
    average: Average | None = None
    loss_scale: LossScale | None = None

    def train_step(self, batch: Batch) -> Logs:
        rate = tf.convert_to_tensor(next(iter(self.rules.values()))[0].learning_rate)
        logs = descend(
            self.objective,
            self.model,
            list(self.rules.values()),
            batch,
            clip_norm=self.clip_norm,
            micro_batches=self.micro_batches,
            compile=self.compile,
            average=self.average,
            loss_scale=self.loss_scale,
        )
        return {**self._without_activities(logs), "learning_rate": rate}

    def _without_activities(self, logs: Logs) -> Logs:
        """Takes the units' mean activities over the global batch into the running ones.

        The step before used the running ones as they stood, so a batch can be cut in any parts.
        """
        context = tf.distribute.get_replica_context()
        share = logs[WEIGHT] / context.all_reduce(tf.distribute.ReduceOp.SUM, logs[WEIGHT])
        rest = dict(logs)
        for i, layer in enumerate(self.model.hidden):
            own = rest.pop(f"activity_{i}") * share
            mean = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
            if layer.trainable:
                layer.activity.assign(KEPT * layer.activity + (1 - KEPT) * mean)
        return rest

    def eval_step(self, batch: Batch) -> Logs:
        return judge(self.objective, self.model, batch, compile=self.compile)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.swapped() if self.average else contextlib.nullcontext()

    def watched(self, value: float) -> None:
        for optimizer, _ in self.rules.values():
            optimizer.rate.watched(value)

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        groups = {"model": self.model.variables}
        groups |= {f"optimizer_{name}": rule.variables for name, (rule, _) in self.rules.items()}
        more = {"average": self.average, "loss_scale": self.loss_scale}
        return {**groups, **{name: part.variables for name, part in more.items() if part}}


def make(model: Any, objective: Objective, run: Run) -> LayerLocal:
    """The learner of a run, its optimizers' variables created; a frozen layer has none."""
    recipe = run.recipe
    rules: dict[str, Moves] = {}
    for layer in (*model.hidden, model.logits):
        if layer.trainable_variables:
            values = _faster(recipe.optimizer) if layer is model.logits else recipe.optimizer
            made = optimizers.make(values, recipe.schedule, recipe.steps, layer)
            rules[layer.name] = (made, layer.trainable_variables)
    return LayerLocal(
        model=model,
        objective=objective,
        rules=rules,
        clip_norm=recipe.optimizer.clip_norm,
        micro_batches=recipe.micro_batches,
        compile=run.compile,
        average=averages.of(model, recipe),
        loss_scale=loss_scale.of(run),
    )


def _faster(values: OptimizerChoice) -> OptimizerChoice:
    """The softmax's optimizer."""
    rate, decay = values.learning_rate * HEAD_RATE, values.weight_decay * HEAD_DECAY
    return dataclasses.replace(values, learning_rate=rate, weight_decay=decay)  # type: ignore
