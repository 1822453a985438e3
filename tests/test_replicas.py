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
ALIKE = [  # workers are asked for few papers, and in the slow tier for the others
    *((name, NAMES, kind, "parts") for kind in ("one", "mirrored") for name in NAMES),
    *((name, FEW, "multi_worker", "plain") for name in FEW),
    *(pytest.param(name, REST, "multi_worker", "plain", marks=pytest.mark.slow) for name in REST),
]


def ten_steps(kind: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Losses and weights of papers on one strategy."""
    arrays, said = _ten_steps(kind, names)
    assert arrays, said[-3000:]
    return arrays


@functools.cache
def _ten_steps(kind: str, names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], str]:
    """What `tests/replicas.py` found, or nothing, and what it said; asked once, found or not."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.npz"
        environments = [{}]
        if kind == "multi_worker":
            workers = [f"127.0.0.1:{port}" for port in cluster.free_ports(2)]
            environments = [{"TF_CONFIG": json.dumps(cluster.task(workers, i))} for i in (0, 1)]
        running = [
            subprocess.Popen(
                [sys.executable, str(HERE / "replicas.py"), kind, str(out), *names],
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
@pytest.mark.parametrize(
    ("name", "among", "kind", "way"),
    ALIKE,
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_ten_steps_are_the_same_on_any_replicas_in_parts_and_compiled(name, among, kind, way):
    """To 1e-5, or where a paper makes more of rounding to ten times what it makes of a nudge.

    Clipping to a thousandth moves the weights elsewhere, so it is seen to be done.
    """
    wanted, given = ten_steps("one", NAMES), ten_steps(kind, among)

    def one(way, path):
        return wanted[f"{name}|{way}|{path}"]

    paths = [key.split("|")[2] for key in wanted if key.startswith(f"{name}|parts|")]
    weights = [path for path in paths if path not in ("losses", "draws")]
    assert weights
    for path in ("losses", *weights):
        value, close = given[f"{name}|{way}|{path}"], 1e-5
        if way == "plain":
            close = max(close, 10 * np.abs(one(way, f"nudged/{path}") - one(way, path)).max())
        same_as = "plain" if way == "plain" else "clipped"
        np.testing.assert_allclose(value, one(same_as, path), atol=close, rtol=0, err_msg=path)
    moved = [one("plain", path) - one("clipped", path) for path in weights]
    assert max(np.abs(m).max() for m in moved) > 1e-4, "clipping makes a difference"
    plain, losses = one("plain", "losses"), given[f"{name}|{way}|losses"]
    assert len(losses) == 10 and abs(losses[0] - plain[0]) < 1e-5 and plain[-1] < plain[0]
    if way == "plain" or not one("plain", "draws"):  # else a clipped step is lost in what is drawn
        assert losses[-1] < losses[0]
