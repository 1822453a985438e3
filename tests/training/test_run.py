"""The command: what it refuses, how it ends, and how it goes on."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from kmodels import mlp
from training import checkpoints


def snapshot(folder):
    """Every file below a folder with its content."""
    return {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def write(folder, text, name="text.txt"):
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


# What it refuses. None of this trains, so it happens in this process.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["does not exist", "text.txt"]),
        ("", ["is empty"]),
        (" \n\n ", ["holds only white space"]),
        (b"caf\xe9 au lait", ["is not UTF-8", "0xe9", "offset 3"]),
        ("a short text", ["context", "is longer than the text", "--config.context"]),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(training_main, refused, tmp_path, text, words):
    file = tmp_path / "text.txt" if text is None else write(tmp_path, text)
    run_dir = tmp_path / "run"
    ended = training_main(
        "--model=gpt", "--preset=tiny", "--data=text", f"--data-dir={file}", f"--run-dir={run_dir}"
    )
    refused(ended, *words)
    assert len(ended.output.strip().splitlines()) == 1
    assert not run_dir.exists(), "nothing is left behind"


def test_data_and_its_folder_must_fit(training_main, refused, tmp_path):
    run_dir = f"--run-dir={tmp_path / 'run'}"
    refused(
        training_main("--model=gpt", "--preset=tiny", "--data=text", run_dir), "needs --data-dir"
    )
    refused(
        training_main("--model=gpt", "--preset=tiny", f"--data-dir={tmp_path}", run_dir),
        "--data=docs is embedded",
        "--data=text",
    )
    write(tmp_path, "x", "notes.md")
    refused(
        training_main(
            "--model=gpt", "--preset=tiny", "--data=text", f"--data-dir={tmp_path}", run_dir
        ),
        "has no .txt file",
        "notes.md",
    )


def test_a_vocabulary_that_does_not_fit_stops_the_run(training_main, refused, tmp_path):
    file = write(tmp_path, "abc" * 50)
    refused(
        training_main(
            "--model=gpt", "--preset=tiny", "--data=text", f"--data-dir={file}",
            "--codec.kind=characters", "--config.vocab=7", f"--run-dir={tmp_path / 'run'}",
        ),
        "The codec has 3 tokens and config.vocab is 7",
        "--config.vocab=3",
    )  # fmt: skip


def test_a_finished_run_is_left_alone(training_main, refused, trained):
    before = snapshot(trained.run_dir.parent)
    refused(
        training_main(*trained.argv), "finished at step 40", "--steps", "--run-dir", "--init-from"
    )
    assert snapshot(trained.run_dir.parent) == before


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("--batch-size=16", "recipe.batch_size is 8 there and 16 here"),
        ("--config.width=32", "config.width is 16 there and 32 here"),
        ("--seed=1", "seed is 0 there and 1 here"),
        ("--optimizer.learning-rate=1", "recipe.optimizer.learning_rate is 0.001 there and 1.0"),
        ("--steps=20", "recipe.steps is 40 there and 20 here"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(training_main, refused, trained, flag, field):
    before = snapshot(trained.run_dir.parent)
    output = refused(training_main(*trained.argv, flag), "holds another run", field)
    for word in ("--run-dir", "--steps", "--init-from"):
        assert word in output
    assert snapshot(trained.run_dir.parent) == before


def test_a_folder_that_is_no_run_is_refused(training_main, refused, tmp_path):
    write(tmp_path, "my thesis")
    argv = ("--model=gpt", "--preset=tiny", f"--run-dir={tmp_path}")
    refused(training_main(*argv), "holds files but no run.json")
    write(tmp_path, '{"model": ', "run.json")
    refused(training_main(*argv), "run.json does not describe a run")
    write(tmp_path, "[]", "run.json")
    refused(training_main(*argv), "run.json")
    assert sorted(os.listdir(tmp_path)) == ["run.json", "text.txt"]


def test_a_batch_that_does_not_divide_is_refused(commands, refused, tiny_argv, tmp_path):
    run_dir = tmp_path / "run"
    ended = commands(*tiny_argv, "--micro-batches=3", f"--run-dir={run_dir}")
    refused(ended, "--batch-size 8 does not divide into 3 equal parts", "6 would")
    assert not run_dir.exists(), "the corrected command must be able to use the folder"


@pytest.mark.parametrize("what", ["nowhere", "empty", "unreadable"])
def test_weights_to_begin_with_that_are_not_there_are_refused(
    commands, refused, trained, tiny_argv, tmp_path, what
):
    source = tmp_path / what
    if what == "empty":
        source.mkdir()
    elif what == "unreadable":
        shutil.copytree(trained.run_dir, source)
        for file in source.rglob("state.safetensors"):
            file.write_bytes(b"")
    ended = commands(*tiny_argv, f"--init-from={source}", f"--run-dir={tmp_path / 'run'}")
    refused(ended, str(source))
    assert not (tmp_path / "run" / "run.json").exists(), "the folder stays free"


@pytest.mark.parametrize("flag", ["--run-dir", "--export-dir"])
@pytest.mark.parametrize("why", ["under a file", "not allowed"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(
    training_main, refused, tiny_argv, tmp_path, monkeypatch, flag, why
):
    file = tmp_path / "file"
    file.write_text("not a folder")
    if why == "not allowed":
        monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path / "closed")
        file = tmp_path / "closed"
        file.mkdir()
    places = {"--run-dir": tmp_path / "run", "--export-dir": tmp_path / "exports"}
    places[flag] = file / "below"
    ended = training_main(*tiny_argv, *(f"{name}={place}" for name, place in places.items()))
    refused(ended, f"{flag}: nothing can be written to {file / 'below'}, for {file} is no folder")
    assert not (tmp_path / "run").exists()


# How it goes on.


def test_more_steps_go_on_from_the_last(commands, bare, undisturbed, tmp_path):
    shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    argv = (*undisturbed.argv, f"--run-dir={tmp_path / 'run'}", "--steps=50")
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    assert "Going on from step 40." in ended.output
    assert checkpoints.everything(tmp_path / "run" / "checkpoints")[-1].name == "00000050"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["steps"] == 50


def test_another_runs_weights_can_be_the_beginning(
    commands, bare, undisturbed, tiny_argv, tmp_path
):
    ended = commands(
        *tiny_argv,
        f"--init-from={undisturbed.run_dir}",
        f"--run-dir={tmp_path / 'run'}",
        "--config.depth=3",
        "--steps=10",
        "--compile=off",
        before=bare,
    )
    assert ended.status == 0, ended.output
    assert (
        "gpt/block_2/norm_1/gamma (16,) keeps its initial values: it is not there." in ended.output
    )
    assert re.search(r"--init-from: \d+ of \d+ tensors were taken", ended.output)
    log = (tmp_path / "run" / "logs.jsonl").read_text().splitlines()
    first = json.loads(log[0])["loss"]
    (before,) = [
        e["loss"]
        for e in map(json.loads, (undisturbed.run_dir / "logs.jsonl").read_text().splitlines())
        if e["step"] == 10 and e["split"] == "train"
    ]
    assert first < before


AS_WRITTEN = """
from tensorflow.python.autograph.impl import api
convert = api._convert_actual

