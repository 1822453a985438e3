"""Examples with classes as batches: each once an epoch, the same from any step on."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from training.data import changes
from training.data.labelled import Examples, Labelled, Source, Split


def source(count=10, held_out=5):
    def split(first, n):
        numbers = np.arange(first, first + n)
        pictures = np.tile(numbers[:, None, None, None], (1, 4, 4, 1)).astype(np.uint8)
        return Split(inputs=pictures, labels=(numbers % 3).astype(np.int32))

    return Source(train=split(0, count), eval=split(100, held_out), labels=("a", "b", "c"))


def examples(**changed):
    return Examples(**{"source": source(), "key": "image", "see": lambda x: x / 2, **changed})


def taken(data, split, batch_size, count, **options):
    batches = data.batches(split, batch_size, **{"seed": 0, **options})
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(batches, count)]


def test_every_example_comes_once_an_epoch_with_its_label_in_another_order():
    rows = [(int(2 * i), int(label)) for b in taken(examples(), "train", 5, 4)
            for i, label in zip(b["image"][:, 0, 0, 0], b["label"], strict=True)]  # fmt: skip
    assert all(label == number % 3 for number, label in rows)
    first, second = rows[:10], rows[10:]
    assert sorted(first) == sorted(second) == [(n, n % 3) for n in range(10)]
    assert first != second


def test_a_batch_depends_on_seed_and_step_alone():
    data = examples(changes=[changes.moved(1), changes.mirrored()])
    whole = taken(data, "train", 4, 6)
    for later, batch in zip(taken(data, "train", 4, 4, start=2), whole[2:], strict=True):
        assert all(np.array_equal(later[k], batch[k]) for k in batch)
    other = taken(data, "train", 4, 6, seed=1)
    assert not all(
        np.array_equal(a["image"], b["image"]) for a, b in zip(other, whole, strict=True)
    )


def test_held_out_examples_are_counted_once_each():
    batches = taken(examples(changes=[changes.moved(3)]), "eval", 4, 3, seed=7)
    assert [b["mask"].tolist() for b in batches] == [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    counted = [2 * i for b in batches for i in b["image"][b["mask"] > 0][:, 0, 0, 0]]
    assert counted == [100, 101, 102, 103, 104], "and they are not changed"
    assert "mask" not in taken(examples(), "train", 4, 1)[0]


@pytest.mark.parametrize(
    ("split", "batch_size", "start", "words"),
    [
        ("test", 4, 0, "no split 'test'"),
        ("train", 0, 0, "batch size is 0"),
        ("train", 4, -1, "start is step -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(split, batch_size, start, words):
    with pytest.raises(ValueError, match=words):
        examples().batches(split, batch_size, seed=0, start=start)


def test_of_labelled_examples_there_are_as_many_of_each_class_and_a_larger_share_has_them_too():
    whole = source(count=60)
    found = {share: Labelled(whole.train, share) for share in (0.001, 0.1, 0.5, 1)}
    counts = {share: np.bincount(part.labels).tolist() for share, part in found.items()}
    assert counts == {0.001: [1] * 3, 0.1: [2] * 3, 0.5: [10] * 3, 1: [20] * 3}
    assert set(found[0.1].places) < set(found[0.5].places)
    assert not np.array_equal(found[0.5].places, np.arange(30)), "they are drawn"
    for part in found.values():
        read = part.read(tf.range(len(part.labels), dtype=tf.int64)).numpy()
        assert np.array_equal(read[:, 0, 0, 0] % 3, part.labels)
    few, all_of_them = (dataclasses.replace(whole, train=found[s]) for s in (0.1, 1))
    assert few.moments(1).mean == all_of_them.moments(1).mean, "pixels need no label"
    assert len({few.sha256, all_of_them.sha256, whole.sha256}) == 3
    batches = taken(examples(source=few), "train", 6, 2)
    seen = [sorted(2 * i for i in b["image"][:, 0, 0, 0]) for b in batches]
    assert seen == [sorted(found[0.1].places)] * 2, "every one comes once an epoch"


def test_a_source_without_examples_or_with_strange_labels_is_refused():
    with pytest.raises(ValueError, match="at least one example"):
        source(held_out=0)
    with pytest.raises(ValueError, match="2 examples and 1 labels"):
        Split(inputs=np.zeros((2, 4, 4, 1)), labels=np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="label is 2, and there are 2 classes"):
        Source(train=source().train, eval=source().eval, labels=("a", "b"))


def test_the_digest_is_of_all_there_is():
    one = source()
    assert one.sha256 == source().sha256
    pictures = one.train.inputs.copy()
    pictures[3, 1, 1] += 1
    changed = Split(inputs=pictures, labels=one.train.labels)
    assert one.sha256 != Source(train=changed, eval=one.eval, labels=one.labels).sha256
    assert one.sha256 != Source(train=one.train, eval=one.eval, labels=("a", "b", "d")).sha256


# Changes.


def seed(n):
    return tf.constant([n, n], tf.int64)


def test_a_moved_picture_is_a_part_of_the_padded_one():
    pictures = tf.random.stateless_uniform([6, 5, 7, 2], [0, 0], 1, 255)
    moved = changes.moved(2)(pictures, seed(3)).numpy()
    padded = np.pad(pictures, [[0, 0], [2, 2], [2, 2], [0, 0]])
    places = set()
    for row in range(6):
        (place,) = [
            (down, across)
            for down in range(5)
            for across in range(5)
            if np.array_equal(padded[row, down : down + 5, across : across + 7], moved[row])
        ]
        places.add(place)
    assert len(places) > 1, "each in its own way"
    assert np.array_equal(moved, changes.moved(2)(pictures, seed(3)))


def test_about_half_the_pictures_are_mirrored():
    pictures = tf.random.stateless_uniform([400, 2, 3, 1], [0, 0])
    seen = changes.mirrored()(pictures, seed(1)).numpy()
    same = (seen == pictures.numpy()).all(axis=(1, 2, 3))
    turned = (seen == pictures.numpy()[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ turned).all() and 140 < turned.sum() < 260


def turned(picture, seed):
    """A view that says which picture it is of, and differs by seed."""
    noise = tf.random.stateless_uniform([], seed)
    return tf.cast(picture, tf.float32) + noise


@pytest.mark.parametrize("split", ["train", "eval"])
def test_views_of_a_picture_stand_together_and_differ(split):
    data = examples(each=turned, views=2)
    batches = taken(data, split, 3, 4)
    for batch in batches:
        assert batch["image"].shape == (3, 2, 4, 4, 1)
        first, second = (2 * batch["image"][:, view, 0, 0, 0] for view in range(2))
        assert (np.floor(first) == np.floor(second)).all() and (first != second).all()
        assert (np.floor(first) % 3 == batch["label"]).all()
    later = taken(data, split, 3, 2, start=2)
    assert all(
        np.array_equal(a["image"], b["image"]) for a, b in zip(later, batches[2:], strict=True)
    )


def test_several_views_are_made_by_each_alone():
    for wrong in ({}, {"each": turned, "changes": [changes.moved(1)]}):
        with pytest.raises(ValueError, match="Several views are made by `each` alone"):
            examples(views=2, **wrong)
