"""What stands between a trained model and a published version."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training import saved_model


def test_what_does_not_load_is_not_published(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(saved_model.Rejected, match="does not answer in a fresh process"):
        saved_model.verify(tmp_path, {}, {})


def png(*pixels):
    """A picture of one row as `verify` compares it: a file with a mark behind it."""
    picture = np.uint8(pixels)[None, :, None]
    return np.array([tf.io.encode_png(picture).numpy() + b"."])


@pytest.mark.parametrize(
    ("python", "saved", "sentence"),
    [
        (np.float32([1, 2]), np.float32([1, 2.1]), "differs by"),
        (np.float32([1, 2]), np.float32([1, np.nan]), "differs by nan"),
        (np.float32([1, 2]), np.float32([1]), "score"),
        (np.int32([1, 2]), np.int32([1, 3]), "score"),
        (np.array([b"a."]), np.array([b"b."]), "b'b.'"),
        (np.uint8([0, 255]), np.uint8([2, 255]), "score"),
        (np.uint8([0, 255]), np.uint8([255, 255]), "score"),
        (png(0, 7), png(0, 9), "score"),
        (png(0, 7), np.array([b"b."]), "b'b.'"),
    ],
)
def test_answers_that_differ_are_named(python, saved, sentence):
    with pytest.raises(saved_model.Rejected) as caught:
        saved_model.compare("score", python, saved)
    assert sentence in str(caught.value)


def test_answers_that_agree_pass():
    saved_model.compare("x", np.float32([1, 2]), np.float32([1, 2.00005]))
    saved_model.compare("x", np.float32([[]]), np.float32([[]]))
    saved_model.compare("x", np.array([b"a."]), np.array([b"a."]))
    saved_model.compare("x", np.uint8([0, 127, 255]), np.uint8([1, 128, 254]))
    saved_model.compare("x", png(0, 127), png(1, 128))
    saved_model.compare(
        "x", np.float32([5e4]), np.float32([5e4 + 1])
    )  # relative where numbers are large


@pytest.mark.parametrize(
    ("taken", "number"), [([], "1"), (["1"], "2"), (["9", "10"], "11"), (["notes", ".x"], "1")]
)
def test_the_next_number_is_one_above_the_highest(tmp_path, taken, number):
    base, part = tmp_path / "gpt", tmp_path / "part"
    for name in taken:
        (base / name).mkdir(parents=True)
    base.mkdir(exist_ok=True)
    (part / "variables").mkdir(parents=True)
    (part / "variables" / "file").write_text("x")
    assert saved_model.move(part, base) == base / number
    assert (base / number / "variables" / "file").read_text() == "x"
    assert not part.exists()


def test_a_number_that_somebody_takes_meanwhile_is_left_to_them(tmp_path, monkeypatch):
    base, part = tmp_path / "gpt", tmp_path / "part"
    base.mkdir()
    part.mkdir()
    (part / "file").write_text("mine")
    rename, turns = pathlib.Path.rename, []

    def late(self, target):
        turns.append(target.name)
        if len(turns) == 1:
            target.mkdir()
            (target / "file").write_text("theirs")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", late)
    assert saved_model.move(part, base) == base / "2"
    assert (base / "1" / "file").read_text() == "theirs"
    assert turns == ["1", "2"]


def test_strings_survive_the_way_to_the_check():
    strings = np.array([b"a\x00", b"", "é".encode()], object)
    plain = saved_model._plain(strings)
    assert [value[:-1] for value in plain.tolist()] == strings.tolist()


def test_gradients_of_their_own_kind_are_not_saved_and_loading_says_nothing(tmp_path, caplog):
    """TensorFlow's silu has one, whose graph would be traced and kept beside the answer's."""
    weight = tf.Variable([[2.0], [3.0]])
    asked = Endpoint(
        function=lambda x: {"y": tf.nn.silu(tf.matmul(x, weight))},
        inputs={"x": tf.TensorSpec([None, 2], tf.float32)},
        example={"x": [[1.0, -1.0], [0.5, 2.0]]},
    )
    codec = types.SimpleNamespace(resources=())
    answers = saved_model.write(
        tmp_path, types.SimpleNamespace(), codec, {"serving_default": asked}
    )
    content = (tmp_path / "saved_model.pb").read_bytes()
    assert b"_gradient_op_type" not in content and b"internal_grad_fn" not in content
    loaded = tf.saved_model.load(str(tmp_path))
    assert not [r for r in caplog.records if "gradient" in r.getMessage()]
    x = tf.constant(asked.example["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = loaded.signatures["serving_default"](x=x)["y"]
    np.testing.assert_allclose(y, answers["serving_default"][0]["y"], rtol=1e-6)
    with tf.GradientTape() as own:
        own.watch(x)
        wanted = asked.function(x)["y"]
    np.testing.assert_allclose(tape.gradient(y, x), own.gradient(wanted, x), rtol=1e-5)
