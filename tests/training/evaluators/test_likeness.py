"""Made pictures beside real ones: which numbers there are, of what, and who is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training import drawers, extractors, metrics, recipes
from training.config import UserError
from training.data import digits
from training.evaluators import likeness

NAME = "digits_resnet"
SEEN = ("frechet", "kid", "kid_deviation", "precision", "recall", "density", "coverage")
SEEDS = {"seed": tf.TensorSpec([None], tf.int64)}


def prepared_for(size=8):
    """What the digits are to a network of this size, without a network."""
    module = recipes.load("vae")
    config = dataclasses.replace(module.vae.PRESETS["tiny"], size=size)
    recipe = dataclasses.replace(module.recipe(config), data="digits")
    return drawers.prepare(config, recipe, None)


@pytest.fixture(scope="module")
def prepared():
    return prepared_for()


def drawing(pictures):
    """A generator that hands out these pictures, the seed's by its number."""
    return lambda seeds: tf.gather(tf.constant(pictures), seeds % len(pictures))


def endpoint(pictures):
    return Endpoint(
        function=lambda seed: {"image": drawing(pictures)(seed)},
        inputs=SEEDS,
        example={"seed": [0, 1]},
    )


def split(name):
    return getattr(digits.read(None), name).inputs


def test_numbers_are_those_of_the_features_of_all_held_out_pictures(prepared):
    made = split("train")[:360]
    (look,) = likeness.make(drawing(made), prepared)
    found = look()
    assert set(found) == {f"{n}_{NAME}{end}" for n in SEEN for end in ("", "_floor")}
    assert all(type(value) is float for value in found.values())
    features = extractors.load(NAME).features
    real, rows = features(split("eval")), features(made)
    moments = metrics.Moments.of(real), metrics.Moments.of(rows)
    assert found[f"frechet_{NAME}"] == pytest.approx(metrics.frechet(*moments), rel=1e-6)
    assert found[f"kid_{NAME}"] == pytest.approx(metrics.kid(real, rows)[0], rel=1e-6)
    assert found[f"recall_{NAME}"] == pytest.approx(metrics.precision_recall(real, rows)[1])
    others = features(split("train")[np.linspace(0, 1436, 360).astype(int)])
    floor = metrics.frechet(moments[0], metrics.Moments.of(others))
    assert found[f"frechet_{NAME}_floor"] == pytest.approx(floor, rel=1e-6)


def test_noise_is_far_and_one_picture_again_and_again_is_not_varied(prepared):
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    one = split("eval")[:1]
    (noisy,), (same,) = (likeness.make(drawing(p), prepared, count=200) for p in (noise, one))
    far, dull = noisy(), same()
    assert far[f"precision_{NAME}"] < 0.5 < far[f"precision_{NAME}_floor"]
    assert far[f"frechet_{NAME}"] > 5 * far[f"frechet_{NAME}_floor"]
    assert dull[f"precision_{NAME}"] == 1 and dull[f"recall_{NAME}"] < 0.05
    assert dull[f"coverage_{NAME}"] < 0.1 < dull[f"coverage_{NAME}_floor"]


def test_seeds_are_counted_from_nought_and_each_is_asked_once(prepared, monkeypatch):
    monkeypatch.setattr(likeness, "CHUNK", 7)
    asked = tf.Variable(tf.zeros([0], tf.int64), shape=[None])

    def draw(seeds):
        asked.assign(tf.concat([asked, seeds], 0))
        return tf.zeros([tf.size(seeds), 8, 8, 1], tf.uint8)

    (look,) = likeness.make(draw, prepared, count=20)
    look()
    assert asked.numpy().tolist() == list(range(20))


def test_weights_are_read_anew_and_real_pictures_are_seen_once(prepared, monkeypatch):
    shade = tf.Variable(0, dtype=tf.int32)
    pictures = split("eval")

    def draw(seeds):
        darker = tf.cast(drawing(pictures)(seeds), tf.int32) // (1 + shade)
        return tf.cast(darker, tf.uint8)

    counted = []
    real = extractors.Extractor.features
    monkeypatch.setattr(
        extractors.Extractor, "features", lambda self, p: counted.append(len(p)) or real(self, p)
    )
    (look,) = likeness.make(draw, prepared, count=30)
    first = look()
    assert counted == [30, 30, 30], "real ones, made ones, others"
    shade.assign(7)
    second = look()
    assert counted[3:] == [30], "made ones"
    assert second[f"frechet_{NAME}"] > first[f"frechet_{NAME}"] + 1
    assert second[f"frechet_{NAME}_floor"] == first[f"frechet_{NAME}_floor"]


