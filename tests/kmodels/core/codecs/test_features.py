"""Rows of numbers, and the names of their classes."""

import numpy as np
import tensorflow as tf

from kmodels.core.codecs import folder
from kmodels.core.codecs.features import Features

CODEC = Features(names=("length", "width"), labels=("Iris setosa", "Iris virginica"))


def test_a_class_has_its_name():
    assert CODEC.label(tf.constant([1])).numpy().tolist() == [b"Iris virginica"]


def test_numbers_are_as_they_are_or_minus_a_mean_and_over_a_deviation():
    given = tf.constant([[3.0, 8.0], [1.0, -2.0]])
    assert CODEC.see(given) is given and CODEC.unsee(given) is given
    scaled = Features(names=("x", "y"), labels=("a",), mean=(1.0, 2.0), deviation=(4.0, 0.5))
    seen = scaled.see(given)
    np.testing.assert_array_equal(seen, [[0.5, 12.0], [0.0, -8.0]])
    np.testing.assert_array_equal(scaled.unsee(seen), given)


def test_a_codec_comes_back_from_its_folder(tmp_path):
    CODEC.save(tmp_path)
    assert folder.load(tmp_path) == CODEC
    scaled = Features(names=("x",), labels=("a",), mean=(1.5,), deviation=(0.25,))
    scaled.save(tmp_path / "scaled")
    assert folder.load(tmp_path / "scaled") == scaled


def test_a_codec_from_before_there_were_scales_is_read(tmp_path):
    text = '{"codec": "features", "names": ["x"], "labels": ["a"]}'
    (tmp_path / folder.DESCRIPTION).write_text(text)
    assert folder.load(tmp_path) == Features(names=("x",), labels=("a",))
