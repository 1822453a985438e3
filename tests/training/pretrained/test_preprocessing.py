"""What files say of pictures, in our units."""

import dataclasses

import numpy as np
import pytest

from training.config import ImageCodecChoice, UserError
from training.pretrained import foreign, preprocessing

THIRDS = {"image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 0.5, 1.0]}


@pytest.mark.parametrize(
    ("settings", "mean", "deviation"),
    [
        ({}, (127.5, 63.75, 0.0), (127.5, 127.5, 255.0)),
        ({"rescale_factor": 1 / 127.5}, (63.75, 31.875, 0.0), (63.75, 63.75, 127.5)),
        ({"do_rescale": False}, (0.5, 0.25, 0.0), (0.5, 0.5, 1.0)),
        ({"do_normalize": False}, (0.0,), (255.0,)),
    ],
)
def test_means_and_deviations_of_transformers(settings, mean, deviation):
    choice = preprocessing.of_hugging_face({**THIRDS, **settings}, size=224)
    assert choice.mean == pytest.approx(mean) and choice.deviation == pytest.approx(deviation)


CONVNEXT = {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "resample": 3}
OLD = {"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 224}


@pytest.mark.parametrize(
    ("settings", "size", "short"),
    [
        ({"size": {"height": 224, "width": 224}}, 224, None),
        ({"size": 224}, 224, None),
        ({**CONVNEXT, "size": {"shortest_edge": 224}}, 224, 256),
        ({**CONVNEXT, "size": {"shortest_edge": 224}, "crop_pct": None}, 224, 256),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, 384, None),
        (OLD, 224, 256),
        (OLD, 112, 128),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, 224, 256),
        ({"size": {"shortest_edge": 256}, "crop_size": 224}, 448, 512),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, 224, 224),
    ],
)
def test_what_is_cut_out_of_what(settings, size, short):
    choice = preprocessing.of_hugging_face({**THIRDS, **settings}, size=size)
    assert choice.short == short
    assert choice.resample == ("bicubic" if settings.get("resample") == 3 else "bilinear")


def test_the_converter_of_keras_hub():
    plain = preprocessing.of_keras_hub({"scale": None, "offset": None}, size=32)
    assert plain == ImageCodecChoice(short=32, mean=(0.0,), deviation=(1.0,))
    settings = {"scale": 1 / 50, "offset": [-1, 0, 1], "crop_to_aspect_ratio": False}
    choice = preprocessing.of_keras_hub({**settings, "interpolation": "bicubic"}, size=32)
    wanted = ImageCodecChoice(mean=(50, 0, -50), deviation=(50, 50, 50), resample="bicubic")
    assert choice == wanted


def test_keras_applications_turns_colours_round():
    keras = pytest.importorskip("keras")
    choice = preprocessing.of_applications()
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    wanted = keras.applications.vgg16.preprocess_input(pixels.copy())
    assert choice.order == "bgr"
    seen = (pixels[..., ::-1] - np.array(choice.mean)) / np.array(choice.deviation)
    np.testing.assert_allclose(seen, wanted, atol=1e-4)


@pytest.mark.parametrize("text", ["[]]", "[1, 2]", "{}", '{"image_mean": 5, "image_std": 5}'])
def test_a_file_that_says_nothing_of_use_is_refused(tmp_path, text):
    (tmp_path / "preprocessor_config.json").write_text(text)
    found = foreign.Foreign(place=tmp_path, model="vit", form="hugging_face", settings={})
    with pytest.raises(UserError, match="preprocessor_config.json (is no JSON|does not describe)"):
        found.wants(size=32, short=None)


def test_without_a_file_nothing_is_wanted(tmp_path):
    for form in ("hugging_face", "keras_hub"):
        found = foreign.Foreign(place=tmp_path, model="vit", form=form, settings={})
        assert found.wants(size=32, short=None) is None
    file = dataclasses.replace(found, form="keras_applications")
    assert file.wants(size=32, short=40).short == 40
