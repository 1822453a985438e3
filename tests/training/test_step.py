"""One update: accumulation, reduction, clipping and XLA give what one large batch would."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import step
from training.objectives.next_token import next_token


def network() -> keras.Model:
    """Tokens [B, 6] of a vocabulary of 11 to logits [B, 6, 11]."""
    tokens = keras.Input([6], dtype="int32")
    x = keras.layers.Dense(8, activation="gelu")(keras.ops.one_hot(tokens, 11))
    return keras.Model(tokens, keras.layers.Dense(11)(x))


def batch(rows: int = 8) -> dict[str, tf.Tensor]:
    tokens = np.random.default_rng(0).integers(0, 11, [rows, 7]).astype(np.int32)
    return {"tokens": tf.constant(tokens[:, :-1]), "targets": tf.constant(tokens[:, 1:])}


def uneven(model, batch, *, training):
    """The mean over targets that are not 0: parts of a batch weigh differently."""
    logits = model(batch["tokens"], training=training)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], logits)
    mask = tf.cast(batch["targets"] > 4, tf.float32)
    weight = tf.reduce_sum(mask)
    return tf.reduce_sum(losses * mask) / weight, {step.WEIGHT: weight}


def moved(objective=next_token, **options):
    """How one step of plain descent at rate 1 moves the weights, and its logs."""
    keras.utils.set_random_seed(0)
    model = network()
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build(model.trainable_variables)
    before = [v.numpy() for v in model.trainable_variables]
    data = options.pop("data", None) or batch()

    @tf.function
    def once():
        return step.descend(
            objective, model, [(optimizer, model.trainable_variables)], data, **options
        )

    logs = {name: float(value) for name, value in once().items()}
    return [b - v.numpy() for b, v in zip(before, model.trainable_variables, strict=True)], logs


def norm(arrays):
    return float(np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays)))


def close(one, other, tolerance=1e-6):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)


@pytest.mark.parametrize("objective", [next_token, uneven])
def test_micro_batches_and_xla_take_the_step_of_the_whole_batch(objective):
    whole, logs = moved(objective)
    for options in (
        {"micro_batches": 4},
        {"compile": True},
        {"compile": True, "micro_batches": 2},
        {"clip_norm": 1e6},
    ):
        given, given_logs = moved(objective, **options)
        close(given, whole)
        assert given_logs == pytest.approx(logs, rel=1e-5)


@pytest.mark.parametrize("compile", [False, True])
def test_micro_batches_are_traced_once(compile):
    traced = []

    def objective(model, batch, *, training):
        traced.append(batch["tokens"].shape)
        return next_token(model, batch, training=training)

    moved(objective, micro_batches=4, compile=compile)
    assert traced == [(2, 6)]


@pytest.mark.parametrize(
    ("rows", "cores", "wanted"),
    [(12, 2, 2), (7, 2, 1), (7, 16, 1), (12, 16, 6), (12, 5, 4), (2, 2, 1), (1, 4, 1)],
)
def test_lanes_are_equal_no_more_than_the_cores_and_of_two_rows_or_more(
    monkeypatch, rows, cores, wanted
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert step.lanes(rows) == wanted
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["a GPU"])
    assert step.lanes(rows) == 1


THREADS = """
import tensorflow as tf
from training import run

def go(*given, **named):
    print("threads:", tf.config.threading.get_intra_op_parallelism_threads())
    return 0

run.go = go
"""


@pytest.mark.parametrize(
    ("threads", "options"),
    [
        (1, ["--model=gpt"]),
        (0, ["--model=gpt", "--compile=off"]),
        (0, ["--model=gpt", "--strategy=mirrored", "--replicas=2"]),
        (0, ["--model=resnet", "--compile=on"]),
    ],
)
def test_where_each_core_has_its_program_operations_are_not_spread(
    commands, tmp_path, threads, options
):
    """Decision 0028. 0 is TensorFlow's own choice; the batch divides by any number of cores."""
    batch = 12 * len(os.sched_getaffinity(0))
    argv = *options, "--preset=tiny", f"--batch-size={batch}", f"--run-dir={tmp_path}"
    ended = commands(*argv, before=THREADS)
    assert ended.status == 0, ended.output
    assert f"threads: {threads}" in ended.output


def test_a_batch_is_judged_the_same_in_lanes(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    model = network()
    wanted = step.judge(uneven, model, batch())
    found = step.judge(uneven, model, batch(), compile=True)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5)


def test_the_gradient_is_that_of_the_mean():
    change, logs = moved()
    keras.utils.set_random_seed(0)
    model = network()
    with tf.GradientTape() as tape:
        loss, _ = next_token(model, batch(), training=True)
    wanted = tape.gradient(loss, [v.value for v in model.trainable_variables])
    close(change, [tf.convert_to_tensor(g).numpy() for g in wanted])
    assert logs == pytest.approx({"loss": float(loss), "weight": 48.0}, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"micro_batches": 4}, {"compile": True}])
def test_clipping_shortens_the_gradient_of_the_whole_batch(options):
    free, _ = moved(**options)
    length = norm(free)
    assert length > 0.1
    clipped, _ = moved(clip_norm=0.1, **options)
    assert norm(clipped) == pytest.approx(0.1, rel=1e-4)
    close(clipped, [a * 0.1 / length for a in free])
    close(moved(clip_norm=2 * length, **options)[0], free)


