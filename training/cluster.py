"""The cluster this process belongs to, from whatever started it, as TensorFlow's TF_CONFIG.

TensorFlow reads one form only: the addresses of all workers, and which of them this process is.
Here it is made from SLURM's variables, from those of a Kubernetes JobSet, or for `--spawn=N`.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from training.config import UserError

PORT = 2222  # where a worker listens, unless its starter says otherwise
SPAWNED = "KMODELS_SPAWNED"  # set in processes that `spawn` has started
WORKERS, SUBDOMAIN = "KMODELS_WORKERS", "KMODELS_SUBDOMAIN"  # a JobSet's manifest sets them
GRACE_SECONDS = 90  # for the others to end by themselves when one has failed or the chief ended


def describe(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The content of TF_CONFIG for this process; None where nothing describes a cluster.

    Looked for in this order: TF_CONFIG itself; SLURM, where a job step has more than one task; a
    JobSet, where KMODELS_WORKERS says how many pods there are.

    Raises:
        UserError: what describes the cluster is malformed.
    """
    if "TF_CONFIG" in environment:
        return check(environment["TF_CONFIG"])
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _slurm()
    if WORKERS in environment:
        return _jobset(environment)
    return None


def check(text: str) -> dict[str, Any]:
    """A TF_CONFIG as a value; raises UserError that says what is wrong with it."""
    example = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers = list(config["cluster"]["worker"])
        kind, index = config["task"]["type"], config["task"]["index"]
    except ValueError as error:
        raise UserError(f"TF_CONFIG is not JSON ({error}); it must be {example}.") from None
    except (KeyError, TypeError) as error:
        raise UserError(f"TF_CONFIG lacks {error}; it must be {example}.") from None
    if list(config["cluster"]) != ["worker"] or kind != "worker":
        raise UserError(
            "TF_CONFIG names tasks other than workers; this trainer has workers only, and the "
            "first of them is the chief."
        )
    odd = [w for w in workers if not re.fullmatch(r"\S+:\d+", str(w))]
    if odd or not workers:
        raise UserError(f"TF_CONFIG has the worker {odd[0] if odd else None!r}; give HOST:PORT.")
    if not (isinstance(index, int) and 0 <= index < len(workers)):
        raise UserError(
            f"TF_CONFIG's task index is {index!r}; with {len(workers)} workers it must lie in "
            f"[0, {len(workers) - 1}]."
        )
    return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}


def task(workers: Sequence[str], index: int) -> dict[str, Any]:
    """What TF_CONFIG says to one worker of these addresses; raises UserError as `check`."""
    return check(
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
    )


def _slurm() -> dict[str, Any]:
    """From the variables that `srun` sets; TensorFlow has the reading of its host lists."""
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=PORT,
            gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),  # at least its tasks
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        workers = resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"SLURM's variables do not describe a job step: {error}.") from None
    return task(workers, int(os.environ["SLURM_PROCID"]))


def _jobset(environment: Mapping[str, str]) -> dict[str, Any]:
    """From a pod of a JobSet: its host name ends in its number, its neighbours' in theirs."""
    try:
        workers, index = int(environment[WORKERS]), int(environment["JOB_COMPLETION_INDEX"])
        name, subdomain = environment["HOSTNAME"], environment[SUBDOMAIN]
    except KeyError as error:
        raise UserError(
            f"{WORKERS} is set, so this should be a pod of an indexed Job, but {error} is not set; "
            f"{WORKERS} and {SUBDOMAIN} come from the manifest, the others from Kubernetes."
        ) from None
    except ValueError as error:
        raise UserError(f"{WORKERS} and JOB_COMPLETION_INDEX must be numbers: {error}.") from None
    stem = name.removesuffix(f"-{index}")
    if stem == name:
        raise UserError(f"HOSTNAME {name} does not end in JOB_COMPLETION_INDEX, -{index}.")
    return task([f"{stem}-{i}.{subdomain}:{PORT}" for i in range(workers)], index)


def spawn(count: int, argv: Sequence[str]) -> int:
    """Runs the command in `count` worker processes of this machine; gives the exit status.

    The chief's output is this process's; the others' goes to stderr. SIGINT and SIGTERM are passed
    on to all. When a worker fails, or the chief has ended, the others get `GRACE_SECONDS` to end.

    Returns:
        0 where all ended well, or else the status of the first that did not.
    """
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: Any) -> None:
        for process in running:
            process.send_signal(number)

    old = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    try:
        for i in range(count):
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "training.run", *argv],
                    env={**os.environ, SPAWNED: "1", "TF_CONFIG": json.dumps(task(workers, i))},
                    stdout=None if i == 0 else sys.stderr,
                    start_new_session=True,  # a terminal's Ctrl-C comes once, from here
                )
            )
        return wait(running)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        for process in running:
            process.kill()
            process.wait()


def spawned() -> bool:
    """Whether this process is a worker that `spawn` started, with the command line it was given."""
    return SPAWNED in os.environ


def wait(running: Sequence[subprocess.Popen[bytes]]) -> int:
    """The first status that is not 0, once all have ended or their grace is over.

    As a shell has it: 128 and the signal's number for a process that a signal ended.
    """
    first, deadline = 0, float("inf")
    while time.monotonic() < deadline:
        statuses = [process.poll() for process in running]
        first = first or next((s for s in statuses if s), 0)
        if deadline == float("inf") and (first or statuses[0] is not None):
            deadline = time.monotonic() + GRACE_SECONDS  # the chief has the last work
        if None not in statuses:
            break
        time.sleep(0.1)
    return first if first >= 0 else 128 - first


def fingerprint(run: str) -> int:
    """A number of 56 bits for a run's description and the source that this process runs."""
    root = pathlib.Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(run.encode())
    for file in sorted(
        f for package in ("kmodels", "training") for f in root.glob(f"{package}/**/*.py")
    ):
        digest.update(f"{file.relative_to(root)} ".encode() + file.read_bytes())
    return int.from_bytes(digest.digest()[:8]) >> 8


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of this machine."""
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports
