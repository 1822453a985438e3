"""Texts and pictures of evaluations, as files and in TensorBoard."""

import io

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from training import loop
from training.journal import Journal
from training.journals import Entry, samples

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_an_evaluator_shows_numbers_texts_and_pictures(make_run, make_learner, data):
    run = make_run(steps=4)
    console = rich.console.Console(file=io.StringIO(), width=200)
    journal = Journal(run, unit="tokens", console=console)
    loop.train(
        run,
        make_learner(run),
        data,
        journal,
        strategy=tf.distribute.get_strategy(),
        evaluators=[lambda: {"sample": "é\r\n", "grid": PICTURE, "bleu": 0.5}],
    )
    folder = run.run_dir / "samples"
    assert [(step, file.name) for step, file in samples.files(folder)] == [
        (2, "00000002-grid.png"), (2, "00000002-sample.txt"),
        (4, "00000004-grid.png"), (4, "00000004-sample.txt"),
    ]  # fmt: skip
    assert (folder / "00000004-sample.txt").read_bytes() == "é\r\n".encode()
    stored = tf.io.decode_png((folder / "00000004-grid.png").read_bytes()).numpy()
    assert (stored == PICTURE).all()
    assert "grid at step 4" in console.file.getvalue()
    assert "grid" not in (run.run_dir / "logs.jsonl").read_text()
    (events,) = (run.run_dir / "tensorboard").glob("events*")
    seen = [
        value
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    ]
    pictures = [v for v in seen if v.metadata.plugin_data.plugin_name == "images"]
    assert [v.tag for v in pictures] == ["eval/grid"] * 2
    width, height, png = pictures[0].tensor.string_val
    assert (width, height) == (b"6", b"4")
    assert (tf.io.decode_png(png).numpy() == PICTURE).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_grey_coloured_or_transparent(make_run, channels):
    run = make_run()
    run.run_dir.mkdir()
    picture = np.full([2, 3, channels], 7, np.uint8)
    samples.make(run).write(Entry(step=5, split="eval", numbers={}, pictures={"a": picture}))
    stored = (run.run_dir / "samples" / "00000005-a.png").read_bytes()
    assert (tf.io.decode_png(stored).numpy() == picture).all()


def test_going_back_drops_later_samples_and_nothing_else(make_run):
    run = make_run()
    run.run_dir.mkdir()
    sink = samples.make(run)
    sink.rewind(0)
    for step in (10, 20, 100_000_000):
        sink.write(Entry(step=step, split="eval", numbers={}, texts={"sample": "x"}))
    mine = run.run_dir / "samples" / "my-notes.txt"
    mine.write_text("kept")
    sink.rewind(10)
    assert [step for step, _ in samples.files(run.run_dir / "samples")] == [10]
    assert mine.exists()
