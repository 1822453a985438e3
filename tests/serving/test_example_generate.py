"""examples/generate.py, with a client that answers by itself."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.client import Unavailable

EXAMPLE = Path(__file__).parents[2] / "examples" / "generate.py"


class Answering:
    def __init__(self, target):
        self.target = target

    def __enter__(self):
        return self

    def __exit__(self, *details):
        return None

    def predict(self, model, inputs, *, signature):
        assert (self.target, model, signature) == ("localhost:8500", "gpt", "generate")
        return {"text": np.array([f"{inputs['prompt'][0]} is"], object)}


class Refusing(Answering):
    def predict(self, model, inputs, *, signature):
        raise Unavailable("no server answers", None)


def test_it_prints_the_text(monkeypatch, capsys):
    monkeypatch.setattr("serving.client.Client", Answering)
    monkeypatch.setattr(sys, "argv", ["generate.py", "The with"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out == "The with is\n"


def test_it_says_so_when_there_is_no_server(monkeypatch):
    monkeypatch.setattr("serving.client.Client", Refusing)
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    with pytest.raises(SystemExit, match="no server answers"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
