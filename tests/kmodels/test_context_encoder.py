"""Context encoders: counts of the authors' program, the same function, and what they answer."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import alexnet, context_encoder, resnet
from kmodels.core.codecs.images import Images
from tests import numpy_nets as nets

PRESETS = context_encoder.PRESETS
TINY = PRESETS["tiny"]
CENTRE = PRESETS["centre-128"]
SMALL_REGIONS = dataclasses.replace(TINY, missing="regions", overlap=0)


def test_counts_are_those_of_the_authors_program():
    """To the last parameter: biases that are held at 0 count, for they are there."""
    assert context_encoder.encoder_count(CENTRE) == 35_596_064
    assert context_encoder.generator_count(CENTRE) == 71_130_531
    assert context_encoder.discriminator_count(CENTRE) == 2_766_529
    assert context_encoder.generator_count(PRESETS["centre-128-100"]) == 7_221_231


def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize("config", [TINY, SMALL_REGIONS, PRESETS["digits-features"]])
def test_counts_are_those_of_real_networks(config):
    model = context_encoder.build(config)
    assert count(model.encoder) == context_encoder.encoder_count(config)
    assert count(model.generator) == context_encoder.generator_count(config)
    if config.adversarial:
        assert count(model.discriminator) == context_encoder.discriminator_count(config)
    else:
        assert model.discriminator is None and context_encoder.discriminator_count(config) == 0


@pytest.mark.parametrize("preset", ["centre-128", "regions-128", "regions-64", "alexnet-227"])
def test_shapes_are_the_published_ones(preset):
    config = PRESETS[preset]
    narrow = dataclasses.replace(config, widths=tuple(w // 16 for w in config.widths))
    if config.bottleneck:
        narrow = dataclasses.replace(narrow, bottleneck=10)
    model = context_encoder.build(narrow)
    code = (6, 6, 16) if preset == "alexnet-227" else (1, 1, 10)
    assert model.encoder.output.shape[1:] == code
    side = 64 if preset == "centre-128" else config.size
    assert model.generator.output.shape[1:] == (side, side, 3)
    if preset == "alexnet-227":
        sides = [layer.output.shape[1] for layer in model.generator.layers if "crop" in layer.name]
        assert sides == [11, 21, 41, 81, 161]
        assert config.widths[-1] * alexnet.Config(size=227).map_side ** 4 == 331_776
    else:
        assert model.discriminator.input.shape[1:] == (side, side, 3)
        maps = [layer for layer in model.discriminator.layers if "bend" in layer.name]
        assert [layer.output.shape[1] for layer in maps][-1] == 4
    middle = {"centre-128": 56, "regions-128": 64, "regions-64": 32, "alexnet-227": 113}
    assert model.centre.sum() == middle[preset] ** 2


def test_regions_are_as_coarse_as_the_programs():
    """Whose noise has six cells for a hundred pixels, whatever the size of a picture."""
    for config in (PRESETS["regions-128"], PRESETS["regions-64"]):
        assert config.cells == pytest.approx(0.06 * config.size, abs=0.5)


def transposed(x, kernel, *, stride, pad):
    """Each place adds its kernel [side, side, out, in] to what is made; Torch's convention."""
    count, height, width, _ = x.shape
    side, room = kernel.shape[0], (height - 1) * stride + kernel.shape[0]
    y = np.zeros((count, room, (width - 1) * stride + side, kernel.shape[2]))
    for i, j in np.ndindex(height, width):
        part = np.einsum("bc,hwoc->bhwo", x[:, i, j], kernel)
        y[:, i * stride : i * stride + side, j * stride : j * stride + side] += part
    return y[:, pad : room - pad, pad : room - pad]


def twin(model, x, *, upwards):
    """The generator and the discriminator in NumPy, with frozen statistics and Torch's padding."""
    held = {v.path: v.numpy().astype(float) for v in model.weights}

    def convolution(x, name, stride=1):
        return nets.convolution(x, held[f"{name}/kernel"], held[f"{name}/bias"], stride=stride)

    def norm(x, name):
        mean, variance = held[f"{name}/moving_mean"], held[f"{name}/moving_variance"]
        scaled = (x - mean) / np.sqrt(variance + 1e-5)
        return scaled * held[f"{name}/gamma"] + held[f"{name}/beta"]

    def halved(x, name):
        for i in range(sum(f"{name}_{n}/kernel" in held for n in range(9))):
            x = convolution(nets.padded(x, 1, 1, 1, 1), f"{name}_{i}", stride=2)
            x = norm(x, f"{name}_norm_{i}") if i else x
            x = np.where(x > 0, x, 0.2 * x)
        return x

    x = norm(convolution(halved(x, "encoder"), "code"), "code_norm")
    x = np.where(x > 0, x, 0.2 * x)
    for i in range(upwards + 1):
        kernel = held[f"decoder_{i}/kernel"]
        x = transposed(x, kernel, stride=2 if i else 1, pad=1 if i else 0)
        x = x + held[f"decoder_{i}/bias"]
        x = np.maximum(norm(x, f"decoder_norm_{i}"), 0) if i < upwards else np.tanh(x)
    seen = halved(x, "discriminator")
    return x, convolution(seen, "discriminator_logits")[:, 0, 0]