def by_layers(model):
    """A rule of plain descent for each layer that has weights."""
    layers = [layer for layer in model.layers if layer.trainable_variables]
    rules = [(keras.optimizers.SGD(1.0), layer.trainable_variables) for layer in layers]
    for optimizer, variables in rules:
        optimizer.build(variables)
    return rules


def layered(rules_of, **options):
    """As `moved`, with several optimizers; a list of arrays for each."""
    keras.utils.set_random_seed(0)
    model = network()
    rules = rules_of(model)
    before = [[v.numpy() for v in variables] for _, variables in rules]
    step.descend(next_token, model, rules, batch(), **options)
    return [
        [b - v.numpy() for b, v in zip(old, variables, strict=True)]
        for old, (_, variables) in zip(before, rules, strict=True)
    ]


def test_an_optimizer_for_each_layer_takes_the_same_step_but_clips_by_itself():
    whole, _ = moved()
    parts = layered(by_layers)
    assert len(parts) == 2
    close([a for part in parts for a in part], whole)
    clipped = layered(lambda model: by_layers(model)[::-1], clip_norm=1e-3)  # in any order
    assert [norm(part) for part in clipped] == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_a_weight_without_an_optimizer_is_a_constant():
    keras.utils.set_random_seed(0)
    model = network()
    first, second = by_layers(model)
    before = [v.numpy() for v in second[1]]
    moved_weights = [v.numpy() for v in first[1]]
    step.descend(next_token, model, [first], batch())
    assert all(np.array_equal(a, v) for a, v in zip(before, second[1], strict=True))
    assert not any(np.array_equal(a, v) for a, v in zip(moved_weights, first[1], strict=True))


def test_a_repeated_step_gives_weighted_means_over_all_steps():
    rows = tf.constant([[1.0], [3.0], [8.0], [100.0]])
    weights = tf.constant([1.0, 1.0, 2.0, 1.0])
    pairs = tf.data.Dataset.from_tensor_slices({"x": rows, "w": weights})

    def one(batch):
        return {"loss": batch["x"][0], "weight": batch["w"], "other": tf.constant(7)}

    strategy = tf.distribute.get_strategy()
    many = step.repeat(one, strategy)
    iterator = iter(pairs)
    assert many(iterator, 3) == {"loss": 5.0, "weight": 4.0, "other": 7.0}
    assert many(iterator, 1) == {"loss": 100.0, "weight": 1.0, "other": 7.0}


REPLICAS = """
import json
from training import quiet
quiet.import_tensorflow()
import keras, numpy as np, tensorflow as tf
from tests.training.test_step import network, next_token, uneven
from training import optimizers, step, strategy
from training.optimization import AdamW, Constant

mirrored = strategy.make("mirrored", replicas=2)
assert mirrored.num_replicas_in_sync == 2
rng = np.random.default_rng(0)
tokens = rng.integers(0, 11, [10, 8, 7]).astype(np.int32)
batches = tf.data.Dataset.from_tensor_slices(
    {"tokens": tokens[:, :, :-1], "targets": tokens[:, :, 1:]})

def trained(chosen, objective, count=10, rate=None, **options):
    keras.utils.set_random_seed(0)
    with chosen.scope():
        model = network()
        if rate is None:
            values = AdamW(learning_rate=1e-2, weight_decay=0.1)
            optimizer = optimizers.make(values, Constant(), 10, model)
        else:
            optimizer = keras.optimizers.SGD(rate)
            optimizer.build(model.trainable_variables)
    before = [v.numpy() for v in model.trainable_variables]
    def one(batch):
        moves = [(optimizer, model.trainable_variables)]
        return step.descend(objective, model, moves, batch, **options)
    logs = step.repeat(one, chosen)(strategy.spread(batches, chosen), count)
    after = [v.numpy() for v in model.trainable_variables]
    return before, after, logs

def distance(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b))

one, out = tf.distribute.get_strategy(), {}
for name, objective, options in (
    ("plain", next_token, dict(clip_norm=1.0)),
    ("xla", next_token, dict(clip_norm=1.0, compile=True)),
    ("micro", uneven, dict(clip_norm=1.0, micro_batches=2)),
):
    wanted = trained(one, objective, **{**options, "micro_batches": 1, "compile": False})
    given = trained(mirrored, objective, **options)
    out[name] = {"weights": distance(wanted[1], given[1]), "moved": distance(*wanted[:2]),
                 "loss": abs(wanted[2]["loss"] - given[2]["loss"]),
                 "weight": wanted[2]["weight"] - given[2]["weight"]}
before, after, _ = trained(mirrored, next_token, count=1, rate=1.0, clip_norm=0.1)
out["clipped"] = float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, after))))
print("RESULT", json.dumps(out))
"""


def test_two_replicas_train_as_one():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.split("RESULT")[1])
    assert result.pop("clipped") == pytest.approx(0.1, rel=1e-4), (
        "the sum is clipped, not its parts"
    )
    for name, values in result.items():
        assert values["moved"] > 1e-2, name
        assert values["weights"] <= 1e-5, name
        assert values["loss"] <= 1e-5 and values["weight"] == 0, name