def converted(function, *rest):
    if function.__module__.startswith(("kmodels", "training")):
        print("rewritten:", function, flush=True)
        os._exit(70)
    return convert(function, *rest)

api._convert_actual = converted
"""  # decision 0021; packages may rewrite their own


def test_a_dry_run_does_all_of_it_once_and_keeps_nothing(commands, tmp_path):
    folders = tmp_path / "run", tmp_path / "exports"
    ended = commands(
        "--model=mlp",
        "--preset=tiny",
        "--config.batch-norm=True",
        "--dry-run",
        f"--run-dir={folders[0]}",
        f"--export-dir={folders[1]}",
        before=AS_WRITTEN,
    )
    assert ended.status == 0, ended.output
    assert "memory" in ended.output and "GiB" in ended.output
    assert "step 1/1" in ended.output and "val loss" in ended.output
    config = dataclasses.replace(mlp.PRESETS["tiny"], classes=10, batch_norm=True)
    count = mlp.param_count(config)
    assert f"mlp tiny: {count:,} parameters" in ended.output, "without statistics of batches"
    assert not any(folder.exists() for folder in folders)


def test_a_run_may_end_without_an_export_and_be_exported_later(commands, bare, tiny_argv, tmp_path):
    run, exports = tmp_path / "run", tmp_path / "exports"
    argv = (*tiny_argv, "--steps=10", "--compile=off", f"--run-dir={run}")
    ended = commands(*argv, f"--export-dir={exports}", "--no-export")
    assert ended.status == 0, ended.output
    assert "Trained to step 10" in ended.output and "Exported" not in ended.output
    assert not exports.exists() and not (run / "export.json").exists()
    ended = commands(*argv, f"--export-dir={exports}", before=bare)
    assert ended.status == 0, ended.output
    assert "Going on from step 10." in ended.output and "Exported to" in ended.output


def test_byte_pairs_in_half_precision_go_the_whole_way(commands, no_samples, tiny_argv, tmp_path):
    """A vocabulary trained on the run's text, bfloat16 products, accumulation, and an export."""
    argv = (
        *tiny_argv,
        "--codec.kind=byte_pairs",
        "--config.vocab=300",
        "--config.depth=1",
        "--precision=mixed_bfloat16",
        "--micro-batches=2",
        "--compile=off",
        "--steps=20",
        f"--run-dir={tmp_path / 'run'}",
        f"--export-dir={tmp_path / 'exports'}",
    )
    ended = commands(*argv, before=AS_WRITTEN + no_samples)
    assert ended.status == 0, ended.output
    assert f"Exported to {tmp_path / 'exports' / 'gpt' / '1'}." in ended.output
    merges = (tmp_path / "run" / "codec" / "merges.txt").read_text().splitlines()
    assert len(merges) >= 300 - 257
    card = json.loads((tmp_path / "exports" / "gpt" / "1" / "card.json").read_text())
    assert card["config"]["vocab"] == 300