@pytest.mark.parametrize("missing", ["centre", "regions"])
def test_the_networks_are_those_of_the_program_in_numpy(missing, lively):
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(
        SMALL_REGIONS if missing == "regions" else TINY, size=32, widths=(3, 4, 5)
    )
    model = lively(context_encoder.build(config), stddev=0.3)
    for variable in model.weights:
        if "moving" in variable.name:
            variable.assign(variable + np.random.default_rng(0).uniform(0, 0.5, variable.shape))
    x = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32)
    made, logits = twin(model, x.astype(float), upwards=len(config.upwards))
    np.testing.assert_allclose(model(x), made, atol=1e-4)
    np.testing.assert_allclose(model.discriminator(model(x)), logits, atol=1e-4, rtol=1e-4)
    assert made.std() > 0.1 and logits.std() > 1e-3


def test_weights_begin_as_in_the_program():
    keras.utils.set_random_seed(0)
    model = context_encoder.build(PRESETS["digits"])
    for variable in model.trainable_variables:
        if variable.name in ("beta", "bias"):
            assert not variable.numpy().any()
            continue
        off = variable.numpy() - (1.0 if variable.name == "gamma" else 0.0)
        assert abs(off.mean()) < 0.01 and off.std() == pytest.approx(0.02, rel=0.3)


def test_features_have_the_paths_of_their_classifiers():
    config = PRESETS["digits-features"]
    mine = {v.path: tuple(v.shape) for v in context_encoder.build(config).encoder.weights}
    theirs = resnet.build(
        resnet.Config(
            classes=3, size=8, channels=1, stem="cifar", widths=(16, 32, 64), depths=(1, 1, 1)
        )
    )
    assert mine == {v.path: tuple(v.shape) for v in theirs.weights if "logits" not in v.path}


def test_what_is_missing_is_one_colour_and_what_is_known_stays():
    config = dataclasses.replace(PRESETS["digits-features"], channels=3, fill=(0.0, 127.5, 255.0))
    model = context_encoder.build(config)
    image = tf.random.stateless_uniform([5, 8, 8, 3], [1, 2], -1, 1)
    drawn = {
        name: tf.random.stateless_uniform([5, *draw.shape], [3, i])
        for i, (name, draw) in enumerate(model.draws.items())
    }
    missing = model.missing({"image": image, **drawn})
    assert missing.dtype == tf.bool and missing.shape == (5, 8, 8, 1)
    gone = np.broadcast_to(missing, image.shape)
    assert gone.mean() == 0.25 and len(np.unique(missing, axis=0)) == 5
    holed, filled = model.holed(image, missing).numpy(), model.filled(image, missing).numpy()
    assert (holed[gone].reshape(-1, 3) == [-1, 0, 1]).all()
    for made in (holed, filled):
        np.testing.assert_array_equal(made[~gone], image.numpy()[~gone])
    np.testing.assert_allclose(filled[gone], model(holed).numpy()[gone], atol=1e-6)


def files(count, size=16):
    pictures = tf.random.stateless_uniform([count, size, size, 1], [5, 6], 0, 256, tf.int32)
    return [tf.io.encode_png(p).numpy() for p in tf.cast(pictures, tf.uint8)], pictures.numpy()


@pytest.fixture(scope="module", params=[TINY, SMALL_REGIONS], ids=["centre", "regions"])
def model(request):
    keras.utils.set_random_seed(0)
    made, rng = context_encoder.build(request.param), np.random.default_rng(0)
    for variable in made.trainable_variables:
        variable.assign_add(rng.normal(0, 0.3, tuple(variable.shape)).astype("float32"))
    return made


@pytest.fixture(scope="module")
def endpoints(model):
    codec = Images(
        labels=("0",), size=16, channels=1, mean=(127.5,), deviation=(127.5,),
        examples=tuple(files(2)[0]),
    )  # fmt: skip
    return context_encoder.endpoints(model, codec)


