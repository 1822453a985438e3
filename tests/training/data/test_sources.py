"""Families of labelled data: what they hold, and what is said of a folder that holds it not."""

import gzip
import os
import pathlib
import struct

import numpy as np
import pytest
from sklearn.datasets import load_digits

from training.data import digits, logic, mnist


def test_digits_need_nothing():
    source = digits.read(None)
    assert source.train.inputs.shape == (1437, 8, 8, 1) and source.eval.inputs.shape == (
        360,
        8,
        8,
        1,
    )
    assert source.train.inputs.dtype == np.uint8 and source.train.inputs.max() == 255
    assert source.labels == tuple("0123456789")
    assert min(np.bincount(source.eval.labels)) > 25
    with pytest.raises(ValueError, match="reads no folder"):
        digits.read(pathlib.Path("there"))


def test_digits_are_scikit_learns():
    wanted, found = load_digits(), digits.read(None)
    pictures = np.concatenate([found.train.inputs, found.eval.inputs])[..., 0]
    labels = np.concatenate([found.train.labels, found.eval.labels])
    np.testing.assert_array_equal(pictures, np.round(wanted.images * (255 / 16)))
    np.testing.assert_array_equal(labels, wanted.target)


def test_truth_tables_say_what_their_gates_say():
    source = logic.read(None)
    rows = dict(
        zip(
            map(tuple, source.train.inputs.astype(int).tolist()),
            source.train.labels.tolist(),
            strict=True,
        )
    )
    assert rows == {(0, 0): [0, 0, 0], (0, 1): [0, 1, 1], (1, 0): [0, 1, 1], (1, 1): [1, 1, 0]}
    assert logic.gate(source, "xor").train.labels.tolist() == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="reads no folder"):
        logic.read(pathlib.Path("there"))


def idx(magic, array):
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """A folder of the four files of six pictures."""
    rng = np.random.default_rng(0)
    for name in ("train", "t10k"):
        pictures = rng.integers(0, 256, (6, 28, 28), np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(0x803, pictures))
        labels = np.arange(6, dtype=np.uint8)
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(0x801, labels)))
    return tmp_path


def test_idx_files_are_read_plain_or_gzipped(folder):
    source = mnist.read(folder)
    assert source.train.inputs.shape == (6, 28, 28, 1)
    raw = (folder / "train-images-idx3-ubyte").read_bytes()
    assert source.train.inputs[0, 0, 0, 0] == raw[16]
    assert source.eval.labels.tolist() == [0, 1, 2, 3, 4, 5]
    (folder / "train-images-idx3-ubyte").rename(folder / "train-images.idx3-ubyte")
    assert mnist.read(folder).sha256 == source.sha256


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def blank(count):
    return idx(0x803, np.zeros((count, 28, 28), np.uint8))


PICTURES = "train-images-idx3-ubyte"
SPOILT = {
    "missing": (
        lambda folder: (folder / "t10k-images-idx3-ubyte").unlink(),
        "has no t10k-images-idx3-ubyte or .*gz; it holds",
    ),
    "another file": (written(PICTURES, b"x" * 100), "no IDX file of 3 dimensions"),
    "empty": (written(PICTURES, b""), "no IDX file of 3 dimensions"),
    "cut off": (written(PICTURES, blank(6)[:-1]), "cut off: it says 6 x 28 x 28 and holds 4,703"),
    "spoilt gzip": (written("t10k-labels-idx1-ubyte.gz", b"\x1f\x8bxx"), "Cannot read .*t10k"),
    "one too few": (written(PICTURES, blank(5)), "5 examples and 6 labels"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_folder_that_holds_no_mnist_is_a_sentence(folder, spoil, words):
    spoil(folder)
    with pytest.raises(ValueError, match=words):
        mnist.read(folder)


def test_no_folder_at_all_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="--data=mnist needs --data-dir"):
        mnist.read(None)
    with pytest.raises(ValueError, match="it does not exist"):
        mnist.read(tmp_path / "nowhere")


@pytest.mark.skipif("KMODELS_DATA" not in os.environ, reason="KMODELS_DATA names no folder of data")
def test_the_real_mnist_has_its_numbers():
    source = mnist.read(pathlib.Path(os.environ["KMODELS_DATA"]) / "mnist")
    assert source.train.inputs.shape == (60_000, 28, 28, 1)
    assert source.eval.inputs.shape == (10_000, 28, 28, 1)
    assert np.bincount(source.train.labels)[:3].tolist() == [5923, 6742, 5958]
