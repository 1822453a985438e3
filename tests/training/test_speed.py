"""What a run says of its speed and memory."""

import io
import itertools
import json
import types

import pytest
import rich.console
import tensorflow as tf

from training import loop, speed, step
from training.journal import Journal


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_peak_is_that_of_a_machine(precision):
    assert 1e9 < speed.peak(precision) < 1e16


@pytest.mark.parametrize(("threads", "products"), [(4, 1), (1, 4)])
def test_the_peak_is_that_of_all_cores_also_where_each_has_its_own_program(
    monkeypatch, threads, products
):
    """By a clock that moves a second at each look: as many operations as there are products."""
    asked, plain, seconds = [], tf.matmul, itertools.count()
    monkeypatch.setattr(tf, "matmul", lambda a, b: asked.append(a.shape[0]) or plain(a, b))
    monkeypatch.setattr(speed, "time", types.SimpleNamespace(perf_counter=lambda: next(seconds)))
    monkeypatch.setattr(step, "cores", lambda: 4)
    monkeypatch.setattr(step, "threads", lambda: threads)
    peak = speed.peak("float32")
    assert asked.count(2048) == products
    assert peak == products * 2 * 2048**3


def test_memory_is_that_of_this_process():
    small = speed.memory()["memory_gib"]
    assert 0.1 < small < 100
    ballast = bytearray(b"x") * 2**28
    assert speed.memory()["memory_gib"] >= small
    del ballast


def test_a_run_logs_its_speed_and_says_where_it_went(make_run, make_learner, data):
    run = make_run()
    journal = Journal(run, unit="tokens", console=rich.console.Console(file=io.StringIO()))
    loop.train(run, make_learner(run), data, journal, strategy=tf.distribute.get_strategy())
    entries = [json.loads(line) for line in (run.run_dir / "logs.jsonl").read_text().splitlines()]
    train = [e for e in entries if e["split"] == "train"]
    facts = json.loads((run.run_dir / "machine.json").read_text())
    for entry in train:
        wanted = facts["step_flops"] * 2 / entry["seconds"] / facts["peak_flops"]
        assert entry["mfu"] == pytest.approx(wanted)
        assert entry["memory_gib"] > 0.1
        assert entry["learning_rate"] == pytest.approx(1e-2)
    assert "gpu_memory_gib" in train[0] or not tf.config.list_physical_devices("GPU")
    assert facts["tensorflow"] == tf.__version__ and facts["cores"] >= 1


def test_a_process_that_does_not_write_measures_nothing(make_run, make_learner, data):
    run = make_run()
    chosen = tf.distribute.get_strategy()
    meter = speed.Meter(make_learner(run).train_step, run, chosen, measures=False)
    step.repeat(meter, chosen)(iter(data.batches("train", 4, seed=0)), 2)
    assert "mfu" not in meter.numbers(count=2, seconds=1.0)


def test_replicas_together_do_what_one_would(commands, bare, undisturbed, tiny_argv, tmp_path):
    argv = (*tiny_argv, "--compile=off", "--steps=20", f"--run-dir={tmp_path / 'run'}")
    ended = commands(*argv, "--replicas=2", before=bare)
    assert ended.status == 0, ended.output
    one, two = (
        json.loads((folder / "machine.json").read_text())
        for folder in (undisturbed.run_dir, tmp_path / "run")
    )
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["step_flops"] == two["step_flops"] > 0
