"""Optimizers against the papers' algorithms in NumPy, over replicas, and over a checkpoint."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import checkpoints, optimizers
from training import optimization as o

RATES = (0.3, 0.3, 0.06)  # the rate falls at the third step
SHAPES = {"kernel": (3, 4), "filter": (2, 2, 3), "bias": (4,)}
WEIGHTS = {
    name: np.random.default_rng(i).normal(0, 1, shape)
    for i, (name, shape) in enumerate(SHAPES.items())
}
GRADIENTS = [
    {
        name: np.random.default_rng(10 * t + i).normal(0, 0.5, shape)
        for i, (name, shape) in enumerate(SHAPES.items())
    }
    for t in range(len(RATES))
]


class Paper:
    """A rule in float64, as its paper writes it, for one variable; `vector` spares it the decay."""

    def __init__(self, values, w, vector):
        self.v, self.w, self.vector = values, np.array(w), vector
        self.decay = 0.0 if vector and values.decay == "matrices" else values.weight_decay
        self.memory = {}

    def kept(self, name, start=0.0):
        return self.memory.get(name, np.full(self.w.shape, start))


def sgd(p, g, rate, t):
    """torch.optim.SGD and Caffe's solver, with the velocity before the rate."""
    g = g + p.decay * p.w
    velocity = p.memory["v"] = p.v.momentum * p.kept("v") + g
    step = g + p.v.momentum * velocity if p.v.nesterov else velocity
    p.w -= rate * (p.v.bias_rate if p.vector else 1.0) * step


def adagrad(p, g, rate, t):
    """Duchi et al.: H = δI + diag(G)^(1/2)."""
    g = g + p.decay * p.w
    total = p.memory["s"] = p.kept("s", p.v.accumulator) + g**2
    p.w -= rate * g / (p.v.epsilon + np.sqrt(total))


def adadelta(p, g, rate, t):
    """Zeiler, algorithm 1."""
    g = g + p.decay * p.w
    squares = p.memory["g"] = p.v.rho * p.kept("g") + (1 - p.v.rho) * g**2
    step = -np.sqrt(p.kept("x") + p.v.epsilon) / np.sqrt(squares + p.v.epsilon) * g
    p.memory["x"] = p.v.rho * p.kept("x") + (1 - p.v.rho) * step**2
    p.w += rate * step


def rmsprop(p, g, rate, t):
    """DQN's NeuralQLearner: g, g2, tmp = sqrt(g2 - g * g + 0.01), then dw / tmp."""
    g = g + p.decay * p.w
    mean = p.memory["g"] = p.v.rho * p.kept("g") + (1 - p.v.rho) * g
    square = p.memory["g2"] = p.v.rho * p.kept("g2") + (1 - p.v.rho) * g**2
    inside = square - mean**2 if p.v.centered else square
    step = rate * g / np.sqrt(inside + p.v.epsilon)
    velocity = p.memory["v"] = p.v.momentum * p.kept("v") + step
    p.w -= velocity


def moments(p, g):
    m = p.memory["m"] = p.v.beta_1 * p.kept("m") + (1 - p.v.beta_1) * g
    v = p.memory["v"] = p.v.beta_2 * p.kept("v") + (1 - p.v.beta_2) * g**2
    return m, v


def adam(p, g, rate, t):
    """Kingma and Ba, algorithm 1."""
    m, v = moments(p, g + p.decay * p.w)
    corrected = m / (1 - p.v.beta_1**t), v / (1 - p.v.beta_2**t)
    p.w -= rate * corrected[0] / (np.sqrt(corrected[1]) + p.v.epsilon)


def bert_adam(p, g, rate, t):
    """AdamWeightDecayOptimizer of BERT's optimization.py."""
    m, v = moments(p, g)
    p.w -= rate * (m / (np.sqrt(v) + p.v.epsilon) + p.decay * p.w)


def adamw(p, g, rate, t):
    """Loshchilov and Hutter, algorithm 2, with the epsilon of Adam's section 2, end."""
    m, v = moments(p, g)
    corrected = np.sqrt(1 - p.v.beta_2**t) / (1 - p.v.beta_1**t)
    p.w -= rate * (corrected * m / (np.sqrt(v) + p.v.epsilon) + p.decay * p.w)


