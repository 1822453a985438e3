"""What a cluster's description may look like, and what each sentence says where it may not."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import pytest

from training import cluster
from training.config import UserError

WHOLE = {
    "cluster": {"worker": ["a:2222", "b:2222"]},
    "task": {"type": "worker", "index": 1},
}


def changed(**parts):
    return json.dumps({**WHOLE, **parts})


def test_nothing_describes_a_process_that_is_alone():
    assert cluster.describe({}) is None
    assert cluster.describe({"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert cluster.describe({"JOB_COMPLETION_INDEX": "0"}) is None


def test_tf_config_is_taken_as_it_is():
    assert cluster.describe({"TF_CONFIG": json.dumps(WHOLE)}) == WHOLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "lacks"),
        (changed(task={"type": "worker"}), "lacks 'index'"),
        (changed(cluster={"worker": []}), "worker None"),
        (changed(cluster={"worker": ["a"]}), "worker 'a'; give HOST:PORT"),
        (changed(cluster={"worker": ["a:1"], "ps": ["b:1"]}), "other than workers"),
        (changed(task={"type": "ps", "index": 0}), "other than workers"),
        (changed(task={"type": "worker", "index": 2}), "index is 2.*must lie in \\[0, 1\\]"),
        (changed(task={"type": "worker", "index": "1"}), "index is '1'"),
    ],
)
def test_a_malformed_tf_config_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        cluster.describe({"TF_CONFIG": text})


def test_a_slurm_step_is_a_cluster(monkeypatch):
    for name, value in {
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[07-08]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": "2",
    }.items():
        monkeypatch.setenv(name, value)
    assert cluster.describe(os.environ) == {
        "cluster": {"worker": ["n07:2222", "n07:2223", "n08:2222"]},
        "task": {"type": "worker", "index": 2},
    }
    monkeypatch.setenv("SLURM_STEP_NODELIST", "n[07-")
    with pytest.raises(UserError, match="SLURM's variables do not describe a job step"):
        cluster.describe(os.environ)


POD = {
    "KMODELS_WORKERS": "3",
    "KMODELS_SUBDOMAIN": "gpt",
    "JOB_COMPLETION_INDEX": "1",
    "HOSTNAME": "gpt-workers-0-1",
}


def test_the_pods_of_a_jobset_are_a_cluster():
    assert cluster.describe(POD) == {
        "cluster": {"worker": [f"gpt-workers-0-{i}.gpt:2222" for i in range(3)]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"HOSTNAME": "laptop"}, "HOSTNAME laptop does not end in"),
        ({"JOB_COMPLETION_INDEX": "one"}, "must be numbers"),
        ({"KMODELS_WORKERS": "1"}, "index is 1"),
        ({"KMODELS_SUBDOMAIN": None}, "'KMODELS_SUBDOMAIN' is not set"),
    ],
)
def test_a_malformed_jobset_is_refused(change, words):
    environment = {k: v for k, v in {**POD, **change}.items() if v is not None}
    with pytest.raises(UserError, match=words):
        cluster.describe(environment)


def test_the_fingerprint_is_of_the_run_and_the_source(monkeypatch, tmp_path):
    here = cluster.fingerprint("a")
    assert here == cluster.fingerprint("a") != cluster.fingerprint("b")
    assert 0 <= here < 2**56
    source = pathlib.Path(cluster.__file__).parents[1]
    for package in ("kmodels", "training"):
        shutil.copytree(source / package, tmp_path / package)
    monkeypatch.setattr(cluster, "__file__", str(tmp_path / "training" / "cluster.py"))
    assert cluster.fingerprint("a") == here, "the place does not count"
    with (tmp_path / "kmodels" / "gpt.py").open("a") as file:
        file.write("# of another version\n")
    assert cluster.fingerprint("a") != here


def test_a_port_in_use_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not cluster.is_free(taken.getsockname()[1])


def status_of(*programs):
    """The status that `spawn` gives for such processes."""
    running = [subprocess.Popen([sys.executable, "-c", p]) for p in programs]
    try:
        return cluster.wait(running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_the_status_of_workers_is_that_of_the_first_to_fail(monkeypatch):
    assert status_of("", "") == 0
    assert status_of("", "import sys; sys.exit(2)") == 2
    assert status_of("import os; os.kill(os.getpid(), 9)", "") == 137
    monkeypatch.setattr(cluster, "GRACE_SECONDS", 0.1)
    assert status_of("import sys; sys.exit(3)", "import signal; signal.pause()") == 3
    assert status_of("", "import signal; signal.pause()") == 0, "the chief's work is done"


@pytest.mark.parametrize(
    "argv",
    [
        ["--spawn=2", "--strategy=mirrored"],
        ["--spawn", "1"],
        ["--strategy=multi_worker"],
    ],
)
def test_flags_that_make_no_cluster_are_refused(training_main, refused, argv, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    said = refused(training_main("--model=gpt", "--preset=tiny", *argv))
    assert re.search("--spawn|spawn is 1", said)


def test_a_cluster_in_a_cluster_is_refused(training_main, refused, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(WHOLE))
    refused(training_main("--model=gpt", "--spawn=2"), "TF_CONFIG describes another")


def test_spawn_leaves_a_description_alone(training_main, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    ended = training_main("--model=gpt", "--preset=gpt2-small", "--spawn=2", "--describe")
    assert ended.status == 0
    assert ended.output.count("parameters  124,439,808") == 1


def test_a_cluster_is_not_waited_for_to_describe_a_run(training_main, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(WHOLE))
    ended = training_main("--model=gpt", "--preset=gpt2-small", "--describe")
    assert ended.status == 0 and "parameters  124,439,808" in ended.output
