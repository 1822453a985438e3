"""Many runs by one command: what it refuses, what it repeats, and what it shows."""

import csv
import fcntl
import json
import os
import shutil

import pytest

from training import sweep, sweep_folder

TINY = ("--model=gpt", "--preset=tiny", "--save-every=10", "--compile=off")


@pytest.fixture
def finished(undisturbed, tmp_path):
    """Puts a finished trial into a sweep's folder, by the trial's name."""

    def put(name, *, best=None):
        folder = tmp_path / "sweep" / name
        shutil.copytree(undisturbed.run_dir, folder)
        if best is not None:
            lines = [json.loads(x) for x in (folder / "logs.jsonl").read_text().splitlines()]
            lines[-1]["loss"] = best
            (folder / "logs.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
        return folder

    return put


@pytest.fixture
def begun(tmp_path):
    """Marks the folder as that of a sweep of these fixed flags and this field."""

    def mark(fixed, *fields):
        (tmp_path / "sweep").mkdir(exist_ok=True)
        fixed = dict(flag.removeprefix("--").split("=") for flag in fixed)
        text = json.dumps({"fixed": fixed, "varied": list(fields)})
        (tmp_path / "sweep" / "sweep.json").write_text(text)

    return mark


def snapshot(folder):
    return {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}


AT_THE_FIRST_LINE = """
import signal
from training import sweep
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
show = sweep.Line.show

def stop(line, words):
    show(line, words)
    if words.startswith("step "):
        os.kill(os.getpid(), signal.{name})

sweep.Line.show = stop
"""


def test_control_c_stops_a_trial_and_the_same_command_ends_the_sweep(commands, tmp_path):
    argv = (
        "--model=mlp", "--preset=tiny", "--steps=400", "--eval-every=200", "--save-every=200",
        "--config.dropout=0,0.1", f"--sweep.dir={tmp_path / 'sweep'}",
    )  # fmt: skip
    ended = commands(*argv, module="sweep", before=AT_THE_FIRST_LINE.format(name="SIGINT"))
    assert ended.status == 130, ended.output
    assert "Stopped by SIGINT in trial 1 of 2. The same command goes on" in ended.output
    assert "Traceback" not in ended.output
    output = tmp_path / "sweep" / "dropout=0.txt"
    assert "Stopped by SIGINT; step " in output.read_text()
    ended = commands(*argv, module="sweep")
    assert ended.status == 0, ended.output
    assert "Going on from step " in output.read_text()
    assert "1/2  dropout=0  best error " in ended.output
    assert "2/2  dropout=0.1  best error " in ended.output
    before = snapshot(tmp_path / "sweep" / "dropout=0.1")
    again = commands(*argv, module="sweep")
    assert again.status == 0 and snapshot(tmp_path / "sweep" / "dropout=0.1") == before
    assert not (tmp_path / "sweep" / "dropout=0" / "export.json").exists()
    best = json.loads((tmp_path / "sweep" / "results.json").read_text())[0]
    assert best["best"] < 0.9 and f"-m training.export {best['run_dir']}" in ended.output


def test_a_trial_that_fails_costs_itself_only(commands, finished, begun, tmp_path):
    folder = tmp_path / "sweep"
    begun(TINY, "micro-batches")
    kept = snapshot(finished("micro-batches=1"))
    argv = (*TINY, "--micro-batches=3,1", f"--sweep.dir={folder}")
    ended = commands(*argv, module="sweep")
    assert ended.status == 1, ended.output
    sentence = "training.run: --batch-size 8 does not divide into 3 equal parts"
    assert f"1/2  micro-batches=3  failed: {sentence}" in ended.output
    assert "The same command tries what failed again." in ended.output
    assert snapshot(folder / "micro-batches=1") == kept, "what is finished is not repeated"
    good, bad = json.loads((folder / "results.json").read_text())
    assert (good["status"], bad["status"]) == ("finished", "failed")
    assert good["best"] > 0 and bad["best"] is None and sentence in bad["failure"]


def test_results_are_sorted_written_and_drawn(commands, finished, begun, tmp_path):
    begun(TINY, "config.dropout", "seed")
    losses = {"0,3": 2.5, "0,4": float("nan"), "0.1,3": 2.25, "0.1,4": 3.0}
    for values, best in losses.items():
        dropout, seed = values.split(",")
        finished(f"dropout={dropout},seed={seed}", best=best)
    folder = tmp_path / "sweep"
    argv = (*TINY, "--config.dropout=0,0.1", "--seed=3,4", f"--sweep.dir={folder}")
    ended = commands(*argv, module="sweep")
    assert ended.status == 0, ended.output
    rows = json.loads((folder / "results.json").read_text())
    assert [row["best"] for row in rows][:2] == [2.25, 2.5]
    with (folder / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(t["config.dropout"], t["seed"]) for t in table][:2] == [("0.1", "3"), ("0", "3")]
    assert [t["best"] for t in table] == [str(row["best"]) for row in rows]
    assert (folder / "results.png").stat().st_size > 5000
    shown = [line.split()[:3] for line in ended.output.splitlines() if line.endswith("finished  ")]
    assert shown[:2] == [["0.1", "3", "2.25"], ["0", "3", "2.5"]]


@pytest.mark.slow
def test_after_a_kill_nobody_begins_before_the_orphan_has_ended(commands, refused, tmp_path):
    folder = tmp_path / "sweep"
    argv = (*TINY, "--steps=100000", "--config.dropout=0,0.1", f"--sweep.dir={folder}")
    ended = commands(*argv, module="sweep", before=AT_THE_FIRST_LINE.format(name="SIGKILL"))
    assert ended.status == -9
    with (folder / "sweep.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the trial, which ends at its next line
        refused(commands(*argv, module="sweep"), "still at work")
    ended = commands(*argv, module="sweep", before=AT_THE_FIRST_LINE.format(name="SIGTERM"))
    assert ended.status == 143, ended.output
    assert "Stopped by SIGTERM in trial 1 of 2." in ended.output


def test_the_trials_process_holds_the_lock(tmp_path):
    place = sweep_folder.Place(folder=tmp_path / "sweep", watch="loss")
    with place.held({"a": ("1,2",)}) as lock:
        assert os.readlink(f"/proc/self/fd/{lock}") == str(tmp_path / "sweep" / "sweep.lock")
        with pytest.raises(Exception, match="still at work"), place.held({"a": ("1,2",)}):
            pass
    with place.held({"a": ("1,2,3",)}):
        pass  # other values of the same field go on


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Nothing varies; give at least one flag a list or a range"),
        (["--config.dropout=uniform:0:0.3"], "give --sweep.kind=random"),
        (["--config.dropout=0,0.1", "--sweep.trials=3"], "is for --sweep.kind=random"),
        (
            ["--config.dropout=0,0.1", "--sweep.kind=random", "--sweep.trials=0"],
            "--sweep.trials is 0; it must be at least 1.",
        ),
        (["--config.dropout=0,0.1", "--sweep.kind=all"], "invalid choice 'all'"),
        (["--config.dropout=0,0.1", "--sweep.trails=3"], "Did you mean --sweep.trials?"),
        (["--config.dropout=0,0.1", "--run-dir=x"], "--run-dir is not for a sweep"),
        (["--config.dropout=0,0.1", "--dry-run"], "--dry-run is not for a sweep"),
        (["--config.dropot=0,0.1"], "dropot=0: There is no flag --config.dropot. Did you mean"),
        (["--config.dropout=0,1.5"], "dropout=1.5: no trial was begun."),
        (["--config.dropout=0,0.1", "--steps=0"], "dropout=0: steps is 0; it must be at least 1."),
        (["--model=gpt", "--seed=1,2"], "--model comes twice"),
    ],
)
def test_all_trials_are_checked_before_the_first_begins(
    training_main, refused, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    refused(training_main(*TINY, *words, module="sweep"), sentence)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--steps=20", "--seed=1,2"], "another sweep: --steps is not given there and 20 here"),
        (["--config.dropout=0,0.1"], "what varies is seed there and config.dropout here"),
    ],
)
def test_another_sweeps_folder_is_left_alone(
    training_main, refused, begun, tmp_path, flags, sentence
):
    begun(TINY, "seed")
    before = (tmp_path / "sweep" / "sweep.json").read_bytes()
    argv = (*TINY, *flags, f"--sweep.dir={tmp_path / 'sweep'}")
    refused(training_main(*argv, module="sweep"), sentence, "give another --sweep.dir")
    assert (tmp_path / "sweep" / "sweep.json").read_bytes() == before


def test_folders_that_are_no_sweep_are_refused(training_main, refused, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    argv = (*TINY, "--seed=1,2")
    said = training_main(*argv, f"--sweep.dir={tmp_path}", module="sweep")
    refused(said, "holds files but no sweep.json")
    said = training_main(*argv, f"--sweep.dir={tmp_path / 'thesis.txt'}", module="sweep")
    refused(said, "thesis.txt is a file")
    (tmp_path / "sweep.json").write_text("{")
    refused(training_main(*argv, f"--sweep.dir={tmp_path}", module="sweep"), "not describe a sweep")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_random_sweeps_draw_and_help_explains(training_main):
    chosen, _, planned = sweep.planned(
        [*TINY, "--sweep.kind", "random", "--sweep.trials=4", "--config.depth=uniform:1:9"]
    )
    assert chosen.kind == "random" and len(planned) == 4
    assert all(t.argv[-1] == f"--config.depth={t.values['config.depth']}" for t in planned)
    ended = training_main("--help", module="sweep")
    assert ended.status == 0
    for words in ("--sweep.kind", "log-uniform:1e-4:1e-2", "--config.dropout=0,0.1", "goes on"):
        assert words in ended.output
