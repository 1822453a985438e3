"""Trees of pictures: how they may be laid out, what is read, and what is said of bad ones."""

import io
import itertools
import shutil
import zipfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from training.config import UserError
from training.data import image_folder
from training.data.encoded import readable
from training.data.labelled import Examples


@pytest.fixture(scope="module")
def tree(tmp_path_factory, make_tree):
    return make_tree(tmp_path_factory.mktemp("pictures") / "tree")


def contents(part):
    """Each picture's pixels and class."""
    return [(part.read(tf.constant(i)).numpy(), int(k)) for i, k in enumerate(part.labels)]


def test_a_tree_is_read_as_pillow_reads_it(tree):
    source = image_folder.read(tree)
    assert source.labels == ("cat", "dog", "eel") and not source.remark
    assert source.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    file = tree / "val" / "dog" / "2.png"
    assert np.array_equal(
        source.eval.read(tf.constant(6)).numpy(), np.asarray(PIL.Image.open(file))
    )
    assert source.eval.files(1) == [(tree / "val" / "cat" / "0.png").read_bytes()]


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_holds_what_its_tree_holds(tree, tmp_path, zipped, kind):
    whole, packed = (
        image_folder.read(tree),
        image_folder.read(zipped(tree, tmp_path / "all.zip", kind, lead="a/b")),
    )
    assert packed.labels == whole.labels
    for one, other in zip(contents(packed.train), contents(whole.train), strict=True):
        assert np.array_equal(one[0], other[0]) and one[1] == other[1]
    assert packed.eval.files(2) == whole.eval.files(2)


def test_a_tree_without_parts_is_divided_the_same_way_each_time(tmp_path, make_tree, zipped):
    folder = make_tree(tmp_path / "flat", parts=("",), classes=("b", "train"), count=11)
    source = image_folder.read(folder)
    assert np.bincount(source.train.labels).tolist() == [9, 9]
    assert np.bincount(source.eval.labels).tolist() == [2, 2]
    numbers = {*source.train.numbers.tolist(), *source.eval.numbers.tolist()}
    assert numbers == set(range(22)), "each is in one part"
    assert "4 of its pictures" in source.remark and "held out" in source.remark
    assert image_folder.read(folder).eval.numbers.tolist() == source.eval.numbers.tolist()
    deeper = image_folder.read(zipped(folder, tmp_path / "flat.zip", lead="x"))
    assert deeper.eval.labels.tolist() == source.eval.labels.tolist()


def test_only_train_is_divided_too(tmp_path, make_tree):
    source = image_folder.read(make_tree(tmp_path / "tree", parts=("train/",), classes=("a", "b")))
    assert source.labels == ("a", "b") and source.remark


def test_what_programs_leave_behind_is_passed_over(tree, tmp_path):
    folder = shutil.copytree(tree, tmp_path / "tree")
    (folder / "train" / ".thumbs").mkdir()
    (folder / "__MACOSX" / "train" / "fox").mkdir(parents=True)
    (folder / "train" / "cat" / ".hidden.jpg").write_bytes(b"")
    (folder / "train" / "cat" / "boxes.txt").write_text("1 2 3 4")
    assert image_folder.read(folder).labels == ("cat", "dog", "eel")
    assert len(image_folder.read(folder).train.labels) == 12


def test_the_digest_follows_names_sizes_and_beginnings(tree, tmp_path):
    first = image_folder.read(tree).sha256
    copy = shutil.copytree(tree, tmp_path / "tree")
    assert image_folder.read(copy).sha256 == first
    file = copy / "train" / "cat" / "0.png"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    other = image_folder.read(copy).sha256
    assert other != first
    file.rename(file.with_name("9.png"))
    assert image_folder.read(copy).sha256 not in (first, other)


# Batches.


def examples(source):
    def fit(picture):
        return tf.ensure_shape(tf.image.resize(tf.cast(picture, tf.float32), [8, 8]), [8, 8, 3])

    def each(picture, seed):
        return fit(picture) + tf.random.stateless_uniform([], seed)

    return Examples(source=source, key="image", see=tf.identity, fit=fit, each=each)


def taken(data, split, batch_size, count, **options):
    batches = data.batches(split, batch_size, **{"seed": 0, **options})
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(batches, count)]


def test_batches_of_files_are_those_of_any_data(tree):
    data = examples(image_folder.read(tree))
    whole = taken(data, "train", 5, 5)
    assert whole[0]["image"].shape == (5, 8, 8, 3) and whole[0]["image"].dtype == np.float32
    for later, batch in zip(taken(data, "train", 5, 3, start=2), whole[2:], strict=True):
        assert all(np.array_equal(later[k], batch[k]) for k in batch)
    labels = np.concatenate([b["label"] for b in taken(data, "train", 4, 6)])
    assert np.bincount(labels[:12]).tolist() == np.bincount(labels[12:]).tolist() == [4, 4, 4]
    changed = [b["image"] for b in taken(data, "train", 12, 2)]
    assert not np.array_equal(np.sort(changed[0], 0), np.sort(changed[1], 0)), "drawn anew"


def test_held_out_files_come_in_order_and_count_once(tree):
    source = image_folder.read(tree)
    batches = taken(examples(source), "eval", 8, 2)
    assert [b["mask"].sum() for b in batches] == [8, 4]
    assert (
        np.concatenate([b["label"] for b in batches])[:12].tolist() == source.eval.labels.tolist()
    )
    first = tf.image.resize(tf.cast(source.eval.read(tf.constant(0)), tf.float32), [8, 8])
    np.testing.assert_allclose(batches[0]["image"][0], first, atol=1e-4)


