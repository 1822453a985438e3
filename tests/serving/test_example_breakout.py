"""examples/breakout.py: a whole game through a server in a process of its own."""

import runpy
import sys
from pathlib import Path

import av
import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import dqn
from kmodels.core.codecs.features import Features

EXAMPLE = Path(__file__).parents[2] / "examples" / "breakout.py"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The Nature network as it begins, with its endpoint."""
    keras.utils.set_random_seed(0)
    model = dqn.build(dqn.PRESETS["nature"])
    codec = Features(names=(), labels=("noop", "fire", "right", "left"))
    endpoint = dqn.endpoints(model, codec)["act"]
    module = tf.Module()
    module.model = [v.value for v in model.variables]
    module.act = tf.function(
        endpoint.function, input_signature=[*endpoint.inputs.values()], autograph=False
    )
    folder = tmp_path_factory.mktemp("exports") / "dqn"
    tf.saved_model.save(module, str(folder / "1"), signatures={"act": module.act})
    return folder


def played(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["breakout.py", *map(str, arguments)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_it_plays_a_whole_game_and_films_it(exports, start_server, monkeypatch, capsys, tmp_path):
    server = start_server("--model_name=dqn", f"--model_base_path={exports}")
    played(monkeypatch, tmp_path / "game.mp4", server.target())
    assert capsys.readouterr().out.endswith(f" points: {tmp_path / 'game.mp4'}\n")
    with av.open(str(tmp_path / "game.mp4")) as film:
        pictures = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(pictures) > 100, "five lives last longer"
    assert pictures[0].shape == (336, 336)
    moved = np.abs(np.diff(np.stack(pictures[:100]).astype(int), axis=0)).max(axis=(1, 2))
    assert (moved > 50).any(), "something is seen to happen"


def test_it_says_so_when_there_is_no_server(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="localhost:1"):
        played(monkeypatch, tmp_path / "game.mp4", "localhost:1")
