"""The registry: the folder is the list."""

import pathlib

import pytest

import kmodels
from kmodels.core import zoo


def test_names_are_the_modules_of_the_folder():
    folder = pathlib.Path(kmodels.__file__).parent
    files = sorted(f.stem for f in folder.glob("*.py") if f.stem != "__init__")
    assert zoo.names() == files
    assert "gpt" in files


def test_a_name_loads_its_module():
    assert zoo.load("gpt").__name__ == "kmodels.gpt"


@pytest.mark.parametrize("name", ["gtp", "GPT", "core", "gpt.py", "", "kmodels.gpt", "../gpt"])
def test_an_unknown_name_is_answered_with_one_sentence(name):
    with pytest.raises(ValueError) as caught:
        zoo.load(name)
    sentence = str(caught.value)
    assert sentence.startswith(f"There is no model {name!r}.")
    assert "Allowed: " in sentence and "gpt" in sentence
    assert "\n" not in sentence


def test_the_nearest_name_is_suggested_where_there_is_one():
    allowed = ["gpt2-small", "gpt2-large", "tiny"]
    assert zoo.unknown("preset", "gpt2-smal", allowed) == (
        "There is no preset 'gpt2-smal'. Did you mean 'gpt2-small'? "
        "Allowed: gpt2-small, gpt2-large, tiny."
    )
    assert "Did you mean" not in zoo.unknown("preset", "zebra", allowed)
