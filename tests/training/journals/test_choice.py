"""Which journals there are, and what happens where one cannot be had."""

import importlib.util
import json

import pytest

from training import journals
from training.config import UserError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("csv,tensorboard", ("csv", "tensorboard")),
        (" tensorboard , csv,,csv", ("tensorboard", "csv")),
        ("jsonl,samples,csv", ("csv",)),
        ("", ()),
    ],
)
def test_names_are_a_list(text, names):
    assert journals.chosen(text) == names


def test_a_misspelt_journal_is_answered_with_the_nearest(
    training_main, refused, tiny_argv, tmp_path
):
    ended = training_main(*tiny_argv, "--journals=csv,tensorbord", f"--run-dir={tmp_path / 'run'}")
    refused(ended, "journal 'tensorbord'", "Did you mean 'tensorboard'?", "wandb")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", journals.EXTRAS)
def test_a_package_that_is_not_installed_is_named(monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"--journals={name} needs .*uv sync --extra {name}"):
        journals.chosen(f"csv,{name}")


def test_only_what_was_chosen_is_written(make_run):
    run = make_run(journals=())
    run.run_dir.mkdir()
    entry = journals.Entry(step=1, split="train", numbers={"loss": 1.0})
    for sink in journals.make(run):
        sink.write(entry)
        sink.close()
    assert [f.name for f in run.run_dir.iterdir()] == ["logs.jsonl"]


def test_other_journals_a_profile_and_another_limit_go_on_with_the_same_run(
    commands, bare, tiny_argv, tmp_path
):
    argv = (*tiny_argv, "--compile=off", f"--run-dir={tmp_path / 'run'}")
    ended = commands(*argv, "--journals=", before=bare + "export.publish = lambda *_: 1 / 0\n")
    assert ended.status == 70, "it ends before its export"
    assert not (tmp_path / "run" / "logs.csv").exists()
    ended = commands(*argv, "--journals=csv", "--profile=35:40", "--loss-limit=None", before=bare)
    assert ended.status == 0, ended.output
    assert "Going on from step 40." in ended.output
    assert (tmp_path / "run" / "logs.csv").exists()
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["journals"] == ["csv"]
