"""Ten crops and whole pictures against crops made by hand, and the numbers they give."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gpt, mlp, resnet, vgg
from kmodels.core import zoo
from training import classifiers, recipes, views
from training.config import UserError
from training.objectives.classification import classification

TINY = dataclasses.replace(vgg.PRESETS["tiny"], classes=10)


@pytest.fixture(scope="module")
def prepared():
    return classifiers.prepare(TINY, recipes.load("vgg").recipe(TINY), None)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    made = vgg.build(TINY)
    made.get_layer("logits").kernel.assign(made.get_layer("logits").kernel * 8)
    return made


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def by_hand(picture, size):
    """The ten crops of one picture [H, W, C]."""
    height, width, _ = picture.shape
    crops = []
    for top, left in (
        (0, 0),
        (0, width - size),
        (height - size, 0),
        (height - size, width - size),
        ((height - size) // 2, (width - size) // 2),
    ):
        crops.append(picture[top : top + size, left : left + size])
    return np.stack([*crops, *(np.flip(crop, axis=1) for crop in crops)])


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(9, 14), (14, 9), (12, 12)])
def test_ten_crops_are_those_made_by_hand(height, width):
    many = pictures(3, height, width, 3)
    found = tf.function(views.ten_crops)(many, 8)
    assert found.shape == (3, 10, 8, 8, 3)
    for picture, ten in zip(many, found.numpy(), strict=True):
        assert np.array_equal(ten, by_hand(picture, 8))
        assert np.array_equal(views.ten_crops(picture, 8), ten), "one picture, as well as many"


def test_a_picture_as_large_as_the_network_has_five_views_that_are_it():
    one = pictures(8, 8, 1)
    ten = views.ten_crops(one, 8).numpy()
    assert all(np.array_equal(view, one) for view in ten[:5])
    assert all(np.array_equal(view, one[:, ::-1]) for view in ten[5:])
    assert np.array_equal(views.mirrored(one), ten[[0, 5]])


@pytest.mark.parametrize("kind", ["10-crop", "dense"])
def test_what_the_network_sees_is_what_the_codec_makes_of_each_view(kind, prepared):
    seen = views.choose(kind, 12, model="vgg", paper=vgg, codec=prepared.codec)
    one = pictures(20, 16, 3)
    whole = prepared.codec.resized(one, 12)
    assert whole.shape == (15, 12, 1), "grey, the short side 12, the ratio kept"
    wanted = by_hand(whole.numpy(), 8) if kind == "10-crop" else views.mirrored(whole).numpy()
    np.testing.assert_allclose(seen.see(one), prepared.codec.see(wanted), atol=1e-5)


@pytest.mark.parametrize(("kind", "scale"), [("10-crop", 11), ("dense", 13), ("dense", 8)])
def test_the_numbers_are_those_of_the_mean_of_the_views_probabilities(kind, scale, prepared, model):
    seen = views.choose(kind, scale, model="vgg", paper=vgg, codec=prepared.codec)
    split = prepared.data.source.eval
    batch = {
        "image": seen.see(tf.cast(split.inputs[:20], tf.float32)),
        "label": tf.constant(split.labels[:20]),
    }
    batch["mask"] = np.float32([1] * 15 + [0] * 5)
    loss, logs = seen.objective(model, batch, training=False)
    forward = model if kind == "10-crop" else lambda views: vgg.dense(model, views)
    said = np.stack([softmax(np.asarray(forward(v))).mean(axis=0) for v in batch["image"]])[:15]
    own = said[np.arange(15), split.labels[:15]]
    assert float(loss) == pytest.approx(-np.log(own).mean(), abs=1e-5)
    assert float(logs["error"]) == pytest.approx(np.mean(said.argmax(1) != split.labels[:15]))
    assert logs["weight"] == 15


def test_views_that_are_all_alike_change_nothing(prepared, model):
    """Symmetric pictures of the network's own size: ten equal crops."""
    half = prepared.data.source.eval.inputs[:12, :, :4]
    symmetric = tf.constant(np.concatenate([half, half[:, :, ::-1]], axis=2), tf.float32)
    label = tf.constant(prepared.data.source.eval.labels[:12])
    usual = {"image": prepared.codec.see(symmetric), "label": label}
    loss, logs = classification(model, usual, training=False)
    for kind in ("10-crop", "dense"):
        seen = views.choose(kind, None, model="vgg", paper=vgg, codec=prepared.codec)
        batch = {"image": seen.see(symmetric), "label": label}
        same, also = seen.objective(model, batch, training=False)
        assert float(same) == pytest.approx(float(loss), abs=1e-5)
        assert float(also["error"]) == float(logs["error"])


