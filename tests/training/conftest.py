"""The smallest run there is, for what happens around the steps, and trees of small pictures."""

import dataclasses
import pathlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest

from kmodels import gpt
from training import checkpoints, optimization, runs
from training import config as values
from training.data.windows import TokenWindows
from training.learners import gradient
from training.objectives.next_token import next_token

CONFIG = gpt.Config(vocab=11, context=4, depth=1, heads=1, width=4, bias=False, dropout=0.0)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A run of `mlp --preset=tiny` that ended, its flags and its export."""

    argv: tuple[str, ...]
    run_dir: pathlib.Path
    version: pathlib.Path


@pytest.fixture(scope="session")
def classifier(commands: Any, once: Any) -> Classifier:
    """A network whose export takes half the time of a GPT's; read it, never change it."""
    argv = "--model=mlp", "--preset=tiny", "--steps=20", "--compile=off"

    def train(folder: pathlib.Path) -> None:
        folders = f"--run-dir={folder / 'run'}", f"--export-dir={folder / 'exports'}"
        done = commands(*argv, *folders)
        assert done.status == 0, done.output

    folder = once("classifier", train)
    return Classifier(argv, folder / "run", folder / "exports" / "mlp" / "1")


@pytest.fixture
def make_run(tmp_path: pathlib.Path) -> Callable[..., values.Run]:
    """A run of a GPT of 300 weights; keywords replace fields of the run, its recipe or config."""

    def make(**changes: Any) -> values.Run:
        def of(kind: Any) -> dict[str, Any]:
            names = {f.name for f in dataclasses.fields(kind)}
            return {k: v for k, v in changes.items() if k in names}

        recipe = {
            "data": "docs",
            "codec": values.TextCodecChoice(),
            "learner": "gradient",
            "objective": "next_token",
            "optimizer": optimization.AdamW(learning_rate=1e-2, clip_norm=1.0),
            "schedule": optimization.Constant(),
            "batch_size": 4,
            "steps": 6,
            "log_every": 2,
            "eval_every": 2,
            "save_every": 2,
            "eval_batches": 2,
        }
        run = {
            "model": "gpt",
            "preset": "tiny",
            "config": dataclasses.replace(CONFIG, **of(gpt.Config)),
            "recipe": values.Recipe(**{**recipe, **of(values.Recipe)}),
            "data_sha256": "0",
            "run_dir": tmp_path / "run",
            "export_dir": tmp_path / "exports",
        }
        return values.Run(**{**run, **of(values.Run)})

    return make


@pytest.fixture
def make_learner() -> Callable[[values.Run], gradient.Gradient]:
    """The learner of a run, its weights from the run's seed."""

    def make(run: values.Run) -> gradient.Gradient:
        keras.utils.set_random_seed(run.seed)
        return gradient.make(gpt.build(run.config), next_token, run)

    return make


@pytest.fixture(scope="session")
def data() -> TokenWindows:
    """Windows of a text that counts to ten and starts again."""
    counting = np.arange(200, dtype=np.int32) % 11
    return TokenWindows(train=counting, eval=counting[:40], context=CONFIG.context)


@pytest.fixture(scope="session")
def same_tensors() -> Callable[[pathlib.Path, pathlib.Path], bool]:
    """Whether two checkpoints hold the same tensors to the bit."""
    from safetensors.numpy import load_file

    def same(one: pathlib.Path, other: pathlib.Path) -> bool:
        a, b = (load_file(folder / "state.safetensors") for folder in (one, other))
        assert a.keys() == b.keys()
        return all(a[name].tobytes() == b[name].tobytes() for name in a)

    return same


@pytest.fixture(scope="session")
def told() -> Callable[[pathlib.Path], list[dict[str, Any]]]:
    """What the log of a run folder says of the run; the machine is another at another time."""
    machine = {"tokens_per_second", "seconds", "mfu", "memory_gib", "gpu_memory_gib"}

    def entries(folder: pathlib.Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in e.items() if k not in machine} for e in runs.entries(folder)]

    return entries


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the thread that writes checkpoints, before the tensors, until the event is set."""
    event, real = threading.Event(), checkpoints.save_file

    def waiting(tensors: Any, file: pathlib.Path) -> None:
        assert event.wait(60)
        real(tensors, file)

    monkeypatch.setattr(checkpoints, "save_file", waiting)
    yield event
    event.set()


@pytest.fixture
def slow_disk(held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run saves is on disk no sooner than the run waits for it."""
    real = checkpoints.Saver.wait

    def wait(saver: checkpoints.Saver) -> None:
        held.set()
        real(saver)
        held.clear()

    monkeypatch.setattr(checkpoints.Saver, "wait", wait)


def photograph(rng: np.random.Generator) -> PIL.Image.Image:
    """A smooth picture in colours, 40 to 80 pixels a side."""
    height, width = (int(side) for side in rng.integers(40, 81, 2))
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    return coarse.resize((width, height), PIL.Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def make_tree() -> Callable[..., pathlib.Path]:
    """Writes JPEG and PNG files: four in each of three classes of each part; gives the folder."""

    def make(folder, parts=("train/", "val/"), classes=("cat", "dog", "eel"), count=4):
        rng = np.random.default_rng(0)
        for part in parts:
            for name in classes:
                place = folder / f"{part}{name}"
                place.mkdir(parents=True)
                for i in range(count):
                    photograph(rng).save(place / f"{i}.{'JPEG' if i % 2 else 'png'}")
        return folder

    return make


@pytest.fixture(scope="session")
def zipped() -> Callable[..., pathlib.Path]:
    """Packs a folder below a leading one; gives the zip."""

    def pack(folder, file, kind=zipfile.ZIP_DEFLATED, lead="pictures"):
        with zipfile.ZipFile(file, "w", kind) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, pathlib.Path(lead) / path.relative_to(folder))
        return file

    return pack
