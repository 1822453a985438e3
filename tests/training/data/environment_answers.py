"""What tf-agents sees of our games, kept as JSON: one process answers for many tests.

    python tests/training/data/environment_answers.py OUT.json

A process of its own, because tf-agents wants Keras 2 for `tf.keras`.
"""

import json
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[3]
GAMES = {"CartPole-v1": 400, "MinAtar/Breakout-v1": 300, "ALE/Breakout-v5": 300}  # steps to take
COPIES = 3


def acting(name: str) -> Any:
    from training.acting import Acting

    sizes = {"environments": COPIES, "act_steps": COPIES, "start": COPIES, "capacity": 1000}
    return Acting(environment=name, **sizes)


def compared(name: str) -> dict[str, Any]:
    """How often tf-agents' time steps are those of the games as training plays them."""
    import numpy as np

    from training.data import environment, gymnasium
    from training.data.table import Table, states

    made, table = environment.make(acting(name), seed=3), Table(gymnasium.make(name, COPIES), 3)
    step, over = made.reset(), np.zeros(COPIES, bool)
    table.begin(np.arange(COPIES))
    rng, counts = np.random.default_rng(0), {"first": 0, "last": 0, "lost": 0, "same": 0}
    for _ in range(GAMES[name]):
        assert np.array_equal(step.observation, states(table.frames))
        counts["same"] += 1
        actions = rng.integers(0, len(table.game.actions), COPIES, np.int32)
        step, fresh = made.step(actions), np.flatnonzero(over)
        moment, lost = table.step(actions)
        over = (moment.terminated | moment.truncated) & ~over
        if len(fresh):
            table.begin(fresh)
        old = np.setdiff1d(np.arange(COPIES), fresh)
        assert step.is_first().tolist() == [place in fresh for place in range(COPIES)]
        assert step.is_last()[old].tolist() == over[old].tolist()
        assert step.reward[old].tolist() == np.sign(moment.rewards[old]).tolist()
        ends = moment.terminated | lost
        assert step.discount[old].tolist() == np.where(ends[old], 0.0, 1.0).tolist()
        assert not step.reward[fresh].any() and (step.discount[fresh] == 1).all()
        counts["first"] += len(fresh)
        counts["last"] += int(over.sum())
        counts["lost"] += int((lost[old] & ~over[old]).sum())
    return counts


def driven() -> dict[str, Any]:
    """tf-agents' own driver, replay buffer, policy and training, with our network."""
    import keras
    import tf_keras
    from tf_agents.drivers import dynamic_step_driver
    from tf_agents.environments import tf_py_environment
    from tf_agents.replay_buffers import tf_uniform_replay_buffer

    from kmodels import dqn
    from training import agents
    from training.data import environment

    keras.utils.set_random_seed(0)
    config, how = dqn.PRESETS["tiny"], acting("CartPole-v1")
    agent = agents.agent(dqn.build(config), lambda: dqn.build(config), how)
    agent._optimizer = tf_keras.optimizers.Adam(1e-2)
    games = tf_py_environment.TFPyEnvironment(environment.make(how, seed=0))
    buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(agent.collect_data_spec, COPIES)
    dynamic_step_driver.DynamicStepDriver(
        games, agent.collect_policy, observers=[buffer.add_batch], num_steps=60
    ).run()
    batches = iter(buffer.as_dataset(sample_batch_size=8, num_steps=2))
    losses = [float(agent.train(next(batches)[0]).loss) for _ in range(3)]
    return {"frames": int(buffer.num_frames()), "losses": losses}


def main(out: str) -> None:
    sys.path.insert(0, str(ROOT))
    from training import agents, quiet

    quiet.import_tensorflow()
    agents.library()
    from tf_agents.environments import utils

    from training.data import environment

    for name in GAMES:
        utils.validate_py_environment(environment.make(acting(name), seed=0), episodes=2)
    told = {name: compared(name) for name in GAMES}
    pathlib.Path(out).write_text(json.dumps({**told, "driven": driven()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
