"""ResNet: three ways in which others keep it, and their logits from the same picture."""

import dataclasses
import json

import h5py
import keras
import keras_hub
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from kmodels import resnet
from training.config import UserError

# Keras, when it writes a file.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = {
    "basic": resnet.Config(classes=5, size=32, widths=(16, 24), depths=(2, 1)),
    "bottleneck": resnet.Config(
        classes=5, size=32, widths=(8, 16), depths=(1, 2), block="bottleneck", stride_in="3x3"
    ),
}
FIFTY = dataclasses.replace(resnet.PRESETS["resnet-50"], size=32, classes=7)


@pytest.mark.parametrize("block", SMALL)
def test_a_hugging_face_folder(block, tmp_path, begin, codec_of, picture, seen, perturbed):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = SMALL[block]
    settings = transformers.ResNetConfig(
        embedding_size=config.widths[0],
        hidden_sizes=[n * (4 if block == "bottleneck" else 1) for n in config.widths],
        depths=list(config.depths),
        layer_type=block,
        num_labels=5,
    )
    theirs = perturbed(transformers.ResNetForImageClassification(settings))
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 32})
    theirs.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours, said = begin("resnet", config, f"hf:{tmp_path}")
    assert f"{len(ours.weights)} of {len(ours.weights)} tensors were taken" in said
    codec = codec_of("resnet", config, f"hf:{tmp_path}")
    assert (codec.short, codec.resample) == (36, "bicubic")
    made = picture(36, 36)  # so that nothing is resized, only cut
    wanted = theirs(**processor(made, return_tensors="pt")).logits.detach().numpy()
    np.testing.assert_allclose(ours(seen(codec, made)), wanted, atol=1e-4)
    large = picture(60, 60)
    pixels = processor(large, return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(seen(codec, large), pixels, atol=2.5 / 255 / 0.2)


@pytest.fixture(scope="module")
def fifty():
    """keras.applications' ResNet-50, its statistics and biases away from where they begin."""
    model = keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=7, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for variable in model.variables:
        shape = tuple(variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            variable.assign(rng.uniform(0.5, 1.2, shape))
        elif "kernel" not in variable.path:
            variable.assign(rng.normal(0, 0.2, shape))
    return model


def published(file, model):
    """Writes a file as those that keras.applications downloads."""
    with h5py.File(file, "w") as group:
        legacy_h5_format.save_weights_to_hdf5_group(group, model)
    return file


def test_a_file_of_keras_applications(fifty, tmp_path, begin, codec_of, picture, seen):
    file = published(tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels.h5", fifty)
    ours, said = begin("resnet", FIFTY, file)
    assert said == f"--init-from: {len(ours.weights)} of {len(ours.weights)} tensors were taken."
    made = picture(32, 32)
    pixels = keras.applications.resnet.preprocess_input(np.asarray(made, np.float32)[None])
    codec = codec_of("resnet", FIFTY, file)
    np.testing.assert_allclose(seen(codec, made), pixels, atol=1e-4)
    wanted = np.asarray(fifty(pixels))
    np.testing.assert_allclose(ours(pixels), wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_the_same_network_in_the_newer_form_and_without_its_head(fifty, tmp_path, begin):
    bare = keras.Model(fifty.input, fifty.get_layer("conv5_block3_out").output)
    bare.save_weights(tmp_path / "resnet50_notop.weights.h5")
    ours, said = begin("resnet", FIFTY, tmp_path / "resnet50_notop.weights.h5")
    head, last = said.splitlines()
    assert head == "The head keeps its initial values: logits is not there."
    assert f"{len(ours.weights) - 2} of {len(ours.weights)} tensors were taken." in last


def test_a_file_of_another_depth_or_network_is_refused(fifty, tmp_path, begin):
    file = published(tmp_path / "fifty.h5", fifty)
    deeper = dataclasses.replace(FIFTY, depths=resnet.DEEP_101, stride_in="3x3")
    with pytest.raises(UserError, match="give --config.depths 3 4 6 3 --config.stride-in=1x1"):
        begin("resnet", deeper, file)
    with h5py.File(tmp_path / "other.h5", "w") as group:
        layer = keras.Sequential([keras.Input([2]), keras.layers.Dense(3, name="one")])
        legacy_h5_format.save_weights_to_hdf5_group(group, layer)
    with pytest.raises(UserError, match="has no layer 'conv1_conv', as resnet has"):
        begin("resnet", FIFTY, tmp_path / "other.h5")


@pytest.mark.parametrize("block", SMALL)
def test_a_preset_of_keras_hub(block, tmp_path, begin, codec_of, picture, seen, perturbed):
    config = dataclasses.replace(SMALL[block], widths=(64, 24))  # the first is always 64
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[config.widths[0]],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(config.widths),
        stackwise_num_blocks=list(config.depths),
        stackwise_num_strides=[1, 2],
        block_type=f"{block}_block",
        image_shape=(32, 32, 3),
    )
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), scale=1 / 60, offset=-2.0
    )
    theirs = keras_hub.models.ResNetImageClassifier(
        backbone=backbone,
        num_classes=5,
        preprocessor=keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter),
    )
    perturbed(theirs).save_to_preset(str(tmp_path / "hub"))
    ours, said = begin("resnet", config, tmp_path / "hub")
    assert said == f"--init-from: {len(ours.weights)} of {len(ours.weights)} tensors were taken."
    made = picture(32, 32)
    wanted = np.asarray(theirs(theirs.preprocessor(np.asarray(made)[None]), training=False))
    given = ours(seen(codec_of("resnet", config, tmp_path / "hub"), made), training=False)
    np.testing.assert_allclose(given, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'; only 'relu'"),
        ({"downsample_in_first_stage": True}, "downsample_in_first_stage True"),
        ({"depths": [2, 2]}, "has depths .*; give --config.depths 2 2"),
        ({"layer_type": None}, "block None"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(tmp_path, begin, change, said):
    settings = {
        "model_type": "resnet",
        "hidden_act": "relu",
        "layer_type": "basic",
        "hidden_sizes": [16, 24],
        "depths": [2, 1],
        "embedding_size": 16,
    }
    (tmp_path / "config.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(UserError, match=f"^--init-from: .*{said}"):
        begin("resnet", SMALL["basic"], f"hf:{tmp_path}")


def test_a_config_that_does_not_say_enough_is_refused(tmp_path, begin):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(UserError, match="config.json does not say 'hidden_act'"):
        begin("resnet", SMALL["basic"], f"hf:{tmp_path}")
