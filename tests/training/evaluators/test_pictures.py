"""Pictures of an evaluation: what is counted, what is shown, what is drawn."""

import pathlib

import numpy as np
import pytest

from kmodels import resnet
from training import classifiers, recipes
from training.evaluators import pictures


@pytest.fixture(scope="module")
def made():
    config = resnet.PRESETS["tiny"]
    return classifiers.prepare(config, recipes.load("resnet").recipe(config), None)


def test_mistakes_and_filters_are_drawn_of_an_untrained_network(made):
    model = resnet.build(made.config)
    (look,) = pictures.mistakes(model, made)
    shown = {**look(), **pictures.filters(model, "stem")()}
    assert set(shown) == {"confusion", "mistakes", "filters"}
    for picture in shown.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 10, "something is drawn"


def test_the_surest_mistakes_are_shown_and_none_where_there_is_none(made, monkeypatch):
    labels = made.data.source.eval.labels
    shown = []
    monkeypatch.setattr(pictures, "sheet", lambda found, captions: shown.append(captions) or found)
    monkeypatch.setattr(pictures, "confusion", lambda *_: np.zeros((1, 1, 3), np.uint8))

    def answers(wrong):
        """Sure of the right class, but for these rows and how sure of the class after it."""
        rows = iter(range(0, len(labels), pictures.BATCH))

        def model(seen, training):
            first = next(rows)
            own = labels[first : first + len(seen)]
            logits = 9.0 * np.eye(10, dtype=np.float32)[own]
            for row, sure in wrong.items():
                if first <= row < first + len(own):
                    logits[row - first] = sure * np.eye(10)[(labels[row] + 1) % 10]
            return pictures.tf.constant(logits)

        return model

    monkeypatch.setattr(pictures.tf, "function", lambda **_: lambda f: f)
    (look,) = pictures.mistakes(answers({3: 2.0, 150: 5.0}), made)
    look()
    names = [f"{labels[row]}, taken for" for row in (150, 3)]
    assert [caption.split("\n")[0] for caption in shown[0]] == names
    (look,) = pictures.mistakes(answers({}), made)
    assert set(look()) == {"confusion"}


def test_a_question_sends_the_codecs_example(made, tmp_path):
    words = pictures.question(made.codec, made.config, tmp_path)
    assert words == f"image_bytes=@{tmp_path}/assets.extra/codec/example-0.png"
    spaced = pictures.question(made.codec, made.config, pathlib.Path("/a b"))
    assert spaced.startswith("'image_bytes=@/a b/"), "a shell takes it as one word"
