"""Two processes that train one model, as on two machines."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from training import checkpoints, cluster

MLP = ("--model=mlp", "--preset=tiny", "--save-every=10", "--compile=off", "--steps=100000")


@pytest.fixture
def addresses():
    return [f"127.0.0.1:{port}" for port in cluster.free_ports(2)]


@pytest.fixture
def start(commands, bare, addresses):
    """Starts worker `index` of a cluster; ends what the test leaves running."""
    running = []

    def begin(index, *argv, before=""):
        described = json.dumps(cluster.task(addresses, index))
        running.append(commands.begin(*argv, before=bare + before, TF_CONFIG=described))
        return running[-1]

    yield begin
    for worker in running:
        worker.close()


def losses(folder):
    entries = map(json.loads, (folder / "logs.jsonl").read_text().splitlines())
    return [(e["step"], e["split"], e["loss"]) for e in entries]


def test_two_workers_train_as_one_process_and_only_the_chief_writes(
    start, commands, bare, tiny_argv, tmp_path
):
    argv = (
        *tiny_argv, "--compile=off", "--config.dropout=0", "--steps=20", "--log-every=5",
        "--eval-every=10",
    )  # fmt: skip
    alone = tmp_path / "alone"
    ended = commands(*argv, f"--run-dir={alone}", before=bare)
    assert ended.status == 0, ended.output
    both = tmp_path / "both"
    workers = [start(i, *argv, "--strategy=multi_worker", f"--run-dir={both}") for i in range(2)]
    ended = [worker.end() for worker in workers]
    said = [worker.output for worker in ended]
    assert [worker.status for worker in ended] == [0, 0], "".join(said)
    assert "2 replica(s)" in said[0]
    assert not re.search(r"^step ", said[1], re.M), "the second worker has nothing to say"
    one, two = losses(alone), losses(both)
    assert [e[:2] for e in one] == [e[:2] for e in two]
    assert max(abs(a[2] - b[2]) for a, b in zip(one, two, strict=True)) <= 1e-5
    _, weights = checkpoints.read(alone / "checkpoints" / "00000020")
    _, others = checkpoints.read(both / "checkpoints" / "00000020")
    assert weights.keys() == others.keys()
    for name, value in checkpoints.model_weights(weights).items():
        assert abs(value - checkpoints.model_weights(others)[name]).max() <= 1e-5, name


OVERFLOWING = "from training import loss_scale\nloss_scale.INITIAL = 2.0**24\n"


@pytest.mark.slow
def test_two_workers_in_float16_skip_average_and_lower_the_rate_as_one_process(
    start, commands, bare, tiny_argv, tmp_path
):
    argv = (
        *tiny_argv, "--precision=mixed_float16", "--average-half-life=40", "--compile=on",
        "--optimizer.kind=sgd", "--optimizer.learning-rate=0.1", "--schedule.kind=plateau",
        "--schedule.patience=1", "--schedule.min-delta=9", "--schedule.factor=0.5",
        "--config.dropout=0", "--steps=30", "--eval-every=10",
    )  # fmt: skip
    folders = [tmp_path / "alone", tmp_path / "both"]
    ended = commands(*argv, f"--run-dir={folders[0]}", before=bare + OVERFLOWING)
    assert ended.status == 0, ended.output
    argv = (*argv, "--strategy=multi_worker", f"--run-dir={folders[1]}")
    workers = [start(i, *argv, before=OVERFLOWING) for i in range(2)]
    ended = [worker.end() for worker in workers]
    assert [worker.status for worker in ended] == [0, 0], ended
    one, two = (checkpoints.read(f / "checkpoints" / "00000030")[1] for f in folders)
    assert one.keys() == two.keys()
    for tensors in (one, two):
        assert tensors["optimizer/sgd/iteration"] < 30, "some steps were skipped"
        assert tensors["loss_scale/scale"] < 2.0**24
        assert tensors["optimizer/sgd/plateau_share"] == 0.25
    for name, value in checkpoints.model_weights(one).items():
        assert abs(value - checkpoints.model_weights(two)[name]).max() <= 1e-2, name


def test_a_worker_with_other_flags_stops_all(start, tiny_argv, refused, tmp_path):
    argv = (*tiny_argv, "--strategy=multi_worker", f"--run-dir={tmp_path / 'run'}")
    workers = [start(0, *argv), start(1, *argv, "--seed=5")]
    for worker in workers:
        said = refused(worker.end())
        assert "Worker 1 of 2 has other flags, other data or other code than worker 0" in said
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_refused(start, tiny_argv, refused, tmp_path, addresses):
    host, _, port = addresses[0].rpartition(":")
    with socket.create_server((host, int(port))):
        said = refused(start(0, *tiny_argv, f"--run-dir={tmp_path / 'run'}").end())
    assert f"Port {port} of this worker" in said and "is in use" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_the_others_can_be_ended(start, tiny_argv, tmp_path, number):
    worker = start(0, *tiny_argv, f"--run-dir={tmp_path / 'run'}")
    follow(worker, "it begins when all have started")
    worker.signal(number)
    assert worker.end(30).status == -number
    assert not (tmp_path / "run").exists()


def follow(process, text):
    """Reads what a process says until a line holds the text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never printed")