def test_auxiliary_heads_are_left_out():
    google = zoo.load("googlenet")
    config = dataclasses.replace(google.PRESETS["tiny"], classes=10)
    source = classifiers.prepare(config, recipes.load("googlenet").recipe(config), None)
    seen = views.choose("10-crop", 9, model="googlenet", paper=google, codec=source.codec)
    split = source.data.source.eval
    batch = {
        "image": seen.see(tf.cast(split.inputs[:2], tf.float32)),
        "label": tf.constant(split.labels[:2]),
    }
    loss, _ = seen.objective(google.build(config), batch, training=False)
    assert np.isfinite(loss)


def test_a_batch_holds_fewer_pictures_and_none_is_lost(make_run, prepared):
    seen = views.Views("10-crop", None, 8, None)
    for size, batches, replicas in ((64, 6, 1), (8, 45, 1), (128, 3, 4), (4, 7, 8)):
        run = make_run(batch_size=size, eval_batches=batches)
        made = seen.run(run, prepared.data, replicas).recipe
        assert made.batch_size % replicas == 0
        assert made.batch_size * made.eval_batches >= size * batches
        assert made.batch_size * 10 <= max(size, 10 * replicas)


def test_what_cannot_be_seen_so_is_refused(prepared):
    def refused(words, kind, scale, *, model="vgg", codec=prepared.codec):
        with pytest.raises(UserError, match=words):
            views.choose(kind, scale, model=model, paper=zoo.load(model), codec=codec)

    refused("--scale is 7; it must be at least 8", "10-crop", 7)
    refused("--scale is 0; it must be at least 8", "dense", 0)
    refused("--scale=9 is for --views=10-crop and --views=dense", "1-crop", 9)
    refused("this run of gpt sees none", "10-crop", None, model="gpt", codec=object())
    for model in ("mlp", "alexnet", "vit"):
        refused(f"{model} does not; --views=10-crop works", "dense", None, model=model)
    whole = dataclasses.replace(prepared.codec, mean=(1.0,) * 64)
    refused("one mean a channel", "dense", None, codec=whole)
    assert views.choose("10-crop", None, model="mlp", paper=mlp, codec=whole).scale == 8
    assert views.choose("1-crop", None, model="gpt", paper=gpt, codec=object()) is None


def test_the_scale_is_the_runs_unless_given(prepared):
    short = dataclasses.replace(prepared.codec, short=10)
    for codec, given, scale in ((short, None, 10), (short, 12, 12), (prepared.codec, None, 8)):
        found = views.choose("dense", given, model="resnet", paper=resnet, codec=codec)
        assert (found.scale, found.count) == (scale, 2)


def test_a_run_is_evaluated_so_and_says_it(
    commands, training_main, refused, bare, undisturbed, tmp_path
):
    run, plain = tmp_path / "run", "training.recipes.vgg.evaluators = lambda *_: []\n"
    argv = ("--model=vgg", "--preset=tiny", "--steps=20", "--compile=off", f"--run-dir={run}")
    assert commands(*argv, before=f"{bare}import training.recipes.vgg\n{plain}").status == 0
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}

    def result(*words):
        ended = commands(str(run), "--json", *words, module="evaluate")
        assert ended.status == 0, ended.output
        return json.loads(ended.output)

    usual, ten, dense = result(), result("--views=10-crop", "--scale=10"), result("--views=dense")
    assert (usual["views"], ten["views"], dense["views"]) == ("1-crop", "10-crop", "dense")
    assert "scale" not in usual and (ten["scale"], dense["scale"]) == (10, 8)
    assert len({usual["loss"], ten["loss"], dense["loss"]}) == 3
    assert "confusion" not in ten
    shown = commands(str(run), "--views=10-crop", module="evaluate").output
    assert "vgg tiny at step 20, held-out data, 10-crop at scale 8" in shown
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before
    refused(training_main(str(run), "--views=ten", module="evaluate"), "'ten'", "10-crop")
    said = refused(
        commands(str(undisturbed.run_dir), "--views=dense", module="evaluate"), "sees none"
    )
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["10-crop", "dense"])
def test_files_of_any_sides_are_seen_as_arrays_are(kind, make_tree, make_run, tmp_path):
    config = dataclasses.replace(vgg.PRESETS["tiny"], classes=3, size=16, channels=3)
    recipe = dataclasses.replace(recipes.load("vgg").recipe(config), data="image_folder")
    prepared = classifiers.prepare(config, recipe, make_tree(tmp_path / "tree"))
    seen = views.choose(kind, 20, model="vgg", paper=vgg, codec=prepared.codec)
    run = seen.run(make_run(batch_size=30, eval_batches=1), prepared.data, 1).recipe
    batches = seen.data(prepared.data).batches("eval", run.batch_size, seed=0)
    part = prepared.data.source.eval
    for number, batch in enumerate(batches.take(2)):
        for row, views_of_one in enumerate(batch["image"].numpy()):
            place = (number * run.batch_size + row) % len(part.labels)
            alone = seen.see(tf.cast(part.read(tf.constant(place, tf.int64)), tf.float32))
            np.testing.assert_allclose(views_of_one, alone, atol=1e-4)
    assert np.isfinite(seen.objective(vgg.build(config), batch, training=False)[0])