def test_real_pictures_are_brought_to_the_size_of_the_made_ones():
    """Who hands out the real pictures in the run's size is as near as can be."""
    prepared = prepared_for(16)
    whole = prepared.codec.fit(tf.constant(split("eval"), tf.float32))
    pictures = tf.cast(tf.round(whole), tf.uint8).numpy()
    assert pictures.shape == (360, 16, 16, 1)
    (look,) = likeness.make(drawing(pictures), prepared)
    found = look()
    assert found[f"frechet_{NAME}"] < 1e-6
    assert found[f"precision_{NAME}"] == found[f"recall_{NAME}"] == 1


def test_thorough_tells_copies_and_what_cannot_be_told_apart(prepared):
    def judged(pictures, **options):
        options = {"count": 100, "split": "eval", "extractor": None, **options}
        return likeness.thorough(endpoint(pictures), prepared, **options)()

    copied = judged(split("train"))
    assert copied[f"copies_{NAME}"] == 1 and copied[f"nearest_{NAME}"] < 1e-3
    held_out = judged(split("eval")[::-1])
    assert held_out[f"copies_{NAME}"] == pytest.approx(0.5, abs=0.1)
    assert held_out[f"nearest_{NAME}"] == pytest.approx(held_out[f"nearest_{NAME}_floor"], rel=0.2)
    noise = judged(np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), np.uint8))
    assert noise[f"two_sample_{NAME}"] > 0.9 and noise[f"two_sample_chance_{NAME}"] < 1e-6
    assert noise[f"two_sample_{NAME}_floor"] < 0.8
    assert held_out["parzen"] > copied["parzen"] > noise["parzen"]
    assert noise["parzen_floor"] == copied["parzen_floor"] > noise["parzen"] + 5
    train = judged(split("train"), split="train")
    assert train[f"frechet_{NAME}_floor"] != copied[f"frechet_{NAME}_floor"]
    other = judged(split("train"), extractor="mnist_resnet")
    named = {key for key in other if not key.startswith("parzen")}
    assert {key.split("_resnet")[0].split("_")[-1] for key in named} == {"mnist"}


def test_an_endpoint_answers_where_a_seed_is_all_it_needs(prepared):
    steps = Endpoint(
        function=lambda seed, steps: {"image": tf.cast(steps, tf.uint8)[:, None, None, None]},
        inputs={**SEEDS, "steps": tf.TensorSpec([None], tf.int32)},
        defaults={"steps": [5]},
        example={"seed": [1]},
    )
    assert likeness.answers(steps, prepared.codec)
    assert likeness.by_seed(steps)(tf.constant([3], tf.int64)).numpy().item() == 5
    assert not likeness.answers(dataclasses.replace(steps, defaults={}), prepared.codec)
    assert not likeness.answers(steps, object())


def test_data_that_no_extractor_knows_are_left_out_or_refused(prepared):
    source = dataclasses.replace(prepared.data.source, extractor="")
    other = dataclasses.replace(prepared, data=dataclasses.replace(prepared.data, source=source))
    pictures = split("eval")
    assert list(likeness.make(drawing(pictures), other)) == []
    with pytest.raises(
        UserError, match="give --extractor, one of digits_resnet, mnist_resnet, cifar"
    ):
        likeness.thorough(endpoint(pictures), other, count=9, split="eval", extractor=None)
    look = likeness.thorough(endpoint(pictures), other, count=9, split="eval", extractor=NAME)
    assert f"frechet_{NAME}" in look()


@pytest.mark.parametrize("count", [5, 361])
def test_too_few_and_too_many_pictures_are_refused(prepared, count):
    with pytest.raises(UserError, match=f"--generated is {count}; it must lie in 6 to 360"):
        likeness.thorough(
            endpoint(split("eval")), prepared, count=count, split="eval", extractor=None
        )


def test_data_of_a_few_pictures_are_trained_on_without_comparing_and_not_judged(prepared):
    source = prepared.data.source
    few = dataclasses.replace(
        source.eval, inputs=source.eval.inputs[:5], labels=source.eval.labels[:5]
    )
    source = dataclasses.replace(source, eval=few)
    other = dataclasses.replace(prepared, data=dataclasses.replace(prepared.data, source=source))
    pictures = split("eval")
    assert list(likeness.make(drawing(pictures), other)) == []
    with pytest.raises(UserError, match="with at least 6 real pictures, and .* has 5"):
        likeness.thorough(endpoint(pictures), other, count=6, split="eval", extractor=None)


def test_a_changed_extractor_is_refused_before_anything_is_made(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(extractors, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="is missing"):
        likeness.make(drawing(split("eval")), prepared)
