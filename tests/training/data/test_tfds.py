"""Prepared datasets of TensorFlow Datasets, where that is installed, and what is said without."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from training.data import tfds


def test_without_the_package_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="needs the package tensorflow-datasets; install it with"):
        tfds.read(tmp_path)


def prepared(folder, features, examples, splits=("train", "test")):
    """Writes a dataset as TensorFlow Datasets does; gives the version's folder."""
    library = pytest.importorskip("tensorflow_datasets")
    builder = library.dataset_builders.AdhocBuilder(
        name="pets",
        version="1.0.0",
        features=features(library.features),
        split_datasets={split: list(enumerate(examples)) for split in splits},
        data_dir=folder,
    )
    builder.download_and_prepare()
    return folder / "pets" / "1.0.0"


def of_pictures(features):
    return features.FeaturesDict(
        {
            "image": features.Image(shape=(None, None, 3)),
            "label": features.ClassLabel(names=["cat", "dog"]),
        }
    )


def of_numbers(features):
    return features.FeaturesDict({"number": np.int64})


PICTURES = [{"image": np.full((10 + i, 12, 3), 9 * i, np.uint8), "label": i % 2} for i in range(5)]


@pytest.mark.filterwarnings("ignore")
def test_a_prepared_dataset_is_read(tmp_path):
    source = tfds.read(prepared(tmp_path, of_pictures, PICTURES))
    assert source.labels == ("cat", "dog")
    found = {
        (*source.train.read(tf.constant(i)).shape[:1], int(label))
        for i, label in enumerate(source.train.labels)
    }
    assert found == {(10 + i, i % 2) for i in range(5)}


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_such_dataset_is_a_sentence(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(ValueError, match="needs --data-dir, a prepared version"):
        tfds.read(None)
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        tfds.read(tmp_path)
    with pytest.raises(ValueError, match="has the features number; to classify"):
        tfds.read(prepared(tmp_path / "a", of_numbers, [{"number": 1}]))
    with pytest.raises(ValueError, match="has the splits train; it needs train and one of val"):
        tfds.read(prepared(tmp_path / "b", of_pictures, PICTURES, splits=("train",)))
