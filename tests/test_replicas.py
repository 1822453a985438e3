"""Every paper on one replica, on two and in two worker processes: the same ten steps."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import pytest

from kmodels.core import zoo
from tests.golden import generate as golden
from training import cluster, recipes

HERE = pathlib.Path(__file__).parent
NAMES = tuple(zoo.names())
FEW = "dcgan", "forward_forward", "gpt"  # every learner with gradients, and a batch's statistics


def kind_of(name: str) -> tuple[str, str, bool]:
    """What papers that are trained alike have in common."""
    config = zoo.load(name).PRESETS["tiny"]
    recipe = recipes.load(name).recipe(config)
    return recipe.learner, recipe.objective, hasattr(config, "statistics")


def common() -> tuple[str, ...]:
    """Those few and of every other kind the smallest paper: tracing all of them takes minutes."""

    def size(name: str) -> tuple[bool, int]:
        paper = zoo.load(name)
        return name not in FEW, paper.param_count(golden.config_of(paper))

    of_kind = {kind_of(name): name for name in sorted(NAMES, key=size, reverse=True)}
    return tuple(sorted({*FEW, *of_kind.values()}))


COMMON = common()
OTHERS = tuple(name for name in NAMES if name not in COMMON)


def asked(first: tuple[str, ...]) -> list[Any]:
    """(paper, papers of its process): those named, and in the slow tier the others."""
    rest = tuple(name for name in NAMES if name not in first)
    slow = (pytest.param(name, rest, marks=pytest.mark.slow, id=name) for name in rest)
    return [*(pytest.param(name, first, id=name) for name in first), *slow]


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
@pytest.mark.parametrize(("name", "among"), asked(COMMON))
def test_ten_steps_are_the_same_on_two_replicas_in_parts_and_compiled(name, among, kind):
    """To 1e-5 of the weights. Losses of what a step draws need not fall in ten steps."""
    wanted = ten_steps("one", "clipped,parts", among)
    given = wanted if kind == "one" else ten_steps(kind, "parts", among)
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
@pytest.mark.parametrize(("name", "among"), asked(FEW))
def test_ten_steps_are_the_same_on_two_workers(name, among):
    """To 1e-5, or where a paper makes more of rounding to ten times what it makes of a nudge.

    Clipping to a thousandth moves the weights elsewhere, so it is seen to be done.
    """
    clipped = ten_steps("one", "clipped,parts", COMMON if name in COMMON else OTHERS)
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
