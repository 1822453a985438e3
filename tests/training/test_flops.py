"""Operations in a graph, against counts by hand."""

import keras
import pytest
import tensorflow as tf

from kmodels import gpt
from training import flops, speed, step
from training.learners import gradient
from training.objectives.next_token import next_token


def counted(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return flops.of(tf.function(function).get_concrete_function(*specs).graph)


PRODUCTS = {
    "matrices": (lambda a, b: a @ b, [3, 4], [4, 5], 2 * 3 * 4 * 5),
    "one transposed": (lambda a, b: tf.matmul(a, b, transpose_a=True), [4, 3], [4, 5], 120),
    "a batch": (lambda a, b: tf.matmul(a, b, transpose_b=True), [7, 3, 4], [7, 5, 4], 7 * 120),
    "a broadcast batch": (lambda a, b: a @ b, [2, 1, 3, 4], [7, 4, 5], 14 * 120),
    "einsum": (lambda a, b: tf.einsum("abc,cd->abd", a, b), [2, 3, 4], [4, 5], 2 * 120),
    "einsum with dots": (lambda a, b: tf.einsum("...c,cd->...d", a, b), [2, 3, 4], [4, 5], 2 * 120),
    "convolution": (
        lambda x, k: tf.nn.conv2d(x, k, 2, "SAME"),
        [2, 8, 8, 3], [3, 3, 3, 16], 2 * (2 * 4 * 4 * 16) * (3 * 3 * 3),
    ),
    "grouped convolution": (
        lambda x, k: tf.nn.conv2d(x, k, 1, "VALID"),
        [2, 8, 8, 4], [3, 3, 2, 16], 2 * (2 * 6 * 6 * 16) * (3 * 3 * 2),
    ),
    "depthwise convolution": (
        lambda x, k: tf.nn.depthwise_conv2d(x, k, [1, 1, 1, 1], "SAME"),
        [2, 8, 8, 3], [3, 3, 3, 2], 2 * (2 * 8 * 8 * 6) * (3 * 3),
    ),
    "transposed convolution": (
        lambda x, k: tf.nn.conv2d_transpose(x, k, [2, 8, 8, 3], 2),
        [2, 4, 4, 16], [3, 3, 3, 16], 2 * (2 * 4 * 4 * 16) * (3 * 3 * 3),
    ),
    "volumes": (
        lambda x, k: tf.nn.conv3d(x, k, [1] * 5, "VALID"),
        [1, 4, 4, 4, 3], [3, 3, 3, 3, 5], 2 * (2**3 * 5) * 81,
    ),
    "number by number": (lambda a, b: tf.nn.softmax(a * b + 1.0), [3, 4], [3, 4], 0),
    "a loop of known length": (
        lambda a, b: tf.while_loop(
            lambda i, x: i < 6, lambda i, x: (i + 1, x @ b), (0, a), maximum_iterations=6
        ),
        [3, 4], [4, 4], 6 * 96,
    ),
    "the dearer branch": (
        lambda a, b: tf.cond(a[0, 0] > 0, lambda: a @ b @ b, lambda: a @ b), [3, 4], [4, 4], 2 * 96,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PRODUCTS.values(), ids=PRODUCTS)
def test_what_counts(case):
    function, first, second, wanted = case
    assert counted(function, first, second) == wanted


@pytest.mark.parametrize("name", ["convolution", "depthwise convolution", "transposed convolution"])
def test_the_two_gradients_of_a_convolution_cost_as_much_as_it_does(name):
    function, first, second, forward = PRODUCTS[name]

    def both(x, k):
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            loss = tf.reduce_sum(function(x, k) ** 2)
        return tape.gradient(loss, [x, k])

    assert counted(both, first, second) == 3 * forward


def test_functions_inside_are_seen_compiled_or_not():
    inner = tf.function(lambda a, b: a @ b, jit_compile=True)
    assert counted(lambda a, b: inner(a, b) + tf.function(tf.matmul)(a, b), [3, 4], [4, 5]) == 240


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: tf.while_loop(lambda x: x[0, 0] < 9, lambda x: (x @ b,), (a,)),
        lambda a, b: tf.boolean_mask(a, a[:, 0] > 0) @ b,
    ],
)
def test_what_only_the_data_decides_is_unknown(function):
    with pytest.raises(flops.Unknown):
        counted(function, [3, 4], [4, 4])


class Dense:
    """A learner of one layer that the mean square moves."""

    def __init__(self):
        self.model = keras.Sequential([keras.Input([6]), keras.layers.Dense(5)])
        self.optimizer = keras.optimizers.SGD(0.1)
        self.optimizer.build(self.model.trainable_variables)

    def train_step(self, batch):
        def objective(model, batch, training):
            loss = tf.reduce_mean(model(batch["image"]) ** 2)
            return loss, {step.WEIGHT: tf.constant(8.0)}

        moves = [(self.optimizer, self.model.trainable_variables)]
        return step.descend(objective, self.model, moves, batch)


def test_a_dense_layer_in_training(make_run):
    meter = speed.Meter(Dense().train_step, make_run(), tf.distribute.get_strategy(), measures=True)
    batches = tf.data.Dataset.from_tensors({"image": tf.ones([8, 6])}).repeat()
    step.repeat(meter, tf.distribute.get_strategy())(iter(batches), 3)
    numbers = meter.numbers(count=3, seconds=0.5)
    forward = 2 * 8 * 6 * 5
    assert meter.step_flops == 2 * forward, "the layer and its kernel's gradient; none of the input"
    assert numbers["mfu"] == pytest.approx(2 * forward * 3 / 0.5 / meter.peak_flops)


@pytest.mark.parametrize("compile", [False, True])
def test_gpts_char_preset_is_what_its_sizes_say(make_run, data, compile):
    """Six times parameters and tokens, and attention, which no parameter tells of."""
    import dataclasses

    config = dataclasses.replace(gpt.PRESETS["char"], vocab=90)
    run = make_run(batch_size=12, compile=compile)
    learner = gradient.make(gpt.build(config), next_token, run)
    meter = speed.Meter(learner.train_step, run, tf.distribute.get_strategy(), measures=False)
    tokens = tf.TensorSpec([12, config.context], tf.int32)
    tf.function(meter).get_concrete_function({"tokens": tokens, "targets": tokens})
    meter.numbers(count=1, seconds=1.0)
    width, context = config.width, config.context
    block = 2 * 12 * width**2 + 2 * 2 * context * width  # a token: matrices; scores and their sums
    head = 2 * width * config.vocab
    assert meter.step_flops == 3 * 12 * context * (config.depth * block + head)
