"""Two networks against each other: some updates of the discriminator, then one of the generator."""

import contextlib
import dataclasses
import functools

import keras
import tensorflow as tf

from training import averages, loss_scale, optimizers
from training.averages import Average
from training.config import OptimizerChoice, Run
from training.loss_scale import LossScale
from training.schedules import Rate
from training.step import Batch, Logs, Objective, cut, descend, judge


@dataclasses.dataclass
class Side:
    """One network, and what moves it.

    Attributes:
        average: Follows its weights.
        loss_scale: Its own: where one network's gradients overflow the other's need not.
    """

    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    clip_norm: float | None
    average: Average | None = None
    loss_scale: LossScale | None = None

    @property
    def schedule(self) -> Rate:
        """The optimizer's rate."""
        rate: Rate = self.optimizer.rate
        return rate


@dataclasses.dataclass
class Adversarial:
    """A learner: see `training.loop.Learner`. Make it inside the strategy's scope.

    The model has a `generator` and a `discriminator`; the objective is a game's, which takes
    `player` (`training.objectives.minimax`). In a step the batch is cut into `critic_steps` parts,
    on each of which the discriminator moves once, given what the generator makes at that moment;
    then the generator moves once, making as many examples as a part has (Goodfellow et al. 2014,
    algorithm 1). Moving statistics of batch normalisations follow every pass of their network,
    whoever's turn it is; weights move in their own turn only.

    Logs: `loss` is the discriminator's, over the last part. A game's losses do not say how good
    what is made is, so recipes watch `energy_distance`, which asks no discriminator.
    """

    model: keras.Model
    objective: Objective
    generator: Side
    discriminator: Side
    critic_steps: int
    micro_batches: int
    compile: bool

    def train_step(self, batch: Batch) -> Logs:
        rates = {  # of this step, so before it
            "learning_rate": tf.convert_to_tensor(self.generator.optimizer.learning_rate),
            "discriminator_rate": tf.convert_to_tensor(self.discriminator.optimizer.learning_rate),
        }
        for part in cut(batch, self.critic_steps):
            logs = self.turn("discriminator", part)
        forged = self.turn("generator", part)
        return {**logs, "generator_loss": forged["loss"], **rates}

    def turn(self, player: str, batch: Batch) -> Logs:
        """One update of one side."""
        side: Side = getattr(self, player)
        return descend(
            functools.partial(self.objective, player=player),
            self.model,
            [(side.optimizer, side.network.trainable_variables)],
            batch,
            clip_norm=side.clip_norm,
            micro_batches=self.micro_batches,
            compile=self.compile,
            average=side.average,
            loss_scale=side.loss_scale,
        )

    def eval_step(self, batch: Batch) -> Logs:
        """What the game is like on held-out examples, against the same made ones every time."""
        return judge(self.objective, self.model, batch, compile=self.compile)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        average = self.generator.average
        return average.swapped() if average else contextlib.nullcontext()

    def watched(self, value: float) -> None:
        for side in (self.generator, self.discriminator):
            side.schedule.watched(value)

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        mine, others = self.generator, self.discriminator
        groups = {
            "model": self.model.variables,
            "optimizer": mine.optimizer.variables,
            "discriminator_optimizer": others.optimizer.variables,
        }
        more = {
            "average": mine.average,
            "loss_scale": mine.loss_scale,
            "discriminator_loss_scale": others.loss_scale,
        }
        return {**groups, **{name: part.variables for name, part in more.items() if part}}


def make(model: keras.Model, objective: Objective, run: Run) -> Adversarial:
    """The learner of a run, its optimizers' variables created."""
    recipe = run.recipe

    def side(network: keras.Model, values: OptimizerChoice, updates: int = 1) -> Side:
        return Side(
            network,
            optimizers.make(values, recipe.schedule, recipe.steps, network, updates=updates),
            values.clip_norm,
            loss_scale=loss_scale.of(run),
        )

    assert recipe.discriminator_optimizer is not None  # as the recipe has checked
    generator = side(model.generator, recipe.optimizer)
    generator.average = averages.of(model.generator, recipe)
    return Adversarial(
        model=model,
        objective=objective,
        generator=generator,
        discriminator=side(
            model.discriminator, recipe.discriminator_optimizer, recipe.critic_steps
        ),
        critic_steps=recipe.critic_steps,
        micro_batches=recipe.micro_batches,
        compile=run.compile,
    )