def lars(p, g, rate, t):
    """SimCLR's lars_optimizer.py, classic momentum."""
    g = g + p.decay * p.w
    if not (p.vector and p.v.decay == "matrices"):
        rate = rate * p.v.trust * np.linalg.norm(p.w) / np.linalg.norm(g)
    velocity = p.memory["v"] = p.v.momentum * p.kept("v") + rate * g
    p.w -= velocity


def adafactor(p, g, rate, t):
    """Shazeer and Stern, algorithms 4 and 5, with sums over rows and columns; decay beforehand."""
    p.w -= rate * p.decay * p.w
    beta = 1 - t**-p.v.exponent
    square = g**2 + p.v.epsilon_1
    if p.vector:
        mean = p.memory["v"] = beta * p.kept("v") + (1 - beta) * square
    else:
        rows = p.memory["r"] = beta * p.memory.get("r", 0) + (1 - beta) * square.sum(-1)
        columns = p.memory["c"] = beta * p.memory.get("c", 0) + (1 - beta) * square.sum(-2)
        mean = rows[..., None] * columns[..., None, :] / rows.sum(-1)[..., None, None]
    u = g / np.sqrt(mean)
    u /= max(1.0, np.sqrt(np.mean(u**2)) / p.v.threshold)
    size = max(p.v.epsilon_2, np.sqrt(np.mean(p.w**2)))
    p.w -= size * min(rate, t**-0.5) * u


# Numbers so large that a formula that is nearly right is seen to be wrong.
CASES = {
    "sgd": (sgd, o.SGD(momentum=0.8, weight_decay=0.1, bias_rate=2.0)),
    "sgd, nesterov": (sgd, o.SGD(momentum=0.8, nesterov=True, weight_decay=0.1, decay="all")),
    "sgd, plain": (sgd, o.SGD(momentum=0.0, weight_decay=0.1)),
    "adagrad": (adagrad, o.Adagrad(epsilon=0.1, weight_decay=0.1)),
    "adagrad, from 0.1": (adagrad, o.Adagrad(accumulator=0.1, decay="all", weight_decay=0.1)),
    "adadelta": (adadelta, o.Adadelta(rho=0.8, epsilon=0.01, weight_decay=0.1)),
    "rmsprop": (rmsprop, o.RMSprop(rho=0.8, weight_decay=0.1)),
    "rmsprop, momentum": (rmsprop, o.RMSprop(rho=0.8, centered=False, momentum=0.7)),
    "adam": (adam, o.Adam(epsilon=0.1, weight_decay=0.1)),
    "adam, betas": (adam, o.Adam(beta_1=0.0, beta_2=0.6, decay="all", weight_decay=0.1)),
    "bert_adam": (bert_adam, o.BertAdam(epsilon=0.1, weight_decay=0.1)),
    "bert_adam, small epsilon": (bert_adam, o.BertAdam()),
    "adam, small epsilon": (adam, o.Adam()),
    "adamw, small epsilon": (adamw, o.AdamW()),
    "adamw": (adamw, o.AdamW(epsilon=0.1, weight_decay=0.1)),
    "adamw, all": (adamw, o.AdamW(epsilon=0.1, weight_decay=0.1, decay="all")),
    "lars": (lars, o.LARS(momentum=0.8, trust=0.1, weight_decay=0.1)),
    "lars, all": (lars, o.LARS(momentum=0.8, trust=0.1, weight_decay=0.1, decay="all")),
    "adafactor": (adafactor, o.Adafactor(threshold=0.5, weight_decay=0.1)),
}
each_kind = pytest.mark.parametrize("kind", o.OPTIMIZERS)


class Weights(keras.layers.Layer):
    """Three variables and nothing else."""

    def __init__(self):
        super().__init__(name="weights")
        for name, value in WEIGHTS.items():
            start = keras.initializers.Constant(value)
            self.add_weight(shape=value.shape, name=name, initializer=start)

    def call(self, x):
        return x


def built(values):
    """The weights, and the optimizer whose rate falls to a fifth at the third step."""
    model = Weights()
    schedule = o.Step(boundaries=(2,), factor=RATES[2] / RATES[0])
    values = dataclasses.replace(values, learning_rate=RATES[0])
    return model, optimizers.make(values, schedule, 100, model)


