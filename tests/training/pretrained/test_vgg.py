"""VGG: files of keras.applications and presets of keras-hub, and their logits."""

import dataclasses

import h5py
import keras
import keras_hub
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from kmodels import vgg
from training.config import UserError

# Keras, when it writes a file.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG = dataclasses.replace(
    vgg.PRESETS["vgg-16"], size=32, classes=5, widths=(4, 6, 8, 8, 8), hidden=(12, 12)
)


def theirs(classes, classifier=True):
    """A VGG-16 with the names of keras.applications, narrow, for theirs has 138 million weights.

    Its names, order and shapes are taken from the real one, whose every layer is copied.
    """
    wide = keras.applications.VGG16(
        weights=None, input_shape=(32, 32, 3), include_top=False, classifier_activation=None
    )
    widths = dict(zip(range(1, 6), CONFIG.widths, strict=True))
    x = made = keras.Input((32, 32, 3))
    for layer in wide.layers[1:]:
        config = layer.get_config()
        if "filters" in config:
            config["filters"] = widths[int(layer.name[5])]
        x = type(layer).from_config(config)(x)
    if classifier:
        x = keras.layers.Flatten(name="flatten")(x)
        for name in ("fc1", "fc2"):
            x = keras.layers.Dense(12, activation="relu", name=name)(x)
        x = keras.layers.Dense(classes, name="predictions")(x)
    return keras.Model(made, x)


@pytest.mark.parametrize("form", ["published", "newer"])
def test_a_file_of_keras_applications(form, tmp_path, begin, codec_of, picture, seen, perturbed):
    there = perturbed(theirs(5))
    file = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    if form == "published":
        with h5py.File(file, "w") as group:
            legacy_h5_format.save_weights_to_hdf5_group(group, there)
    else:
        file = tmp_path / "vgg.weights.h5"
        there.save_weights(file)
    ours, said = begin("vgg", CONFIG, file)
    assert said == f"--init-from: {len(ours.weights)} of {len(ours.weights)} tensors were taken."
    made = picture(32, 32)
    pixels = keras.applications.vgg16.preprocess_input(np.asarray(made, np.float32)[None])
    codec = codec_of("vgg", CONFIG, file)
    assert codec.order == "bgr"
    np.testing.assert_allclose(seen(codec, made), pixels, atol=1e-4)
    wanted = np.asarray(there(pixels))
    np.testing.assert_allclose(ours(pixels), wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_the_names_are_those_of_the_whole_network_of_keras_applications():
    """With its top, at a size at which it can be made in a test."""
    real = keras.applications.VGG19(
        weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None
    )
    names = {layer.name for layer in real.layers if layer.weights}
    from training import pretrained

    layout = pretrained.layout("vgg", "keras_applications")
    config = dataclasses.replace(CONFIG, depths=vgg.E, widths=(2,) * 5)
    paths = [v.path for v in vgg.build(config).weights]
    assert {layout.name(p, {}).partition("/")[0] for p in paths} == names
    there = {"names": [f"{name}/{i}" for name in names for i in (0, 1)]}
    assert layout.fixed(there)["depths"] == vgg.E


def test_a_file_without_the_top_and_one_of_another_depth(tmp_path, begin, perturbed):
    file = tmp_path / "vgg16_notop.h5"
    with h5py.File(file, "w") as group:
        legacy_h5_format.save_weights_to_hdf5_group(group, perturbed(theirs(5, classifier=False)))
    _, said = begin("vgg", CONFIG, file)
    assert "fc_1/kernel (8, 12) keeps its initial values: it is not there." in said
    assert "The head keeps its initial values: logits is not there." in said
    with pytest.raises(UserError, match="give --config.depths 2 2 3 3 3"):
        begin("vgg", dataclasses.replace(CONFIG, depths=vgg.E), file)


def test_a_truncated_file_is_refused(tmp_path, begin, perturbed):
    there = perturbed(theirs(5))
    for name in ("vgg.weights.h5", "vgg.h5"):
        file = tmp_path / name
        there.save_weights(tmp_path / "whole.weights.h5")
        file.write_bytes((tmp_path / "whole.weights.h5").read_bytes()[:20_000])
        with pytest.raises(UserError, match=f"{name} is no readable file of Keras: "):
            begin("vgg", CONFIG, file)
    with pytest.raises(UserError, match="none.h5 does not exist"):
        begin("vgg", CONFIG, tmp_path / "none.h5")


@pytest.mark.parametrize("pooling", ["flatten", "avg"])
def test_a_preset_of_keras_hub(pooling, tmp_path, begin, codec_of, picture, seen, perturbed):
    """Its head is of linear layers, or of convolutions over the whole map, here 7 x 7."""
    size = 28
    config = dataclasses.replace(
        CONFIG, size=size, depths=(1, 2), widths=(4, 6), hidden=(12, 12), classes=5
    )
    backbone = keras_hub.models.VGGBackbone(
        stackwise_num_repeats=[1, 2], stackwise_num_filters=[4, 6], image_shape=(size, size, 3)
    )
    converter = keras_hub.layers.VGGImageConverter(image_size=(size, size), scale=1 / 255)
    classifier = keras_hub.models.VGGImageClassifier(
        backbone=backbone,
        num_classes=5,
        pooling=pooling,
        pooling_hidden_dim=12,
        preprocessor=keras_hub.models.VGGImageClassifierPreprocessor(image_converter=converter),
    )
    perturbed(classifier).save_to_preset(str(tmp_path / "hub"))
    ours, said = begin("vgg", config, tmp_path / "hub")
    assert said == f"--init-from: {len(ours.weights)} of {len(ours.weights)} tensors were taken."
    made = picture(size, size)
    wanted = np.asarray(classifier(classifier.preprocessor(np.asarray(made)[None])))
    given = ours(seen(codec_of("vgg", config, tmp_path / "hub"), made))
    np.testing.assert_allclose(given, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))
