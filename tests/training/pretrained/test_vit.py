"""ViT: folders of transformers and keras-hub give their logits here, from the same picture."""

import dataclasses
import json

import keras_hub
import numpy as np
import pytest

from kmodels import vit
from training.config import UserError

# Keras, when it writes a file.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG = vit.Config(
    classes=5,
    size=32,
    patch=8,
    width=24,
    depth=2,
    heads=4,
    mlp=40,
    dropout=0.0,
    activation="gelu",
    epsilon=1e-12,
)
HUB = dataclasses.replace(CONFIG, epsilon=1e-6)


@pytest.fixture
def hugging_face(tmp_path, perturbed):
    """A folder as transformers writes it, the model and its processor."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    settings = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        image_size=32,
        patch_size=8,
        num_labels=5,
    )
    model = perturbed(transformers.ViTForImageClassification(settings))
    processor = transformers.ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.5, 0.3, 0.2]
    )
    model.save_pretrained(tmp_path / "hf")
    processor.save_pretrained(tmp_path / "hf")
    return tmp_path / "hf", model, processor


@pytest.fixture
def hub(tmp_path, perturbed):
    """A preset as keras-hub writes it, and the classifier."""
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=(8, 8),
        num_layers=2,
        num_heads=4,
        hidden_dim=24,
        mlp_dim=40,
    )
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(32, 32), scale=[1 / 100, 1 / 50, 1 / 20], offset=[-1.0, -0.5, 0.25]
    )
    classifier = keras_hub.models.ViTImageClassifier(
        backbone=backbone,
        num_classes=5,
        preprocessor=keras_hub.models.ViTImageClassifierPreprocessor(image_converter=converter),
    )
    perturbed(classifier).save_to_preset(str(tmp_path / "hub"))
    return tmp_path / "hub", classifier


def test_a_hugging_face_folder(hugging_face, begin, codec_of, picture, seen):
    folder, theirs, processor = hugging_face
    ours, said = begin("vit", CONFIG, f"hf:{folder}")
    codec = codec_of("vit", CONFIG, f"hf:{folder}")
    made = picture(32, 32)
    wanted = theirs(**processor(made, return_tensors="pt")).logits.detach().numpy()
    np.testing.assert_allclose(ours(seen(codec, made)), wanted, atol=1e-4)
    count = len(ours.weights)
    assert said == f"--init-from: {count} of {count} tensors were taken."
    # Elsewhere both sides are resized; PIL rounds to whole numbers in between.
    large = picture(48, 64)
    pixels = processor(large, return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(seen(codec, large), pixels, atol=1.5 / 255 / 0.2)


def test_a_folder_without_a_head_that_has_a_representation(hugging_face, tmp_path, begin):
    import transformers

    whole = hugging_face[1]
    bare = transformers.ViTModel(whole.config).eval()
    bare.save_pretrained(tmp_path / "bare")
    ours, said = begin(
        "vit", dataclasses.replace(CONFIG, representation=24), f"hf:{tmp_path / 'bare'}"
    )
    assert "The head keeps its initial values: logits is not there." in said
    import torch

    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = bare(torch.tensor(x.transpose(0, 3, 1, 2))).pooler_output.numpy()
    inner = vit.keras.Model(ours.input, ours.get_layer("representation").output)
    np.testing.assert_allclose(inner(x), wanted, atol=1e-4)


def test_another_size_interpolates_the_places_as_larger_pictures_do(hugging_face, begin):
    folder = f"hf:{hugging_face[0]}"
    there, _ = begin("vit", CONFIG, folder)
    here, said = begin("vit", dataclasses.replace(CONFIG, size=48), folder)
    assert "tokens/places (1, 17, 24) there is interpolated to (1, 37, 24)." in said
    x = np.random.default_rng(0).normal(size=(2, 48, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(here(x), there(x), atol=1e-5)


def test_another_head_begins_anew_in_one_line(hugging_face, begin):
    config = dataclasses.replace(CONFIG, classes=10)
    ours, said = begin("vit", config, f"hf:{hugging_face[0]}")
    lines = said.splitlines()
    assert lines[0] == (
        "The head keeps its initial values: logits has 5 outputs there and 10 here."
    )
    assert len(lines) == 2 and "classifier.bias, classifier.weight" in lines[1]
    assert not ours.get_layer("logits").kernel.numpy().any()


def test_a_preset_of_keras_hub(hub, begin, codec_of, picture, seen):
    folder, theirs = hub
    ours, said = begin("vit", HUB, folder)
    codec = codec_of("vit", HUB, folder)
    made = picture(32, 32)
    wanted = theirs(theirs.preprocessor(np.asarray(made)[None]))
    np.testing.assert_allclose(ours(seen(codec, made)), wanted, atol=1e-4)
    assert said == f"--init-from: {len(ours.weights)} of {len(ours.weights)} tensors were taken."
    # Larger pictures are cut to a square; keras-hub does not smooth before, so by a whole factor.
    assert (codec.short, codec.size) == (32, 32)


def test_a_preset_without_its_task_has_no_head(hub, tmp_path, begin):
    hub[1].backbone.save_to_preset(str(tmp_path / "bare"))
    _, said = begin("vit", HUB, tmp_path / "bare")
    assert said.startswith("The head keeps its initial values: logits is not there.")


def test_a_truncated_or_missing_file_is_refused(hugging_face, hub, begin):
    for file, given, config in (
        (hugging_face[0] / "model.safetensors", f"hf:{hugging_face[0]}", CONFIG),
        (hub[0] / "model.weights.h5", hub[0], HUB),
    ):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(UserError, match=f"{file.name} is no readable"):
            begin("vit", config, given)
        file.unlink()
        with pytest.raises(UserError, match=f"{file.name} does not exist"):
            begin("vit", config, given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_attention_heads": 2}, "has heads 2, and config.heads is 4; give --config.heads=2"),
        ({"hidden_act": "quick_gelu"}, "activation quick_gelu"),
        (
            {"layer_norm_eps": 1e-6, "hidden_act": "gelu_new"},
            "give --config.activation=gelu_tanh --config.epsilon=1e-06",
        ),
        ({"patch_size": [4]}, "has patch"),
        ({"model_type": "deit"}, "of type 'deit'; vit reads vit"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(hugging_face, begin, change, said):
    file = hugging_face[0] / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=f"^--init-from: .*{said}"):
        begin("vit", CONFIG, f"hf:{file.parent}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_class_token": False}, "use_class_token False; only True"),
        ({"patch_size": [8, 4]}, "patches of the sides"),
        ({"image_shape": 5}, "does not describe a vit: "),
        ({"num_layers": 3}, "has depth 3, and config.depth is 2"),
    ],
)
def test_a_preset_that_computes_something_else_is_refused(hub, begin, change, said):
    file = hub[0] / "config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "config": {**settings["config"], **change}}))
    with pytest.raises(UserError, match=f"^--init-from: .*{said}"):
        begin("vit", HUB, file.parent)
