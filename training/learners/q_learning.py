"""Q-learning: one network goes down the temporal difference to an older copy of itself."""

import contextlib
import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kmodels.core import zoo
from training import agents, averages, loss_scale, optimizers
from training.averages import Average
from training.config import Run
from training.loss_scale import LossScale
from training.schedules import Rate
from training.step import ROWS, Batch, Logs, Objective, descend, judge


@dataclasses.dataclass
class QLearning:
    """A learner: see `training.loop.Learner`. Make it inside the strategy's scope.

    tf-agents' agent says what a batch's loss is; the gradient goes the way of all others (decision
    0034). After every `target_every` updates, which is how the paper counts, the target becomes a
    copy of the network.

    Attributes:
        agent: tf-agents' DqnAgent or DdqnAgent.
        target: Its second network.
        updates: Done so far, int64.
        told: What updates found of rows that have a place, until `errors` hands it over; holds as
            many updates as a round of the data has.
    """

    model: keras.Model
    agent: Any
    target: keras.Model
    updates: keras.Variable
    told: tf.queue.FIFOQueue
    target_every: int
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
        context = tf.distribute.get_replica_context()
        if ROWS in logs:
            places = tf.cast(batch["place"], tf.float64)
            rows = tf.stack([places, tf.cast(logs.pop(ROWS), tf.float64)], axis=1)
            context.merge_call(self._tell, args=(rows,))
        context.merge_call(self._follow)
        return {**logs, "learning_rate": rate}

    def _tell(self, strategy: tf.distribute.Strategy, rows: tf.Tensor) -> None:
        """Keeps what this worker's replicas found, for its own data."""
        self.told.enqueue(tf.concat(strategy.experimental_local_results(rows), axis=0))

    def errors(self) -> list[np.ndarray]:
        """Place and size of the error of each row, float64 [rows, 2], by update; each only once."""
        return [self.told.dequeue().numpy() for _ in range(int(self.told.size()))]

    def _follow(self, strategy: tf.distribute.Strategy) -> None:
        """Counts an update; the target takes over the weights where it is time to."""
        count = self.updates.value

        def counted(variable: tf.Variable) -> None:
            variable.assign_add(1)

        def copied(target: tf.Variable, due: tf.Tensor, weight: tf.Tensor) -> None:
            target.assign(tf.where(due, weight, target))

        strategy.extended.update(count, counted, group=False)
        due = tf.equal(self.updates % self.target_every, 0)
        for target, weight in zip(self.target.variables, self.model.variables, strict=True):
            strategy.extended.update(target.value, copied, args=(due, weight.value), group=False)

    def eval_step(self, batch: Batch) -> Logs:
        return judge(self.objective, self.model, batch, compile=self.compile)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.swapped() if self.average else contextlib.nullcontext()

    def watched(self, value: float) -> None:
        if self.schedule is not None:
            self.schedule.watched(value)

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        groups = {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "target": self.target.variables,
            "updates": [self.updates],
        }
        more = {"average": self.average, "loss_scale": self.loss_scale}
        return {**groups, **{name: part.variables for name, part in more.items() if part}}


def make(model: keras.Model, objective: Objective, run: Run) -> QLearning:
    """The learner of a run, its optimizer's variables created."""
    recipe = run.recipe
    assert recipe.acting is not None  # as the recipe has checked
    build = functools.partial(zoo.load(run.model).build, run.config)
    agent = agents.agent(model, build, recipe.acting)
    optimizer = optimizers.make(recipe.optimizer, recipe.schedule, recipe.steps, model)
    return QLearning(
        model=model,
        agent=agent,
        target=agent._target_q_network.model,
        updates=keras.Variable(0, dtype="int64", trainable=False, name="updates"),
        told=tf.queue.FIFOQueue(recipe.acting.updates, [tf.float64]),
        target_every=recipe.acting.target_every,
        objective=functools.partial(objective, agent=agent),
        optimizer=optimizer,
        clip_norm=recipe.optimizer.clip_norm,
        micro_batches=recipe.micro_batches,
        compile=run.compile,
        average=averages.of(model, recipe),
        loss_scale=loss_scale.of(run),
        schedule=optimizer.rate,
    )
