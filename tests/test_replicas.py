"""Every paper on one replica, on two and in two worker processes: the same ten steps."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from kmodels.core import zoo
from training import cluster

HERE = pathlib.Path(__file__).parent
NAMES = tuple(zoo.names())
FEW = "dcgan", "forward_forward", "gpt", "resnet"  # every learner, and statistics of a batch
REST = tuple(name for name in NAMES if name not in FEW)
WORKERS = [  # tracing takes the time: all papers are asked in the slow tier
    *((name, FEW) for name in FEW),
    *(pytest.param(name, REST, marks=pytest.mark.slow) for name in REST),
]


def ten_steps(kind: str, ways: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Losses and weights of papers on one strategy, trained in some ways."""
    arrays, said = _ten_steps(kind, ways, names)
    assert arrays, said[-3000:]
    return arrays


@functools.cache
def _ten_steps(kind: str, ways: str, names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], str]:
    """What `tests/replicas.py` found, or nothing, and what it said; asked once, found or not."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.npz"
        environments = [{}]
        if kind == "multi_worker":
            workers = [f"127.0.0.1:{port}" for port in cluster.free_ports(2)]
            environments = [{"TF_CONFIG": json.dumps(cluster.task(workers, i))} for i in (0, 1)]
        running = [
            subprocess.Popen(
                [sys.executable, str(HERE / "replicas.py"), kind, str(out), ways, *names],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for environment in environments
        ]
        try:
            said = "".join(process.communicate(timeout=580)[0] for process in running)
        except subprocess.TimeoutExpired as late:
            return {}, str(late)
        finally:
            for process in running:
                process.kill()
                process.wait()
        failed = any(process.returncode for process in running)
        return {} if failed else dict(np.load(out)), said


@pytest.mark.timeout(600)  # the first of a kind waits for all papers' steps
@pytest.mark.parametrize("kind", ["one", "mirrored"])
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_are_the_same_on_two_replicas_in_parts_and_compiled(name, kind):
    """To 1e-5 of the weights. Losses of what a step draws need not fall in ten steps."""
    wanted = ten_steps("one", "clipped,parts", NAMES)
    given = wanted if kind == "one" else ten_steps(kind, "parts", NAMES)
    paths = [key.split("|")[2] for key in wanted if key.startswith(f"{name}|parts|")]
    paths.remove("draws")
    assert len(paths) > 1
    for path in paths:
        value, close = given[f"{name}|parts|{path}"], wanted[f"{name}|clipped|{path}"]
        np.testing.assert_allclose(value, close, atol=1e-5, rtol=0, err_msg=path)
    losses = given[f"{name}|parts|losses"]
    assert len(losses) == 10
    if not wanted[f"{name}|parts|draws"]:  # else a clipped step is lost in what is drawn
        assert losses[-1] < losses[0]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "among"), WORKERS, ids=[*FEW, *REST])
def test_ten_steps_are_the_same_on_two_workers(name, among):
    """To 1e-5, or where a paper makes more of rounding to ten times what it makes of a nudge.

    Clipping to a thousandth moves the weights elsewhere, so it is seen to be done.
    """
    clipped = ten_steps("one", "clipped,parts", NAMES)
    alone, workers = (ten_steps(kind, "plain", among) for kind in ("one", "multi_worker"))
    weights = [key.split("|")[2] for key in workers if key.startswith(f"{name}|plain|")]
    weights = [path for path in weights if path not in ("losses", "draws")]
    assert weights
    for path in ("losses", *weights):
        value, wanted = (arrays[f"{name}|plain|{path}"] for arrays in (workers, alone))
        nudged = np.abs(alone[f"{name}|plain|nudged/{path}"] - wanted).max()
        close = max(1e-5, 10 * nudged)
        np.testing.assert_allclose(value, wanted, atol=close, rtol=0, err_msg=path)
    moved = [alone[f"{name}|plain|{path}"] - clipped[f"{name}|clipped|{path}"] for path in weights]
    assert max(np.abs(m).max() for m in moved) > 1e-4, "clipping makes a difference"
    losses = workers[f"{name}|plain|losses"]
    assert len(losses) == 10 and losses[-1] < losses[0]