def test_sigterm_to_one_worker_ends_all_at_one_step(start, tmp_path):
    argv = (*MLP, f"--run-dir={tmp_path / 'run'}")
    chief, other = start(0, *argv), start(1, *argv)
    follow(chief, "step 20/")
    other.signal(signal.SIGTERM)
    ended = [worker.end() for worker in (chief, other)]
    assert [worker.status for worker in ended] == [143, 143], ended
    steps = [re.search(r"Stopped by SIGTERM; step ([\d,]+)", w.output)[1] for w in ended]
    assert steps[0] == steps[1]


def test_a_worker_that_dies_ends_the_others_and_the_same_command_goes_on(start, tmp_path):
    run = tmp_path / "run"
    argv = (*MLP, f"--run-dir={run}")
    chief, other = start(0, *argv), start(1, *argv)
    follow(chief, "step 20/")
    other.signal(signal.SIGKILL)
    ended = chief.end(cluster.GRACE_SECONDS)
    assert ended.status == 1, ended.output
    assert "Traceback" not in ended.output
    assert "another worker has ended" in ended.output
    assert "the same command goes on" in ended.output
    step = checkpoints.everything(run / "checkpoints")[-1].name
    again = [start(i, *argv) for i in range(2)]
    follow(again[0], f"Going on from step {int(step):,}.")


@pytest.mark.slow
def test_spawned_workers_are_refused_as_one_command(tiny_argv, refused, tmp_path):
    done = spawned(*tiny_argv, "--data=text", f"--data-dir={tmp_path / 'none.txt'}")
    refused(SimpleNamespace(status=done.returncode, output=done.stdout), "none.txt does not exist")


@pytest.mark.slow
def test_spawned_workers_train_export_and_end_together(tiny_argv, tmp_path):
    run, exports = tmp_path / "run", tmp_path / "exports"
    done = spawned(*tiny_argv, "--steps=20", f"--run-dir={run}", f"--export-dir={exports}")
    assert done.returncode == 0, done.stdout
    assert f"Exported to {exports / 'gpt' / '1'}." in done.stdout
    assert done.stdout.count("Trained to step 20") == 1
    assert "UNAVAILABLE" not in done.stdout


def test_control_c_reaches_spawned_workers_once(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "training.run", *MLP, f"--run-dir={tmp_path / 'run'}", "--spawn=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            follow(process, "step 20/")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            rest = process.communicate(timeout=240)[0]
        finally:
            process.kill()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert rest.count("Stopped by SIGINT; step ") == 2
    assert checkpoints.everything(tmp_path / "run" / "checkpoints")
    assert "--spawn=2</pre>" in (tmp_path / "run" / "report.html").read_text(), "to go on"


@pytest.mark.slow
def test_a_dry_run_of_spawned_workers_is_one_report(tmp_path):
    tiny = ("--model=mlp", "--preset=tiny")
    done = spawned(*tiny, "--dry-run", f"--run-dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("The run would work; nothing was kept.") == 1
    assert not (tmp_path / "run").exists()


def spawned(*argv):
    return subprocess.run(
        [sys.executable, "-m", "training.run", *argv, "--spawn=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
