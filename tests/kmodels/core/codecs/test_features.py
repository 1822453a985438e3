"""Rows of numbers, and the names of their classes."""

import tensorflow as tf

from kmodels.core.codecs import folder
from kmodels.core.codecs.features import Features

CODEC = Features(names=("length", "width"), labels=("Iris setosa", "Iris virginica"))


def test_a_class_has_its_name():
    assert CODEC.label(tf.constant([1])).numpy().tolist() == [b"Iris virginica"]


def test_a_codec_comes_back_from_its_folder(tmp_path):
    CODEC.save(tmp_path)
    assert folder.load(tmp_path) == CODEC
