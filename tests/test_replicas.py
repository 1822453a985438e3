"""Papers on one replica, on two and in two worker processes: the same ten steps.

One of each kind by default, and all of them in the slow tier.
"""

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
TOGETHER = {  # by kind of strategy, papers that a process is asked for at once; then the others
    kind: (first, tuple(name for name in NAMES if name not in first))
    for kind, first in {"one": COMMON, "mirrored": COMMON, "multi_worker": FEW}.items()
}
WAYS = {"one": "parts", "mirrored": "parts", "multi_worker": "plain"}
ALIKE = [
    pytest.param(name, kind, id=f"{name}-{kind}", marks=[pytest.mark.slow] * turn)
    for kind, turns in TOGETHER.items()
    for turn, names in enumerate(turns)
    for name in names
]


def ten_steps_of(name: str, kind: str) -> dict[str, np.ndarray]:
    """Losses and weights of a paper, and of those that are trained with it, on one strategy."""
    (names,) = (names for names in TOGETHER[kind] if name in names)
    return ten_steps(kind, names)


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
@pytest.mark.parametrize(("name", "kind"), ALIKE)
def test_ten_steps_are_the_same_on_any_replicas_in_parts_and_compiled(name, kind):
    """To 1e-5, or where a paper makes more of rounding to ten times what it makes of a nudge.

    Clipping to a thousandth moves the weights elsewhere, so it is seen to be done.
    """
    way, wanted, given = WAYS[kind], ten_steps_of(name, "one"), ten_steps_of(name, kind)

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
