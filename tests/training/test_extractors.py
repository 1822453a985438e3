"""The pinned networks: what they are made of, what they see, and that nobody changed them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors import safe_open
from sklearn.datasets import load_digits

from kmodels import resnet
from training import extractors
from training.config import UserError
from training.data import digits
from training.files import digest

NAMES = list(extractors.PINNED)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own in the place of the installed one."""
    monkeypatch.setattr(extractors, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_the_pinned_one_and_small(name):
    file = extractors.check(name)
    assert digest(file) == extractors.PINNED[name]
    assert file.stat().st_size < 600_000


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_features_of_its_config(name):
    found = extractors.load(name)
    size, channels = found.codec.size, found.codec.channels
    pictures = np.random.default_rng(0).integers(0, 256, (2, size, size, channels), np.uint8)
    rows = found.features(pictures)
    assert rows.shape == (2, 64) and rows.dtype == np.float64
    assert (rows >= 0).all() and np.isfinite(rows).all(), "means of what a ReLU lets through"
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
    assert extractors.load(name) is found


def test_features_are_those_of_the_stored_network_layer_by_layer():
    """The network is built anew from the file by hand, and shown pictures by hand."""
    with safe_open(extractors.check("digits_resnet"), framework="numpy") as stored:
        facts = json.loads(stored.metadata()[extractors.FACTS])
        tensors = {path: stored.get_tensor(path) for path in stored.keys()}  # noqa: SIM118
    config = resnet.Config(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in facts["config"].items()}
    )
    model = resnet.build(config)
    for variable in model.weights:
        if variable.path in tensors:
            variable.assign(tensors[variable.path].astype("float32"))
    assert {v.path for v in model.weights} - set(tensors) == {"logits/kernel", "logits/bias"}
    pictures = digits.read(None).eval.inputs[:7]
    seen = (pictures.astype("float32") - facts["codec"]["mean"][0]) / facts["codec"]["deviation"][0]
    expected = keras.Model(model.input, model.get_layer("mean").output)(seen, training=False)
    found = extractors.load("digits_resnet").features(pictures)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_features_tell_held_out_digits_apart():
    """The nearest of the classes' middles is right for nearly all; by pixels for fewer."""
    bunch = load_digits()
    pictures = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    rows = extractors.load("digits_resnet").features(pictures)

    def accuracy(values):
        middles = np.stack([values[:1437][bunch.target[:1437] == d].mean(0) for d in range(10)])
        away = np.linalg.norm(values[1437:, None] - middles, axis=-1)
        return (away.argmin(1) == bunch.target[1437:]).mean()

    assert accuracy(rows) > 0.96 > 0.9 > accuracy(pictures.reshape(len(pictures), -1).astype(float))


def test_any_number_of_pictures_of_any_size_and_colour_are_seen_as_the_codec_brings_them():
    found = extractors.load("digits_resnet")
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (3, 20, 24, 3), np.uint8)
    small = found.codec.fit(tf.constant(large, tf.float32))
    expected = found.network(found.codec.see(small)).numpy()
    np.testing.assert_allclose(found.features(large), expected, atol=1e-5)
    many = rng.integers(0, 256, (extractors.CHUNK + 3, 8, 8, 1), np.uint8)
    rows = found.features(many)
    assert rows.shape == (extractors.CHUNK + 3, 64)
    np.testing.assert_allclose(rows[-3:], found.features(many[-3:]), atol=1e-5)


def test_a_run_in_half_precision_changes_nothing(float32_again):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = extractors.headless(resnet.PRESETS["digits"])
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_a_name_that_there_is_not_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="'mnist_resnt'. Did you mean 'mnist_resnet'"):
        extractors.check("mnist_resnt")


def test_a_changed_file_and_a_missing_one_are_refused(folder, monkeypatch):
    with pytest.raises(UserError, match="digits_resnet.safetensors is missing, and that of digits"):
        extractors.check("digits_resnet")
    (folder / "digits_resnet.safetensors").write_bytes(b"others")
    found = digest(folder / "digits_resnet.safetensors")
    with pytest.raises(UserError, match=f"was changed: its SHA-256 begins {found[:12]}, and that"):
        extractors.check("digits_resnet")
    monkeypatch.setitem(extractors.PINNED, "digits_resnet", found)
    assert extractors.check("digits_resnet").parent == folder
