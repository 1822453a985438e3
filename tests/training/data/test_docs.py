"""The embedded text: plain, without repeats, the same at every call."""

import pathlib

import pytest

from training.data import docs
from training.data.windows import split


def test_it_is_a_few_hundred_thousand_characters_of_ascii():
    text = docs.read(None)
    assert 250_000 < len(text) < 600_000
    assert text.isascii()
    assert 80 < len(set(text)) <= 96  # printable ASCII and the line end
    assert text == docs.read(None)


def test_it_reads_as_text():
    lines = docs.read(None).split("\n")
    assert 'The "with" statement' in lines
    assert not [line for line in lines if line != line.rstrip()]
    assert not [line for line in lines if line.strip("*=-~") == "" and line]
    assert not [line for line in lines if line.startswith("+--")]


def test_what_is_held_out_was_not_seen_in_training():
    train, held_out = split(docs.read(None))
    seen = set(train.split("\n\n"))
    assert not [paragraph for paragraph in held_out.split("\n\n") if paragraph in seen]


def test_topics_are_cleaned_and_repeats_left_out(monkeypatch):
    topics = {
        "b": "B\n*\n\nShared   words.\n\nIt\u2019s \u201clast\u201d \u2013 \u4eac\u2026  \n",
        "a": "A\n***\n\nShared\nwords.\n\n+---+---+\n| x | y |\n+---+---+\n\n   x | y\n",
    }
    monkeypatch.setattr("pydoc_data.topics.topics", topics)
    assert docs.read(None) == 'A\n\nShared\nwords.\n\n   x | y\n\nB\n*\n\nIt\'s "last" - ?...\n'


def test_a_folder_is_refused():
    with pytest.raises(ValueError, match=r"docs is embedded.*--data-dir=here.*--data=text"):
        docs.read(pathlib.Path("here"))
