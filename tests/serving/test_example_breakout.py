"""examples/breakout.py: a whole game through a server in a process of its own."""

import json
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
from serving.client import command

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


@pytest.fixture(scope="module")
def target(exports, start_server_for_file):
    """The address of a server of that endpoint."""
    return start_server_for_file("--model_name=dqn", f"--model_base_path={exports}").target()


def played(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["breakout.py", *map(str, arguments)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_it_plays_a_whole_game_and_films_it(target, monkeypatch, capsys, tmp_path):
    played(monkeypatch, tmp_path / "game.mp4", target)
    assert capsys.readouterr().out.endswith(f" points: {tmp_path / 'game.mp4'}\n")
    with av.open(str(tmp_path / "game.mp4")) as film:
        pictures = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(pictures) > 100, "five lives last longer"
    assert pictures[0].shape == (336, 336)
    moved = np.abs(np.diff(np.stack(pictures[:100]).astype(int), axis=0)).max(axis=(1, 2))
    assert (moved > 50).any(), "something is seen to happen"


@pytest.mark.parametrize("shape", [(84, 84, 3), (80, 84, 4), (84 * 84 * 4,)])
def test_a_state_of_another_shape_is_refused_with_one_sentence(target, capsys, shape):
    state = json.dumps(np.zeros((1, *shape), np.uint8).tolist())
    argv = ["predict", "dqn", f"--target={target}", "--signature=act", f"observations={state}"]
    assert command.main(argv) == 2
    said = capsys.readouterr().err
    assert "84 x 84 x 4" in said and len(said.strip().splitlines()) == 1, said


def test_it_says_so_when_there_is_no_server(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="localhost:1"):
        played(monkeypatch, tmp_path / "game.mp4", "localhost:1")
