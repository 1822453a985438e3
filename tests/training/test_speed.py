"""What a run says of its speed and memory."""

import io
import json

import pytest
import rich.console
import tensorflow as tf

from training import loop, speed, strategy
from training.journal import Journal


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_peak_is_that_of_a_machine(precision):
    assert 1e9 < speed.peak(precision) < 1e16


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


def test_replicas_together_count_what_one_would(make_run, make_learner, data):
    """Run before anything else has touched the devices, two replicas would be two devices."""
    counts = []
    for chosen in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0"])):
        run = make_run()
        with chosen.scope():
            learner = make_learner(run)
        meter = speed.Meter(learner.train_step, run, chosen, measures=False)
        many = loop.step.repeat(meter, chosen)
        many(strategy.spread(data.batches("train", 4, seed=0), chosen), 2)
        assert "mfu" not in meter.numbers(count=2, seconds=1.0), "this process does not measure"
        counts.append(meter.step_flops)
    assert counts[0] == counts[1] > 0
