"""Runs side by side, in a table and in a picture."""

import json
import re
import shutil

import pytest
from matplotlib import image

from training import compare


@pytest.fixture
def pair(undisturbed, tmp_path):
    """Two run folders: one as it was left, one of another seed that is still training."""
    done, begun = tmp_path / "done", tmp_path / "begun"
    for folder in (done, begun):
        folder.mkdir()
        for file in ("run.json", "logs.jsonl"):
            shutil.copy(undisturbed.run_dir / file, folder)
    run = json.loads((begun / "run.json").read_text())
    (begun / "run.json").write_text(json.dumps({**run, "seed": 7, "run_dir": str(begun)}))
    lines = (begun / "logs.jsonl").read_text().splitlines()
    (begun / "logs.jsonl").write_text("\n".join(lines[:3]) + '\n{"step": 30, "spl')
    return done, begun


def test_the_table_has_what_differs_and_how_far_each_is(training_main, pair):
    ended = training_main(*map(str, pair), module="compare")
    assert ended.status == 0, ended.output
    cells = [re.split(r"\s{2,}", line.strip()) for line in ended.output.splitlines()]
    rows = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert rows["seed"] == ["0", "7"]
    assert rows["step"] == ["40", "20"] and rows["steps"] == ["40", "40"]
    entries = [json.loads(line) for line in (pair[0] / "logs.jsonl").read_text().splitlines()]
    losses = [e["loss"] for e in entries if e["split"] == "eval"]
    assert rows["held-out loss"] == [f"{losses[-1]:.5g}", f"{losses[0]:.5g}"]
    assert "run_dir" not in ended.output and "batch_size" not in ended.output


def test_json_has_the_same(training_main, pair):
    ended = training_main(*(f"--run-dir={folder}" for folder in pair), "--json", module="compare")
    found = json.loads(ended.output)
    assert found["fields"] == {"seed": {"done": 0, "begun": 7}}
    assert found["numbers"]["begun"]["step"] == found["numbers"]["begun"]["at step"] == 20
    assert found["numbers"]["done"]["best loss"] < found["numbers"]["begun"]["best loss"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture(training_main, pair, tmp_path, suffix):
    file = tmp_path / f"picture{suffix}"
    ended = training_main(*map(str, pair), f"--out={file}", module="compare")
    assert ended.status == 0 and f"Drawn to {file}." in ended.output
    if suffix == ".png":
        assert image.imread(file).std() > 0.05, "there is something on it"
    assert file.stat().st_size > 5000


def test_a_run_that_has_logged_nothing_yet(training_main, pair, tmp_path):
    (pair[1] / "logs.jsonl").unlink()
    argv = (*map(str, pair), f"--out={tmp_path / 'a.png'}")
    ended = training_main(*argv, module="compare")
    assert ended.status == 0, ended.output
    assert next(x for x in ended.output.splitlines() if "best loss" in x).split()[-1] == "-"


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    assert compare.names(folders) == [str(folder) for folder in folders]


def test_numbers_that_are_none_do_not_win():
    entries = [
        {"step": step, "split": "eval", "loss": loss}
        for step, loss in ((1, float("nan")), (2, 3.0), (3, 2.5), (4, 2.75))
    ]
    assert compare.best_of(entries, "loss") == (2.5, 3)
    assert compare.best_of(entries[:1], "loss") is None
    assert compare.best_of(entries, "accuracy") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "No run was given; name run folders"),
        (["nowhere"], "nowhere does not exist, or holds no run.json, so it is not a run."),
        (["--oot=x.png"], "There is no flag --oot. Did you mean --out?"),
        (["nowhere", "--out=x.jpeg"], "--out=x.jpeg must end in .pdf, .png, .svg."),
        (["nowhere", "--out=no/x.png"], "--out=no/x.png: there is no folder no."),
    ],
)
def test_what_cannot_be_compared_is_refused(
    training_main, refused, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    refused(training_main(*words, module="compare"), sentence)
