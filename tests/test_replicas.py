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


def ten_steps(kind: str) -> dict[str, np.ndarray]:
    """Losses and weights of all papers on one strategy."""
    arrays, said = _ten_steps(kind)
    assert arrays, said[-3000:]
    return arrays


@functools.cache
def _ten_steps(kind: str) -> tuple[dict[str, np.ndarray], str]:
    """What `tests/replicas.py` found, or nothing, and what it said; asked once, found or not."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.npz"
        environments = [{}]
        if kind == "multi_worker":
            workers = [f"127.0.0.1:{port}" for port in cluster.free_ports(2)]
            environments = [{"TF_CONFIG": json.dumps(cluster.task(workers, i))} for i in (0, 1)]
        running = [
            subprocess.Popen(
                [sys.executable, str(HERE / "replicas.py"), kind, str(out)],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for environment in environments
        ]
        try:
            said = "".join(process.communicate(timeout=280)[0] for process in running)
        except subprocess.TimeoutExpired as late:
            return {}, str(late)
        finally:
            for process in running:
                process.kill()
                process.wait()
        failed = any(process.returncode for process in running)
        return {} if failed else dict(np.load(out)), said


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("one", "parts"),
        ("mirrored", "cut"),
        ("multi_worker", "plain"),
    ],
)
@pytest.mark.parametrize("name", zoo.names())
def test_ten_steps_are_the_same_on_any_replicas_in_parts_and_compiled(name, kind, way):
    """To 1e-5, or where a paper makes more of rounding to ten times what it makes of a nudge."""
    wanted, given = ten_steps("one"), ten_steps(kind)

    def one(path):
        return wanted[f"{name}|plain|{path}"]

    nudged = f"{name}|plain|nudged/"
    paths = [key.removeprefix(nudged) for key in wanted if key.startswith(nudged)]
    assert "losses" in paths and len(paths) > 1
    for path in paths:
        close = max(1e-5, 10 * np.abs(one(f"nudged/{path}") - one(path)).max())
        value = given[f"{name}|{way}|{path}"]
        np.testing.assert_allclose(value, one(path), atol=close, rtol=0, err_msg=path)
    losses = given[f"{name}|{way}|losses"]
    assert len(losses) == 10 and abs(losses[0] - one("losses")[0]) < 1e-5
    assert losses[-1] < losses[0]
