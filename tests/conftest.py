"""What many tests share: a codec, small models, one trained and exported run, and processes.

Processes cost seconds, most of them spent importing TensorFlow. So `commands` imports once and
forks: each run of the command is a process of its own, with its own signals and its own death.
"""

import dataclasses
import fcntl
import gc
import importlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # compiles a fifth faster

import pytest

from training import quiet

ROOT = pathlib.Path(__file__).parents[1]
MINUTES = ("run", "replicas", "workers", "zoo", "loop", "signals", "guards", "step", "export")
TINY = ("--model=gpt", "--preset=tiny", "--save-every=10")  # 40 steps, evaluated at 20 and 40
NO_EXPORT = "export.publish = lambda run_dir, export_dir: run_dir / 'not exported'\n"
NO_SAMPLES = "training.recipes.gpt.evaluators = lambda model, prepared: []\n"

FORKING = """
import gc, importlib, json, os, sys
from training import quiet
quiet.import_tensorflow()
import tensorflow_text
from training import checkpoints, config, export, flags, journal, loop, run, saved_model, step
from training import strategy
import training.learners.gradient, training.objectives.next_token, training.recipes.gpt
import training.model_card, training.plots, training.report

gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    if "over" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["over"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        out = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        status = 70
        try:
            os.environ.update(job["environment"])
            exec(job["before"])
            status = importlib.import_module(f"training.{job['module']}").main(job["argv"])
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(child, flush=True)
"""


