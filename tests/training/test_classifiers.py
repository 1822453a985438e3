"""Data of picture classifiers: which paper changes pictures how, and runs on trees of them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import zoo
from training import classifiers, recipes
from training.config import UserError


@pytest.fixture(scope="module")
def tree(tmp_path_factory, make_tree):
    return make_tree(tmp_path_factory.mktemp("pictures") / "tree")


def made(model, preset, data_dir, size=32, **changed):
    """What a paper prepares for its published recipe at a small size."""
    module, paper = recipes.load(model), zoo.load(model)
    config = dataclasses.replace(paper.PRESETS[preset], classes=3)
    recipe = module.recipe(config)
    config = dataclasses.replace(config, size=size)
    codec = dataclasses.replace(recipe.codec, short=size + 4)
    return module.prepare(config, dataclasses.replace(recipe, codec=codec, **changed), data_dir)


def batch(prepared, split="train", seed=0):
    return {k: v.numpy() for k, v in next(iter(prepared.data.batches(split, 6, seed=seed))).items()}


PAPERS = [
    ("alexnet", "grouped"),
    ("vit", "ti-16"),
    pytest.param("vgg", "vgg-11", marks=pytest.mark.slow),
    pytest.param("googlenet", "imagenet", marks=pytest.mark.slow),
    pytest.param("resnet", "resnet-18", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("model", "preset"), PAPERS)
def test_published_recipes_read_trees_of_photographs(model, preset, tree):
    assert recipes.load(model).recipe(zoo.load(model).PRESETS[preset]).data == "image_folder"
    prepared = made(model, preset, tree, size=64)
    first, again = batch(prepared), batch(prepared)
    assert first["image"].shape == (6, 64, 64, 3) and np.isfinite(first["image"]).all()
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not np.array_equal(first["image"], batch(prepared, seed=1)["image"])
    held_out = batch(prepared, "eval")
    served = prepared.codec.read(tf.constant(prepared.codec.examples))
    np.testing.assert_allclose(held_out["image"][:2], served, atol=1e-5)
    assert held_out["label"].dtype == np.int32


def test_vit_learns_from_mixed_labels_that_smoothing_spreads(tree):
    prepared = made("vit", "ti-16", tree, label_smoothing=0.3)
    labels = batch(prepared)["label"]
    assert labels.shape == (6, 3) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    assert labels.min() >= 0.1 - 1e-6 and labels.max() <= 0.8 + 1e-6


def test_networks_for_small_pictures_see_trees_moved_and_mirrored(tree):
    resnet = zoo.load("resnet")
    config = dataclasses.replace(resnet.PRESETS["tiny"], size=8, channels=1)
    recipe = dataclasses.replace(recipes.load("resnet").recipe(config), data="image_folder")
    prepared = recipes.load("resnet").prepare(config, recipe, tree)
    assert prepared.config.classes == 3 and batch(prepared)["image"].shape == (6, 8, 8, 1)
    assert prepared.data.each is None and len(prepared.data.changes) == 2


def test_photographs_need_a_folder_and_as_many_classes(tree):
    with pytest.raises(UserError, match="--data=image_folder needs --data-dir"):
        made("resnet", "resnet-18", None)
    resnet = zoo.load("resnet")
    config = resnet.PRESETS["resnet-18"]
    recipe = recipes.load("resnet").recipe(config)
    with pytest.raises(
        UserError, match="have 3 classes and config.classes is 1,000; give --config"
    ):
        recipes.load("resnet").prepare(config, recipe, tree)


def test_lengths_scale_with_the_network():
    config = dataclasses.replace(zoo.load("vgg").PRESETS["vgg-11"], size=112)
    assert classifiers.scaled(config, 256) == 128


WHERE = (
    *("--model=resnet", "--preset=resnet-18", "--data=image_folder", "--config.classes=3"),
    *("--config.size=32", "--codec.short=36", "--steps=2", "--log-every=1", "--eval-every=2"),
    *("--save-every=2", "--eval-batches=2", "--batch-size=6", "--label-smoothing=0.1"),
)


def test_a_tree_is_trained_on_and_judged_again(commands, no_export, tree, tmp_path):
    place = (f"--data-dir={tree}", f"--run-dir={tmp_path / 'run'}")
    done = commands(*WHERE, *place, "--mixup=0.2", before=no_export)
    assert done.status == 0, done.output
    run = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert (run["label_smoothing"], run["mixup"], run["randaugment"]) == (0.1, 0.2, None)
    judged = commands(str(tmp_path / "run"), "--json", module="evaluate")
    assert judged.status == 0, judged.output
    lines = (tmp_path / "run" / "logs.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    (held_out,) = (entry["loss"] for entry in logged if entry["split"] == "eval")
    assert json.loads(judged.output.splitlines()[-1])["loss"] == pytest.approx(held_out, rel=1e-5)


def test_a_bad_picture_stops_the_run_with_its_name(commands, refused, tree, tmp_path):
    folder = shutil.copytree(tree, tmp_path / "tree")
    file = folder / "train" / "dog" / "1.JPEG"
    file.write_bytes(file.read_bytes()[:-100])
    done = commands(*WHERE, f"--data-dir={folder}", f"--run-dir={tmp_path / 'run'}")
    refused(done, "train/dog/1.JPEG is cut off: the end of the file is missing.")
    (folder / "train" / "dog" / "1.JPEG").write_bytes(b"")
    done = commands(*WHERE, f"--data-dir={folder}", f"--run-dir={tmp_path / 'run'}")
    refused(done, "train/dog/1.JPEG is empty")


def test_flags_for_classes_are_refused_where_there_are_none(training_main, refused):
    words = ("label_smoothing is 0.1; it must be left out", "no classes")
    refused(training_main("--model=gpt", "--label-smoothing=0.1"), *words)
    words = ("mixup is 0.2", "objective is perceptron_criterion")
    refused(training_main("--model=perceptron", "--mixup=0.2"), *words)
    refused(training_main("--model=mlp", "--preset=xor", "--randaugment", "2", "9"), "has none")
