"""CIFAR-10 in its forms, and what is said of folders that hold none of them."""

import os
import pathlib
import zipfile

import numpy as np
import PIL.Image
import pytest

from training.data import cifar10

RNG = np.random.default_rng(0)


def records(count):
    labels = np.arange(count, dtype=np.uint8)[:, None] % 10
    return np.hstack([labels, RNG.integers(0, 256, (count, 3072), np.uint8)])


@pytest.fixture
def binary(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        records(4).tofile(folder / f"{name}.bin")
    return tmp_path


def test_the_binary_version_is_read(binary):
    source = cifar10.read(binary)
    assert source.train.inputs.shape == (8, 32, 32, 3) and len(source.eval.inputs) == 4
    assert source.labels[:3] == ("airplane", "automobile", "bird")
    raw = np.fromfile(binary / "cifar-10-batches-bin" / "data_batch_1.bin", np.uint8)
    assert source.train.inputs[0, 0, 1].tolist() == [raw[2], raw[1026], raw[2050]]
    assert source.train.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def tree(folder):
    """Two classes, two pictures each, in both parts."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            place = folder / part / name
            place.mkdir(parents=True)
            for i in range(2):
                pixels = RNG.integers(0, 256, (32, 32, 3), np.uint8)
                PIL.Image.fromarray(pixels).save(place / f"{i}.png")
    return folder


def test_a_tree_and_its_zip_are_the_same(tmp_path):
    folder = tree(tmp_path / "pictures")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, pathlib.Path("cifar10") / file.relative_to(folder))
    one, other = cifar10.read(folder), cifar10.read(tmp_path / "all.zip")
    assert one.sha256 == other.sha256
    assert one.labels == ("cat", "dog") and one.train.labels.tolist() == [0, 0, 1, 1]
    first = np.asarray(PIL.Image.open(folder / "train" / "cat" / "0.png"))
    assert np.array_equal(one.train.inputs[0], first)


def spoil_size(folder):
    PIL.Image.new("RGB", (31, 32)).save(folder / "train" / "cat" / "0.png")


def spoil_content(folder):
    (folder / "test" / "dog" / "1.png").write_bytes(b"no picture")


def spoil_tests(folder):
    (folder / "test").rename(folder / "valid")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_size, "train/cat/0.png .* has 31 x 32 pixels"),
        (spoil_content, "test/dog/1.png .* is no readable picture"),
        (spoil_tests, "holds neither data_batch"),
    ],
)
def test_a_tree_that_is_not_whole_is_a_sentence(tmp_path, spoil, words):
    folder = tree(tmp_path / "pictures")
    spoil(folder)
    with pytest.raises(ValueError, match=words):
        cifar10.read(folder)


def test_other_places_are_a_sentence(tmp_path, binary):
    with pytest.raises(ValueError, match="--data=cifar10 needs --data-dir"):
        cifar10.read(None)
    with pytest.raises(ValueError, match="does not exist"):
        cifar10.read(tmp_path / "nowhere")
    (tmp_path / "text.txt").write_text("no zip")
    with pytest.raises(ValueError, match="Cannot read .*text.txt"):
        cifar10.read(tmp_path / "text.txt")
    file = binary / "cifar-10-batches-bin" / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="holds 12,291 bytes"):
        cifar10.read(binary)
    file.unlink()
    with pytest.raises(ValueError, match="Cannot read .*test_batch"):
        cifar10.read(binary)


@pytest.mark.slow
@pytest.mark.skipif("KMODELS_DATA" not in os.environ, reason="KMODELS_DATA names no folder of data")
def test_the_real_cifar_has_its_numbers():
    source = cifar10.read(pathlib.Path(os.environ["KMODELS_DATA"]) / "cifar10")
    assert source.train.inputs.shape == (50_000, 32, 32, 3)
    assert np.bincount(source.train.labels).tolist() == [5000] * 10
    assert np.bincount(source.eval.labels).tolist() == [1000] * 10
