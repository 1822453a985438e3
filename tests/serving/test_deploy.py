"""The manifests for training: what they hand to a worker makes the cluster that was meant."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from training import cluster, flags

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"
JOBSET = (DEPLOY / "training-jobset.yaml").read_text()
SLURM = (DEPLOY / "training.slurm").read_text()
DOCKERFILE = (DEPLOY / "training.Dockerfile").read_text()
SAVE_SECONDS = 120  # what a worker gets at least, from the signal to the end


def one(pattern: str, text: str = JOBSET) -> str:
    """The only match of a pattern's group."""
    found = set(re.findall(pattern, text, re.M))
    assert len(found) == 1, f"{pattern}: {found}"
    return found.pop()


def pod(index: int) -> dict[str, str]:
    """A pod's environment: what the manifest sets, and what Kubernetes and JobSet add."""
    jobset = one(r"^kind: JobSet\nmetadata:\n  name: (\S+)$")
    job = one(r"^  replicatedJobs:\n    - name: (\S+)$")
    given = dict(re.findall(r'- name: (KMODELS_\w+)\n +value: "?([^"\n]+)"?$', JOBSET, re.M))
    return {
        **given,
        "JOB_COMPLETION_INDEX": str(index),
        "HOSTNAME": f"{jobset}-{job}-0-{index}",
    }


def test_the_pods_of_the_jobset_make_one_cluster():
    workers = ["gpt-workers-0-0.gpt:2222", "gpt-workers-0-1.gpt:2222"]
    for index in range(2):
        assert cluster.describe(pod(index)) == {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }


def test_the_numbers_and_names_of_the_jobset_agree():
    count = pod(0)["KMODELS_WORKERS"]
    assert one(r"completions: (\d+)$") == one(r"parallelism: (\d+)$") == count
    assert one(r"^    subdomain: (\S+)$") == pod(0)["KMODELS_SUBDOMAIN"]
    assert one(r"containerPort: (\d+)$") == str(cluster.PORT)
    assert one(r"claimName: (\S+)$") == one(
        r"^kind: PersistentVolumeClaim\nmetadata:\n  name: (\S+)"
    )
    assert one(r"jobset-name: (\S+)$") == one(r"^kind: JobSet\nmetadata:\n  name: (\S+)$")
    assert "[ReadWriteMany]" in JOBSET, "every worker reads the checkpoints"


def test_an_evicted_pod_has_time_to_save_and_all_are_started_again():
    assert int(one(r"terminationGracePeriodSeconds: (\d+)")) >= SAVE_SECONDS
    assert one(r"restartPolicy: (\w+)$") == "Never"
    assert one(r"backoffLimit: (\d+)") == "0"
    assert int(one(r"maxRestarts: (\d+)")) > 1
    assert one(r"values: \[([^\]]+)\]") == "2", "what the user gave is wrong for every start"


def test_the_arguments_are_flags_of_the_command():
    arguments = re.findall(r"^ +- (--\S+)$", JOBSET, re.M)
    parsed, _ = flags.parse(arguments)
    assert (parsed.model, parsed.strategy) == ("gpt", "multi_worker")
    line = one(r"-m training\.run (--.*) \"\$@\"$", SLURM)
    parsed, _ = flags.parse(line.split())
    assert (parsed.model, parsed.strategy) == ("gpt", "multi_worker")


def test_the_image_is_that_of_the_jobset_and_is_not_root():
    assert one(r"-t (\S+) \.$", DOCKERFILE) == one(r"image: (\S+):latest$")
    assert one(r"^FROM python:(\d\.\d+)", DOCKERFILE) == "3.11"
    assert one(r"^USER (\d+)$", DOCKERFILE) == one(r"runAsUser: (\d+)$") != "0"
    assert one(r"^STOPSIGNAL (\w+)$", DOCKERFILE) == "SIGTERM"
    assert "--no-deps -r requirements.lock" in DOCKERFILE
    mounts = re.findall(r"mountPath: (\S+)$", JOBSET, re.M)
    place = one(r"^WORKDIR (\S+)$", DOCKERFILE)
    assert mounts == [f"{place}/runs", f"{place}/exports"]
    for folder in re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.M):
        assert (DEPLOY.parents[1] / folder / "__init__.py").exists()


FAKE_SRUN = """#!/bin/bash
echo "srun $*" >> "$SAID"
exit "$STATUS"
"""
FAKE_SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$SAID"
"""


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (143, True), (1, False), (2, False)])
def test_the_slurm_script_is_queued_again_after_a_save_only(tmp_path, status, requeued):
    """The batch script itself, with programs of SLURM's names that note how they were called."""
    for name, text in (("srun", FAKE_SRUN), ("scontrol", FAKE_SCONTROL)):
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
    said = tmp_path / "said.txt"
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SAID": str(said),
        "STATUS": str(status),
        "SLURM_NTASKS": "2",
        "SLURM_JOB_ID": "7",
    }
    bash = shutil.which("bash")
    done = subprocess.run([bash, str(DEPLOY / "training.slurm"), "--steps=10"], env=environment)
    assert done.returncode == status
    lines = said.read_text().splitlines()
    assert lines[0].startswith("srun --ntasks=2 ") and lines[0].endswith(" --steps=10")
    assert lines[1:] == ["scontrol requeue 7"] * requeued


def test_slurm_gives_a_worker_time_to_save():
    assert int(one(r"^#SBATCH --signal=TERM@(\d+)$", SLURM)) >= SAVE_SECONDS
    assert re.search(r"^#SBATCH --requeue$", SLURM, re.M)
    assert re.search(r"^#SBATCH --open-mode=append$", SLURM, re.M)
    nodes, tasks = (
        int(one(rf"^#SBATCH --{n}=(\d+)$", SLURM)) for n in ("nodes", "ntasks-per-node")
    )
    assert nodes * tasks > 1, "else it would be no cluster"
