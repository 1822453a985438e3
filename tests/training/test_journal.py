"""What a run says: to a terminal, to a pipe, and to its files."""

import io
import json
import os
import re

import pytest
import rich.console

from training.journal import Journal, write_atomically

LOGS = {"loss": 2.5, "weight": 800.0}


@pytest.fixture
def journal(make_run):
    """A journal that speaks into `console.file`; keywords go to the console."""

    def make(**console):
        speaker = rich.console.Console(file=io.StringIO(), width=100, **console)
        return Journal(make_run(steps=40), unit="tokens", console=speaker)

    return make


def said(journal):
    return journal.console.file.getvalue()


def entries(journal):
    return [json.loads(line) for line in journal.logs.read_text().split("\n") if line]


def test_without_a_terminal_there_is_a_line_an_interval(journal):
    quiet = journal()
    with quiet.live(0):
        quiet.train(10, LOGS, count=10, seconds=2.0)
        quiet.eval(10, {"loss": 2.25, "weight": 1.0}, {"sample": "some [text]", "bleu": 0.5})
        quiet.train(20, LOGS, count=10, seconds=1.0)
    lines = said(quiet).splitlines()
    assert lines[0] == "step 10/40  loss 2.500  400 tokens/s  6 s left"
    assert lines[1] == "step 10  val loss 2.2500"
    assert "some [text]" in lines
    assert lines[-1] == "step 20/40  loss 2.500  val loss 2.250  800 tokens/s  2 s left"
    assert "\x1b" not in said(quiet)


def test_a_terminal_gets_a_live_bar(journal):
    live = journal(force_terminal=True)
    with live.live(10):
        live.train(20, LOGS, count=10, seconds=2.0)
        live.eval(20, {"loss": 2.25, "weight": 1.0}, {"sample": "some text"})
        live.train(30, LOGS, count=10, seconds=2.0)
    assert live.bar is None, "the bar ends with the run"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said(live))
    for words in ("step 30/40", "loss 2.500", "val loss 2.250", "400 tokens/s", "some text"):
        assert words in plain
    assert "\x1b[" in said(live)
    assert not re.search(r"^step 20/40 .* s left$", plain, re.M), "no line beside the bar"


def test_the_log_is_one_flat_object_a_line(journal):
    quiet = journal()
    quiet.train(10, {**LOGS, "accuracy": 0.5}, count=10, seconds=2.0)
    quiet.eval(10, {"loss": 2.25, "weight": 9.0}, {"sample": "é\n", "bleu": 0.5})
    assert entries(quiet) == [
        {
            "step": 10, "split": "train", "loss": 2.5, "accuracy": 0.5, "tokens_per_second": 400.0,
            "seconds": 2.0,
        },
        {"step": 10, "split": "eval", "loss": 2.25, "bleu": 0.5, "sample": "é\n"},
    ]  # fmt: skip


def test_tensorboard_gets_the_same_numbers(journal):
    quiet = journal()
    quiet.train(10, LOGS, count=10, seconds=2.0)
    quiet.eval(10, {"loss": 2.25, "weight": 9.0}, {"sample": "words"})
    (file,) = (quiet.run.run_dir / "tensorboard").iterdir()
    content = file.read_bytes()
    for name in (b"train/loss", b"train/tokens_per_second", b"eval/loss", b"eval/sample"):
        assert name in content


def test_the_run_is_written_before_anything_is_said(journal):
    quiet = journal()
    stored = json.loads((quiet.run.run_dir / "run.json").read_text())
    assert stored["recipe"]["steps"] == 40
    assert said(quiet) == ""


def test_going_back_drops_later_lines_and_a_half_written_one(journal):
    quiet = journal()
    for step in (10, 20, 30):
        quiet.train(step, LOGS, count=10, seconds=1.0)
        quiet.eval(step, {"loss": 3.0 - step / 100, "weight": 1.0}, {})
    with quiet.logs.open("a") as file:
        file.write('{"step": 20, "spl')
    again = journal()
    again.rewind(20)
    assert [entry["step"] for entry in entries(again)] == [10, 10, 20, 20]
    again.train(30, LOGS, count=10, seconds=1.0)
    assert "val loss 2.800" in said(again), "the last evaluation is remembered"
    assert len(entries(again)) == 5


@pytest.mark.parametrize("strange", ["\u2028", "\u2029", "\x85", "\x0c", "\x1c", "\r", '"\\'])
def test_going_back_keeps_samples_with_strange_characters(journal, strange):
    quiet = journal()
    quiet.eval(10, {"loss": 2.0, "weight": 1.0}, {"sample": f"a{strange}b"})
    quiet.rewind(10)
    assert [entry["sample"] for entry in entries(quiet)] == [f"a{strange}b"]


def test_going_back_without_a_log_is_nothing(journal):
    quiet = journal()
    quiet.rewind(10)
    assert not quiet.logs.exists()


def test_a_worker_that_is_not_the_chief_writes_nothing(make_run):
    run = make_run()
    silent = Journal(run, unit="tokens", console=rich.console.Console(), writes=False)
    silent.train(10, LOGS, count=10, seconds=1.0)
    silent.eval(10, LOGS, {"sample": "x"})
    silent.rewind(0)
    silent.say("hello")
    assert not run.run_dir.exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    write_atomically(file, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_atomically(file, "new")
    assert file.read_text() == "old"
