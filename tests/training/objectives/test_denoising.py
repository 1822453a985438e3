"""The error of the noise: its least value where that is known, its draws, what it hides."""

import types

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import diffusion
from training.objectives.denoising import denoising

DEVIATION = 0.5  # of the data


class Best:
    """Predicts the noise in normal data as well as can be; keeps what it was asked."""

    def __init__(self, labels=0, hidden=0.0):
        self.process, self.labels = diffusion.Process.of("cosine", 200), labels
        self.config = types.SimpleNamespace(label_dropout=hidden)
        self.asked = []

    def __call__(self, x, times, labels, training):
        self.asked.append((x, times, labels, training))
        bar = tf.cast(self.process.alpha_bar(times), tf.float32)
        bar = tf.reshape(bar, [-1] + [1] * (len(x.shape) - 1))
        return tf.sqrt(1 - bar) / (bar * DEVIATION**2 + 1 - bar) * x


def batch(count, **more):
    data = DEVIATION * tf.random.stateless_normal([count, 4, 4, 1], [3, 4])
    noise = tf.random.stateless_normal([count, 4, 4, 1], [5, 6])
    time, hidden = tf.unstack(tf.random.stateless_uniform([2, count], [7, 8]))
    drawn = {"noise": noise, "time": time, "hidden": hidden}
    return {"image": data, "label": tf.range(count) % 10, **drawn, **more}


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_of_the_best_prediction_is_the_least_there_is(training):
    model = Best()
    loss, logs = denoising(model, batch(20_000), training=training)
    bars = model.process.alpha_bars[1:]
    least = bars * DEVIATION**2 / (bars * DEVIATION**2 + 1 - bars)  # the variance that remains
    assert float(loss) == pytest.approx(least.mean(), rel=0.02)
    assert float(logs["early"]) == pytest.approx(least[:100].sum() / 200, rel=0.02)
    assert float(logs["late"]) == pytest.approx(least[100:].sum() / 200, rel=0.03)
    assert float(logs["weight"]) == 20_000
    _, times, _, told = model.asked[0]
    counts = np.bincount(times, minlength=200)
    assert told is training and len(counts) == 200
    assert counts.min() > 50 and counts.max() < 160


def test_rows_of_numbers_are_examples_too():
    data = batch(50)
    image, _ = denoising(Best(), data, training=False)
    rows = {"features": tf.reshape(data.pop("image"), [50, 16])}
    rows["noise"] = tf.reshape(data["noise"], [50, 16])
    loss, _ = denoising(Best(), {**data, **rows}, training=False)
    assert float(loss) == pytest.approx(float(image), rel=1e-6)


def test_labels_are_hidden_in_training_alone():
    model = Best(labels=10, hidden=0.2)
    data = batch(5000)
    for training in (True, False):
        denoising(model, data, training=training)
    (_, _, trained, _), (_, _, seen, _) = model.asked
    assert (trained == -1).numpy().mean() == pytest.approx(0.2, abs=0.02)
    kept = trained.numpy() >= 0
    np.testing.assert_array_equal(trained.numpy()[kept], data["label"].numpy()[kept])
    np.testing.assert_array_equal(seen, data["label"])


def test_masked_examples_do_not_count():
    mask = tf.constant([1.0] * 6 + [0.0] * 2)
    data = batch(8, mask=mask)
    loss, logs = denoising(Best(), data, training=False)
    wrong = tf.where(mask[:, None, None, None] > 0, data["image"], 1e3)
    same, _ = denoising(Best(), {**data, "image": wrong}, training=False)
    assert float(loss) == float(same) and float(logs["weight"]) == 6
    assert float(logs["early"] + logs["late"]) == pytest.approx(float(loss), rel=1e-6)
