"""tf-agents around a Keras 3 model: the network it wants, and its agents for Q-learning.

tf-agents is written for Keras 2. TensorFlow hands that out as `tf.keras` where
TF_USE_LEGACY_KERAS is set when `tf.keras` is first touched, and here it is handed out when an agent
is first made: a process that trains none never loads it, and the variable is not left to the
processes it starts. Our own code has Keras 3 as ever; nothing of it says `tf.keras`.
"""

import contextlib
import functools
import importlib
import io
import os
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from training.acting import Acting
from training.config import UserError

LEGACY = "TF_USE_LEGACY_KERAS"
MISSING = (
    "This model learns by tf-agents, and {name} cannot be imported here; `pip install --no-deps -r "
    "requirements.lock` in the project's folder installs it with what it needs (BUILD.md)."
)


@functools.cache
def library() -> types.SimpleNamespace:
    """tf-agents' modules that are used here.

    Raises:
        UserError: it is not installed.
    """
    before = os.environ.get(LEGACY)
    os.environ[LEGACY] = "1"
    try:
        for place in ("tensorflow", "tensorflow.compat.v1", "tensorflow.compat.v2"):
            version = "_v1" if place.endswith("v1") else "_v2"  # libraries may have touched it
            chosen = importlib.import_module(f"tf_keras.api.{version}.keras")
            vars(sys.modules[place])["keras"] = chosen
            sys.modules[f"{place}.keras"] = chosen
        # Its old gym tells of its age on stderr, and it asks for versions the old way.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            from tf_agents.agents.dqn import dqn_agent
            from tf_agents.environments import py_environment
            from tf_agents.networks import network
            from tf_agents.specs import array_spec, tensor_spec
            from tf_agents.trajectories import policy_step, time_step, trajectory
            from tf_agents.utils import common
    except ImportError as error:
        raise UserError(MISSING.format(name=error.name or "it")) from None
    finally:
        os.environ.pop(LEGACY)
        if before is not None:
            os.environ[LEGACY] = before
    return types.SimpleNamespace(
        agents={False: dqn_agent.DqnAgent, True: dqn_agent.DdqnAgent},
        network=network,
        py_environment=py_environment,
        array_spec=array_spec,
        tensor_spec=tensor_spec,
        policy_step=policy_step,
        time_step=time_step,
        trajectory=trajectory,
        common=common,
    )


@functools.cache
def _network_class() -> Any:
    """A tf-agents network that holds a Keras 3 model and knows how another is built."""

    class Network(library().network.Network):  # type: ignore[misc]
        def __init__(self, spec, build, model=None, name="q_network"):  # type: ignore[no-untyped-def]
            super().__init__(input_tensor_spec=spec, state_spec=(), name=name)
            self.made = [build() if model is None else model]  # in a list: Keras 2 tracks it not
            self.build_model = build

        @property
        def model(self) -> keras.Model:
            return self.made[0]

        def create_variables(self, input_tensor_spec=None, **kwargs):  # type: ignore[no-untyped-def]
            """What it gives; its variables are the model's, and were made with it.

            tf-agents would ask it of a state by chance, and draws none of bytes with NumPy 2.
            """
            return tf.TensorSpec(self.model.output.shape[1:], self.model.output.dtype)

        def call(self, observation, step_type=None, network_state=(), training=False):  # type: ignore[no-untyped-def]
            return self.model(observation, training=training), network_state

        def copy(self, **changes: Any) -> Any:
            """Another network with weights of its own."""
            name = changes.get("name", self.name)
            return type(self)(self.input_tensor_spec, self.build_model, name=name)

        trainable_weights = property(lambda self: _values(self.model.trainable_variables))
        trainable_variables = trainable_weights
        non_trainable_weights = property(lambda self: _values(self.model.non_trainable_variables))
        variables = property(lambda self: _values(self.model.variables))
        weights = variables

    return Network


def _values(variables: Any) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def agent(model: keras.Model, build: Callable[[], keras.Model], acting: Acting) -> Any:
    """tf-agents' agent over this model, and over a target of its own that begins as the model is.

    Its `loss` is what is used; the gradient goes the way of all gradients here
    (`training.step.descend`), and its optimizer is never asked. Make it in the strategy's scope.

    Args:
        build: Makes another model of the same shape.
    """
    tfa = library()
    spec = observations(model, tfa)
    steps = tfa.time_step.time_step_spec(spec)
    actions = tfa.tensor_spec.BoundedTensorSpec((), tf.int32, 0, model.output.shape[-1] - 1)
    network = _network_class()(spec, build, model)
    made = tfa.agents[acting.double](
        steps,
        actions,
        q_network=network,
        optimizer=None,
        td_errors_loss_fn=tfa.common.element_wise_huber_loss,
        gamma=acting.discount,
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    made.initialize()  # the target takes over the weights
    return made


def observations(model: keras.Model, tfa: Any) -> Any:
    """What the model takes, as tf-agents describes it."""
    shape, kind = model.input.shape[1:], tf.as_dtype(model.input.dtype)
    least, most = (0, 255) if kind == tf.uint8 else (kind.min, kind.max)
    return tfa.tensor_spec.BoundedTensorSpec(shape, kind, least, most)


def experience(batch: Mapping[str, tf.Tensor]) -> Any:
    """A batch of steps as tf-agents has them.

    The discount of a step is 0 where the game ended there, and 1 elsewhere, also where it was only
    cut off: what comes after the cut has its worth.

    Args:
        batch: `state` and `next_state` [B, ...], `action` int32 [B], `reward` float32 [B], `done`
            bool [B].
    """
    tfa = library()
    done = tf.cast(batch["done"], tf.bool)
    kinds, rows = tfa.time_step.StepType, tf.zeros_like(batch["action"])
    before = tfa.time_step.TimeStep(
        step_type=rows + int(kinds.MID),
        reward=tf.zeros_like(batch["reward"]),
        discount=tf.ones_like(batch["reward"]),
        observation=batch["state"],
    )
    after = tfa.time_step.TimeStep(
        step_type=tf.where(done, int(kinds.LAST), int(kinds.MID)),
        reward=batch["reward"],
        discount=tf.where(done, 0.0, 1.0),
        observation=batch["next_state"],
    )
    taken = tfa.policy_step.PolicyStep(action=batch["action"])
    return tfa.trajectory.Transition(before, taken, after)