def descend(model, optimizer, gradients):
    @tf.function
    def once(gradients):
        optimizer.apply(gradients, model.trainable_variables)

    for step in gradients:
        once([tf.constant(g, tf.float32) for g in step.values()])


@pytest.mark.parametrize("case", CASES)
def test_three_steps_are_the_papers(case):
    rule, values = CASES[case]
    model, optimizer = built(values)
    descend(model, optimizer, GRADIENTS)
    for variable, (name, start) in zip(model.trainable_variables, WEIGHTS.items(), strict=True):
        paper = Paper(values, start, vector=name == "bias")
        for t, (rate, gradient) in enumerate(zip(RATES, GRADIENTS, strict=True), 1):
            rule(paper, gradient[name], rate, t)
        assert np.abs(paper.w - start).max() > 0.01, "it moved"
        np.testing.assert_allclose(variable.numpy(), paper.w, rtol=2e-6, atol=5e-7)


def test_every_kind_has_its_paper():
    assert {values.kind for _, values in CASES.values()} == set(o.OPTIMIZERS)


def test_adafactor_remembers_rows_and_columns_only():
    _, optimizer = built(o.Adafactor())
    shapes = sorted(tuple(v.shape) for v in optimizer.variables)
    assert shapes == sorted([(), (3,), (4,), (2, 2), (2, 3), (4,)])


@each_kind
def test_a_restored_optimizer_goes_on_to_the_bit(kind, tmp_path: pathlib.Path):
    values = next(values for _, values in CASES.values() if values.kind == kind)

    def state(model, optimizer):
        return {"model": model.variables, "optimizer": optimizer.variables}

    whole = built(values)
    descend(*whole, GRADIENTS)
    first, second = built(values), built(values)
    descend(*first, GRADIENTS[:2])
    folder = checkpoints.save(tmp_path, state(*first), checkpoints.Meta(2, None, None))
    checkpoints.restore(folder, state(*second))
    descend(*second, GRADIENTS[2:])
    for groups in zip(state(*whole).values(), state(*second).values(), strict=True):
        for mine, theirs in zip(*groups, strict=True):
            assert mine.numpy().tobytes() == theirs.numpy().tobytes(), mine.path


REPLICAS = """
import json
from training import quiet
quiet.import_tensorflow()
import keras, numpy as np, tensorflow as tf
from training import averages, optimization, optimizers, step, strategy

def squares(model, batch, *, training):
    errors = tf.square(model(batch["latent"], training=training) - batch["target"])
    return tf.reduce_mean(errors), {"weight": tf.constant(4.0)}

mirrored = strategy.make("mirrored", replicas=2)
assert mirrored.num_replicas_in_sync == 2
drawn = np.random.default_rng(0).normal(0, 1, [4, 8, 4]).astype("float32")
batches = tf.data.Dataset.from_tensor_slices({"latent": drawn[..., :3], "target": drawn[..., 3:]})

def trained(chosen, kind):
    keras.utils.set_random_seed(0)
    with chosen.scope():
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)])
        values = optimization.OPTIMIZERS[kind](learning_rate=0.01, weight_decay=0.1)
        schedule = optimization.Plateau(patience=1)
        optimizer = optimizers.make(values, schedule, 4, model)
        average = averages.Average(model, half_life=16, batch_size=8)
    before = [v.numpy() for v in model.trainable_variables]
    def one(batch):
        moves = [(optimizer, model.trainable_variables)]
        return step.descend(squares, model, moves, batch, clip_norm=1.0, average=average)
    many, iterator = step.repeat(one, chosen), strategy.spread(batches, chosen)
    many(iterator, 2)
    for number in (1.0, 1.0):
        optimizer.rate.watched(number)
    many(iterator, 2)
    return before, [v.numpy() for v in [*model.trainable_variables, *average.variables]]

def distance(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b))

out = {}
for kind in optimization.OPTIMIZERS:
    before, wanted = trained(tf.distribute.get_strategy(), kind)
    _, given = trained(mirrored, kind)
    out[kind] = distance(wanted, given) / distance(before, wanted)
print("RESULT", json.dumps(out))
"""


def test_two_replicas_move_as_one_with_every_kind():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    apart = json.loads(done.stdout.split("RESULT")[1])
    assert set(apart) == set(o.OPTIMIZERS)
    assert {k: v for k, v in apart.items() if v > 1e-3} == {}, "relative to how far they moved"