def test_moments_are_those_of_the_pixels(tree):
    source = image_folder.read(tree)
    moments = source.train.moments(3)
    rows = [picture.reshape(-1, 3).astype(float) for picture, _ in contents(source.train)]
    np.testing.assert_allclose(moments.mean, np.mean([r.mean(0) for r in rows], 0), rtol=1e-5)
    second = np.mean([r.T @ r / len(r) for r in rows], 0)
    np.testing.assert_allclose(moments.second, second, rtol=1e-4)
    assert source.train.moments(1).mean.shape == (1,)


# What cannot be used.


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def no_pictures(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "read.me").write_text("nothing here")


SPOILT = {
    "empty file": (written("train/cat/0.png", b""), "train/cat/0.png is empty: it has no bytes"),
    "no picture": (written("val/eel/7.jpg", b"hello"), "val/eel/7.jpg is neither a JPEG nor a PNG"),
    "another kind": (written("val/eel/7.webp", b"RIFF"), "7.webp is neither a JPEG .* save it"),
    "empty class": (lambda f: (f / "train/fox").mkdir(), "class train/fox of .* has no JPEG"),
    "other classes": (
        lambda f: (f / "val/dog").rename(f / "val/dogs"),
        "no class in train .* 'dogs'. Did you mean 'dog'",
    ),
    "a class less": (lambda f: shutil.rmtree(f / "val/eel"), "no class in the held-out .*'eel'"),
    "no class": (written("train/1.png", b"x"), "train/1.png lies in no folder of a class"),
    "no pictures": (no_pictures, "holds no JPEG or PNG files"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_what_is_wrong_with_a_tree_is_a_sentence(tree, tmp_path, spoil, words):
    folder = shutil.copytree(tree, tmp_path / "tree")
    spoil(folder)
    with pytest.raises(ValueError, match=words):
        image_folder.read(folder)


def test_too_few_classes_or_pictures_are_a_sentence(tmp_path, make_tree):
    with pytest.raises(ValueError, match="has one class only, cat"):
        image_folder.read(make_tree(tmp_path / "a", classes=("cat",)))
    with pytest.raises(ValueError, match="class cat of .* has one picture"):
        image_folder.read(make_tree(tmp_path / "b", parts=("",), count=1))
    with pytest.raises(ValueError, match="has one class only, cat"):
        image_folder.read(make_tree(tmp_path / "c", parts=("",), classes=("cat",), count=1))


def test_places_that_are_no_tree_are_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="--data=image_folder needs --data-dir"):
        image_folder.read(None)
    with pytest.raises(ValueError, match="does not exist"):
        image_folder.read(tmp_path / "nowhere")
    (tmp_path / "text.txt").write_text("no zip")
    with pytest.raises(ValueError, match="Cannot read .*text.txt"):
        image_folder.read(tmp_path / "text.txt")


def encoded(mode="RGB", size=(40, 40), kind="JPEG"):
    file = io.BytesIO()
    PIL.Image.new(mode, size).save(file, kind)
    return file.getvalue()


def damaged():
    """A PNG whose pixels are spoilt: only who decodes it can know."""
    content = bytearray(encoded(kind="PNG"))
    place = content.index(b"IDAT") + 8
    content[place] ^= 0xFF
    return bytes(content)


UNUSABLE = {  # made when they are asked for: to write the vast one takes a second
    "truncated": (lambda: encoded()[:-200], "1.JPEG is cut off: the end of the file is missing"),
    "cmyk": (lambda: encoded("CMYK"), "1.JPEG is a CMYK JPEG, for printing"),
    "one pixel": (lambda: encoded(size=(1, 1)), "1.JPEG has 1 x 1 pixels; a side has at least 4"),
    "vast": (
        lambda: encoded("1", (20_000, 20_000), "PNG"),
        "1.JPEG has 20000 x 20000 pixels; it may",
    ),
    "damaged": (damaged, "1.JPEG cannot be read or decoded; it is damaged"),
}


@pytest.mark.parametrize(("content", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_picture_that_cannot_be_decoded_is_named_when_it_comes(tree, tmp_path, content, words):
    folder = shutil.copytree(tree, tmp_path / "tree")
    (folder / "train" / "dog" / "1.JPEG").write_bytes(content())
    data = examples(image_folder.read(folder))
    with pytest.raises(UserError, match=f"train/dog/{words}"), readable(data):
        taken(data, "train", 12, 1)


def test_a_file_that_is_gone_or_damaged_in_a_zip_is_named(tree, tmp_path, zipped):
    folder = shutil.copytree(tree, tmp_path / "tree")
    data = examples(image_folder.read(folder))
    (folder / "val" / "eel" / "3.JPEG").unlink()
    with pytest.raises(UserError, match=r"val/eel/3.JPEG cannot be read"), readable(data):
        taken(data, "eval", 12, 1)
    (folder / "val" / "eel" / "3.JPEG").write_bytes(encoded()[:-200])
    data = examples(image_folder.read(zipped(folder, tmp_path / "all.zip")))
    words = r"all.zip/pictures/val/eel/3.JPEG is cut off"
    with pytest.raises(UserError, match=words), readable(data):
        taken(data, "eval", 12, 1)
    with pytest.raises(UserError, match=words):
        data.source.eval.moments(3)


def test_errors_of_other_making_stay_what_they_are(tree):
    with pytest.raises(tf.errors.InvalidArgumentError), readable(examples(image_folder.read(tree))):
        tf.debugging.Assert(False, ["something else"])
