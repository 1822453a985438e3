"""What Q-learning does with a few steps, kept as arrays: one process answers for many tests.

    python tests/training/learners/q_learning_answers.py OUT.npz

A process of its own, because tf-agents wants Keras 2 for `tf.keras`.
"""

import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[3]
RATE, EVERY, STEPS = 0.1, 3, 5


def batch(config: Any) -> dict[str, Any]:
    """Eight steps; the second ends a game, and rewards are large enough to be cut by Huber."""
    import numpy as np

    rng = np.random.default_rng(0)
    states = rng.normal(0, 1, (2, 8, *config.observation)).astype(np.float32)
    return {
        "state": states[0],
        "action": rng.integers(0, config.actions, 8).astype(np.int32),
        "reward": (3 * rng.normal(size=8)).astype(np.float32),
        "next_state": states[1],
        "done": np.arange(8) == 1,
    }


def learner_of(double: bool) -> Any:
    """The tiny network, moved by DeepMind's rule, its target elsewhere than the network."""
    import dataclasses

    import numpy as np

    from kmodels import dqn
    from tests.golden import generate as golden
    from training.optimization import RMSprop
    from training.recipes import dqn as recipes

    config = dataclasses.replace(dqn.PRESETS["tiny"], actions=3)
    acting = dataclasses.replace(recipes.recipe(config).acting, target_every=EVERY, double=double)
    optimizer = RMSprop(learning_rate=RATE)
    learner = golden.learner_of("dqn", config, acting=acting, optimizer=optimizer)
    rng = np.random.default_rng(1)
    for variable in learner.target.trainable_variables:
        variable.assign_add(rng.normal(0, 0.5, tuple(variable.shape)).astype(np.float32))
    return config, learner


def answers(double: bool) -> dict[str, Any]:
    import dataclasses

    import numpy as np
    import tensorflow as tf

    from training import agents

    config, learner = learner_of(double)
    given = {name: tf.constant(value) for name, value in batch(config).items()}
    step = tf.function(learner.train_step, autograph=False)

    def now(model: Any) -> list[Any]:
        return [v.numpy() for v in model.trainable_variables]

    found = {"online": [now(learner.model)], "target": [now(learner.target)], "loss": []}
    for _ in range(STEPS):
        found["loss"].append(float(step(given)["loss"]))
        found["online"].append(now(learner.model))
        found["target"].append(now(learner.target))
    kept = {f"{k}/{i}/{j}": w for k in ("online", "target") for i, ws in enumerate(found[k])
            for j, w in enumerate(ws)}  # fmt: skip
    _, weighed = learner_of(double)
    importance = tf.constant(np.linspace(0.1, 1, 8), tf.float32)
    more = {**given, "importance": importance, "place": tf.range(100, 108, dtype=tf.int64)}
    by_two = dataclasses.replace(weighed, micro_batches=2)
    kept["weighed"] = float(tf.function(by_two.train_step, autograph=False)(more)["loss"])
    kept |= {f"weighed/{j}": w for j, w in enumerate(now(weighed.model))}
    (kept["told"],) = weighed.errors()
    assert not weighed.errors(), "each is told once"
    return {**kept, "loss": found["loss"], "by_tf_agents": by_tf_agents(double, given, agents)}


def by_tf_agents(double: bool, given: Any, agents: Any) -> Any:
    """The first kernel after tf-agents' own training, by Keras 2's RMSProp, of the same steps."""
    import tf_keras

    _, learner = learner_of(double)
    rule = tf_keras.optimizers.RMSprop(RATE, rho=0.95, epsilon=0.01, centered=True)
    learner.agent._optimizer = rule
    learner.agent._update_target = learner.agent._get_target_updater(1.0, EVERY)
    for _ in range(STEPS):
        learner.agent.train(agents.experience(given))
    return learner.model.trainable_variables[0].numpy()


def main(out: str) -> None:
    sys.path.insert(0, str(ROOT))
    from training import quiet

    quiet.import_tensorflow()
    import numpy as np

    from training import agents

    agents.library()
    assert agents.LEGACY not in os.environ, "left to processes that are started from here"
    arrays = {
        f"{kind}/{name}": value
        for kind in ("dqn", "double")
        for name, value in answers(kind == "double").items()
    }
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