def test_inpainting_keeps_known_pixels_and_a_row_alone_is_that_in_company(model, endpoints):
    contents, pictures = files(3)
    mask = np.stack([model.centre] * 3)
    if model.config.missing == "regions":
        mask[1] = np.tri(16, dtype=bool)
    specs = endpoints["inpaint"].inputs
    inpaint = tf.function(endpoints["inpaint"].function, autograph=False)
    inpaint = inpaint.get_concrete_function(**specs)
    answer = inpaint(image_bytes=tf.constant(contents), mask=tf.constant(mask, tf.uint8))
    image = answer["image"].numpy()
    assert image.dtype == np.uint8 and image.shape == pictures.shape
    np.testing.assert_array_equal(image[~mask], pictures[~mask])
    assert (image[mask] != pictures[mask]).mean() > 0.9
    for row in range(3):
        np.testing.assert_array_equal(tf.io.decode_png(answer["image_bytes"][row]), image[row])
        alone = inpaint(
            image_bytes=tf.constant(contents[row : row + 1]),
            mask=tf.constant(mask[row : row + 1], tf.uint8),
        )
        np.testing.assert_array_equal(alone["image"][0], image[row])
    usual = inpaint(
        image_bytes=tf.constant(contents),
        mask=tf.constant(endpoints["inpaint"].defaults["mask"], tf.uint8),
    )
    np.testing.assert_array_equal(usual["image"][0], image[0])
    assert endpoints["serving_default"] is endpoints["inpaint"]


def test_what_is_missing_does_not_shine_through(model, endpoints):
    contents, pictures = files(2)
    pictures[0][model.centre] = 0
    blank = tf.io.encode_png(tf.constant(pictures[0], tf.uint8)).numpy()
    mask = tf.constant(model.centre[None], tf.uint8)
    answer = (
        endpoints["inpaint"]
        .function(image_bytes=tf.constant([contents[0], blank, contents[1]]), mask=mask)["image"]
        .numpy()
    )
    np.testing.assert_array_equal(answer[0], answer[1])
    assert (answer[0] != answer[2]).any()


def test_embed_is_the_code_of_the_whole_picture(model, endpoints):
    contents, pictures = files(2)
    embedding = endpoints["embed"].function(image_bytes=tf.constant(contents))["embedding"]
    assert embedding.shape == (2, model.config.bottleneck)
    seen = tf.constant(pictures / 127.5 - 1, tf.float32)
    np.testing.assert_allclose(embedding, model.encoder(seen)[:, 0, 0], atol=1e-5)


def test_a_wrong_mask_or_picture_is_refused_by_its_row(model, endpoints):
    contents, _ = files(2)
    ask = endpoints["inpaint"].function
    ones = tf.ones([2, 16, 16], tf.uint8)
    right = tf.constant(model.centre[None], tf.uint8)
    wrong = [
        (contents, ones[:, :9], "mask of row 0 is 9 x 16; it must be 16 x 16"),
        (contents, 0 * ones, "mask of row 0 is 0 everywhere"),
        ([contents[0], b"x"], right, "image 1 is neither a JPEG nor a PNG"),
    ]
    if model.config.missing == "centre":
        sentence = "mask of row 1 is 1 elsewhere; it must be 1 in the 6 x 6 pixels in the middle"
        wrong.append((contents, tf.concat([right, ones[:1]], 0), sentence))
    for given, mask, sentence in wrong:
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            ask(image_bytes=tf.constant(given), mask=mask)
        assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 48}, "config.size is 48; it must be 16, 32, 64 and so on"),
        ({"size": 64}, "pictures of 64 are halved 4 times by a strided encoder"),
        ({"depths": (1,)}, "config.depths \\(1,\\)"),
        ({"channels": 1}, "must hold 1 number"),
        ({"fill": (0.0, 0.0, 256.0)}, "config.fill"),
        ({"widths": (1, 2, 0, 4, 5)}, "config.widths"),
        ({"bottleneck": 0}, "config.bottleneck is 0"),
        ({"overlap": 32}, "config.overlap is 32; .* it must lie in \\[0, 31\\]"),
        ({"missing": "regions"}, "config.overlap is 4; .* it must lie in \\[0, 0\\]"),
        ({"missing": "center"}, "Did you mean 'centre'"),
        ({"context": -1.0}, "config.context is -1.0"),
        ({"adversarial": 1.0}, "config.adversarial"),
        ({"cells": 0}, "config.cells is 0"),
        ({"statistics": "some"}, "config.statistics"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(CENTRE, **changes)


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("cifar-features", {"missing": "centre"}, "must be 'regions' with encoder 'resnet'"),
        ("alexnet-227", {"adversarial": 0.1}, "must be 0 with encoder 'alexnet'"),
        ("cifar-features", {"bottleneck": 7}, "config.bottleneck is 7; it must be 0"),
        ("cifar-features", {"size": 30}, "config.size 30 cannot be halved by 3 stages"),
        ("cifar-features", {"widths": (8,), "depths": (1,)}, "at least 2"),
        ("cifar-features", {"depths": (1,)}, "must hold as many numbers each"),
        ("alexnet-227", {"widths": (8,)}, "config.widths"),
        ("alexnet-227", {"size": 20}, "config.size"),
    ],
)
def test_features_that_cannot_be_learnt_are_a_sentence(preset, changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(PRESETS[preset], **changes)