def pytest_configure(config: pytest.Config) -> None:
    """Who runs tests imports TensorFlow as commands do; the process above them never needs it.

    There graphs are run as they were traced: TensorFlow rewrites each before its first run, which
    takes as long as all else of that, and most tests run a graph a few times. The commands and
    servers that tests start have theirs rewritten, as users have.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        quiet.import_tensorflow()
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish() -> None:
    """What imports have left is never garbage, and looking at it again and again takes time."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes begin, so that at the end all processes have work."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in MINUTES)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A process that is over: its exit status (negative: the signal) and all it printed."""

    status: int
    output: str


class Begun:
    """A command that runs in a forked process; what it prints can be read line by line."""

    def __init__(self, pid: int, pipe: pathlib.Path, ask: Callable[[Any], int]) -> None:
        self.pid, self._ask = pid, ask
        self.stdout = pipe.open(encoding="utf-8")
        self.status: int | None = None

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, timeout: float = 240) -> Ended:
        """Waits for its end; gives what of its output was not read before."""
        descriptor = os.pidfd_open(self.pid)
        over, _, _ = select.select([descriptor], [], [], timeout)
        os.close(descriptor)
        assert over, f"it still runs after {timeout} seconds"
        self.status = self._ask({"over": self.pid})
        return Ended(self.status, self.stdout.read())

    def close(self) -> None:
        """Ends it if it still runs."""
        if self.status is None:
            self.signal(signal.SIGKILL)
            self._ask({"over": self.pid})
        self.stdout.close()


class Commands:
    """Runs `training`'s commands in processes forked from one that has its imports done."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.begun = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __call__(
        self, *argv: str, module: str = "run", before: str = "", **environment: str
    ) -> Ended:
        """Runs the command to its end.

        Args:
            module: Which command of `training`.
            before: Python that the new process runs first, where it can reach `training`'s
                modules by name: faults are put there.
        """
        output = self.folder / "output.txt"
        pid = self._fork(output, argv, module, before, environment)
        return Ended(self._ask({"over": pid}), output.read_text(encoding="utf-8"))

    def begin(self, *argv: str, module: str = "run", before: str = "", **environment: str) -> Begun:
        """As a call, but does not wait; who begins a command ends or closes it."""
        self.begun += 1
        pipe = self.folder / f"pipe-{self.begun}"
        os.mkfifo(pipe)
        return Begun(self._fork(pipe, argv, module, before, environment), pipe, self._ask)

    def _fork(self, output: pathlib.Path, argv: Any, module: str, before: str, more: Any) -> int:
        job = {"argv": argv, "module": module, "before": before, "environment": more}
        return self._ask({**job, "output": str(output)})

    def _ask(self, job: Any) -> int:
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the forking process died"
        return int(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `python -m training.run --model=gpt --preset=tiny` left behind in a folder."""

    argv: tuple[str, ...]
    folder: pathlib.Path

    @property
    def run_dir(self) -> pathlib.Path:
        return self.folder / "run"

    @property
    def export_dir(self) -> pathlib.Path:
        return self.folder / "exports"

    @property
    def version(self) -> pathlib.Path:
        return self.export_dir / "gpt" / "1"

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Runs `training`'s commands quickly; see `Commands`."""
    made = Commands(tmp_path_factory.mktemp("commands"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def no_export() -> str:
    """For `commands(before=...)`: the run ends without its export, which takes half the time."""
    return NO_EXPORT


@pytest.fixture(scope="session")
def no_samples() -> str:
    """For `commands(before=...)`: a GPT's run draws no samples, which takes seconds."""
    return NO_SAMPLES


@pytest.fixture(scope="session")
def bare() -> str:
    """As `no_export`, and without samples; together with `--compile=off` a run takes seconds."""
    return NO_EXPORT + NO_SAMPLES


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """Makes a folder once for all of pytest's processes: `once(name, make)` calls `make(folder)`.

    What several tests read takes half a minute to make.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
        folder = root / name
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "made").exists():
                make(folder)
                (folder / "made").touch()
        return folder

    return made


@pytest.fixture(scope="session")
def undisturbed(commands: Commands, once: Callable[..., pathlib.Path]) -> Trained:
    """A bare run that nothing disturbed; read it, never change it."""

    def argv(folder: pathlib.Path) -> tuple[str, ...]:
        return (*TINY, "--compile=off", f"--run-dir={folder / 'run'}")

    def train(folder: pathlib.Path) -> None:
        done = commands(*argv(folder), before=NO_EXPORT + NO_SAMPLES)
        assert done.status == 0, done.output
        (folder / "output.txt").write_text(done.output)

    folder = once("undisturbed", train)
    return Trained(argv(folder), folder)


@pytest.fixture(scope="module", autouse=True)
def left_behind() -> None:
    """What the files before have made and still hold is not looked at again by each collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_argv() -> tuple[str, ...]:
    """The flags of the shared run, without its folders."""
    return TINY


@pytest.fixture(scope="session")
def trained(once: Callable[..., pathlib.Path]) -> Trained:
    """The tiny GPT, trained and exported by the real command; read it, never change it."""

    def argv(folder: pathlib.Path) -> tuple[str, ...]:
        return (*TINY, f"--run-dir={folder / 'run'}", f"--export-dir={folder / 'exports'}")

    def train(folder: pathlib.Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "training.run", *argv(folder)],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        (folder / "output.txt").write_text(done.stdout)

    folder = once("trained", train)
    return Trained(argv(folder), folder)


@pytest.fixture
def training_main(
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ended]:
    """A command in this process, for what it refuses before anything is trained."""

    def call(*argv: str, module: str = "run") -> Ended:
        try:
            status = importlib.import_module(f"training.{module}").main(list(argv))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return Ended(status, captured.out + captured.err)

    return call


@pytest.fixture(scope="session")
def refused() -> Callable[..., str]:
    """Checks that a command ended as a user's error should; gives what it said."""

    def check(ended: Ended, *words: str) -> str:
        assert ended.status == 2, ended.output
        assert "Traceback" not in ended.output
        for word in words:
            assert word in ended.output, ended.output
        return ended.output

    return check


@pytest.fixture(scope="session")
def codec() -> Any:
    """A character codec of 32 characters."""
    from kmodels.core.codecs.characters import Characters

    return Characters.fit("abcdefghijklmnopqrstuvwxyz .,TIé")


@pytest.fixture
def float32_again() -> Iterator[None]:
    """Puts the number format of new layers back when the test ends."""
    import keras

    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def lively() -> Callable[..., Any]:
    """Perturbs every weight of a model, so that no part of it stands at a neutral value."""
    import numpy as np

    def perturb(model: Any, *, stddev: float = 0.05, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            noise = rng.normal(0.0, stddev, tuple(variable.shape)).astype("float32")
            variable.assign_add(noise)
        return model

    return perturb