# How it ends.


def follow(process: subprocess.Popen, text: str) -> str:
    """Reads the process's lines until one holds the text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} was never printed: {''.join(lines)}")


def test_control_c_saves_and_the_same_command_ends_as_if_nothing_had_been(
    commands, bare, undisturbed, tmp_path, same_tensors
):
    exports = tmp_path / "exports"
    argv = (*undisturbed.argv, f"--run-dir={tmp_path / 'run'}", f"--export-dir={exports}")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.run", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    with process:
        try:
            follow(process, "step 10/40")
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(60) == 130, rest
        finally:
            process.kill()
    assert "Traceback" not in rest
    assert "Stopped by SIGINT; step " in rest and "The same command goes on" in rest
    assert not exports.exists()
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    assert "Going on from step " in ended.output
    ends = [d / "checkpoints" / "00000040" for d in (tmp_path / "run", undisturbed.run_dir)]
    assert same_tensors(*ends)


CONTROL_C = """
import os, signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it

def interrupted(*_):
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()

saved_model.verify = interrupted
"""


def test_control_c_in_the_export_publishes_nothing_and_the_same_command_does(
    commands, classifier, tmp_path
):
    run, exports = tmp_path / "run", tmp_path / "exports"
    shutil.copytree(classifier.run_dir, run)
    (run / "export.json").unlink()
    kept = snapshot(run / "checkpoints")
    argv = (*classifier.argv, f"--run-dir={run}", f"--export-dir={exports}")
    ended = commands(*argv, before=CONTROL_C)
    assert ended.status == 130, ended.output
    assert "interrupted; the same command goes on" in ended.output
    assert "Traceback" not in ended.output
    assert not list(exports.glob("mlp/*")), "neither a version nor what was begun of it"
    ended = commands(*argv)
    assert ended.status == 0, ended.output
    assert f"Exported to {exports / 'mlp' / '1'}." in ended.output
    assert snapshot(run / "checkpoints") == kept


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # bytes; the tensors need 100 kB
"""


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(
    commands, bare, undisturbed, tmp_path, same_tensors
):
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, run)
    (run / "export.json").unlink()
    shutil.rmtree(run / "checkpoints" / "00000040")
    kept = snapshot(run / "checkpoints")
    assert kept, "an older checkpoint is there"
    argv = (*undisturbed.argv, f"--run-dir={run}")
    ended = commands(*argv, before=bare + FULL)
    assert ended.status == 1, ended.output
    assert "Traceback" not in ended.output
    last = ended.output.strip().splitlines()[-1]
    assert last.startswith("training.run: ") and "the same command goes on" in last
    assert snapshot(run / "checkpoints") == kept
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    ends = [d / "checkpoints" / "00000040" for d in (run, undisturbed.run_dir)]
    assert same_tensors(*ends)
