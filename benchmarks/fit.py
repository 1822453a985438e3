"""What do `keras.Model.fit` and this trainer do under each strategy?

    python -m benchmarks.fit

The strategies: one device; two replicas in a process (MirroredStrategy over two logical CPUs); two
worker processes on this machine (MultiWorkerMirroredStrategy). Each training is a process of its
own with a time limit, see `benchmarks.fit_cases`; what happened is recorded, a number or the
beginning of the error. The answers depend on versions, not on the machine's speed.
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rich
import tyro

from benchmarks import record
from training import cluster

STRATEGIES = ("one", "mirrored", "workers")
WHO = ("fit", "ours")
ROUNDING = 1e-5  # largest difference of a weight that float32 sums in another order explain
GRACE_SECONDS = 20  # for the other worker, when one has failed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains in every way and records what happened.

    Attributes:
        only: Questions to ask; all where empty.
        limit_seconds: For one training.
        save: Whether to write docs/results/fit.json and .png.
    """

    only: tuple[str, ...] = ()
    limit_seconds: float = 240
    save: bool = True


@dataclasses.dataclass(frozen=True)
class Answer:
    """What happened: `works`, `wrong` or `fails`, and the number or the error's beginning."""

    outcome: str
    detail: str


class Failed(Exception):
    """A training ended by an error; the message is how that begins."""


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Runs the trainings of one way under one strategy, each at most once."""

    who: str
    strategy: str
    folder: pathlib.Path
    limit_seconds: float

    @property
    def programs(self) -> pathlib.Path:
        """Where XLA writes what it compiles."""
        return self.folder / "programs"

    def weights(self, question: str) -> list[np.ndarray]:
        """The trainable weights at the end of a training."""
        self.found(question)
        return list(np.load(self.folder / f"{question}.npz").values())

    def found(self, question: str) -> dict[str, Any]:
        """What else the training noted; raises Failed with the reason where it did not end."""
        file = self.folder / f"{question}.json"
        error = self.folder / f"{question}.txt"
        if not file.exists() and not error.exists():
            said = self.run(question)
            if said:
                error.write_text(said)
        if error.exists():
            raise Failed(error.read_text())
        return dict(json.loads(file.read_text()))

    def run(self, question: str) -> str:
        """Runs the training's process or processes; gives what went wrong, or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        said = self.folder / "error.txt"
        said.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.fit_cases", f"--who={self.who}"]
        command += [f"--strategy={self.strategy}", f"--question={question}"]
        command += [f"--folder={self.folder}"]
        dump = {"XLA_FLAGS": f"--xla_dump_to={self.programs}"} if question == "xla" else {}
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = [
            subprocess.Popen(command, cwd=record.ROOT, env={**os.environ, **dump, **more}, **quiet)
            for more in clusters(self.strategy)
        ]
        try:
            status = wait(running, time.monotonic() + self.limit_seconds)
        finally:
            for process in running:
                process.kill()
                process.wait()
        if said.exists():
            return plain(said.read_text())
        if status is None:
            return f"not ended after {self.limit_seconds:.0f} s"
        return f"the process ended with status {status}" if status else ""


def clusters(strategy: str) -> list[dict[str, str]]:
    """The environment of each process of a strategy."""
    if strategy != "workers":
        return [{}]
    workers = [f"127.0.0.1:{port}" for port in cluster.free_ports(2)]
    tasks = [{"type": "worker", "index": i} for i in range(2)]
    return [{"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": t})} for t in tasks]


def wait(running: Sequence[subprocess.Popen[bytes]], deadline: float) -> int | None:
    """The first status that is not 0, or 0; None where they do not end in time."""
    while time.monotonic() < deadline:
        statuses = [process.poll() for process in running]
        bad = [s for s in statuses if s]
        if None not in statuses:
            return bad[0] if bad else 0
        if bad:
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        time.sleep(0.1)
    statuses = [process.poll() for process in running]
    return next((s for s in statuses if s), None)


def plain(said: str) -> str:
    """An error's beginning without colours, numbers and folders; at most 160 signs."""
    for found, put in (
        (r"\x1b\[[0-9;]*m", ""),
        (r"(?<![\w.])/\S+/", ""),
        (r"0x[0-9a-f]+", "0x..."),
        (r"PerReplica:\{.*", "PerReplica:{...}"),
    ):
        said = re.sub(found, put, said)
    return said if len(said) <= 160 else said[:157] + "..."


def apart(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The largest difference of a weight."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def trains(trainer: Trainer, plain: Trainer) -> Answer:
    finite = all(np.isfinite(w).all() for w in trainer.weights("plain"))
    return Answer("works" if finite else "wrong", "10 steps")


def like_plain(question: str) -> Callable[[Trainer, Trainer], Answer]:
    """Whether the weights are those of the same steps, taken plainly on one device."""

    def answer(trainer: Trainer, plain: Trainer) -> Answer:
        away = apart(trainer.weights(question), plain.weights("plain"))
        return Answer("works" if away <= ROUNDING else "wrong", f"{away:.1g} away")

    return answer


def compiles(trainer: Trainer, plain: Trainer) -> Answer:
    """As `like_plain`; and XLA must have compiled the gradients, so a large program."""
    answer = like_plain("xla")(trainer, plain)
    texts = [file.read_text() for file in trainer.programs.glob("*before_optimizations.txt")]
    if not any(" dot(" in text for text in texts):
        return Answer("wrong", "no matrix product was compiled")
    return answer


def clips(trainer: Trainer, plain: Trainer) -> Answer:
    from benchmarks.fit_cases import BOUND

    moved = trainer.found("clip")["moved"]
    right = abs(moved - BOUND) <= ROUNDING
    return Answer("works" if right else "wrong", f"moved by {moved:.3f}, bound {BOUND:.3f}")


def resumes(trainer: Trainer, plain: Trainer) -> Answer:
    """The same command after SIGKILL, against a run that nobody disturbed."""
    whole = trainer.found("undisturbed")["updates"]
    try:
        trainer.found("killed")
        return Answer("fails", "the process could not be killed in time")
    except Failed as error:
        if "status -9" not in str(error):
            raise
    made = trainer.found("resumed")["updates"]
    away = apart(trainer.weights("resumed"), trainer.weights("undisturbed"))
    same = made == whole and away == 0
    detail = f"{made} updates for {whole}, {away:.1g} away"
    return Answer("works" if same else "wrong", detail)


def seeds(trainer: Trainer, plain: Trainer) -> Answer:
    """Whether dropout's generators stand where they stood, in a process that loads the file."""
    saved, loaded = (trainer.found(name)["seeds"] for name in ("saved", "loaded"))
    assert saved, "the network has generators"
    detail = f"state {saved[0]} saved, {loaded[0]} loaded"
    return Answer("works" if saved == loaded else "wrong", detail)


QUESTIONS: dict[str, tuple[str, Callable[[Trainer, Trainer], Answer]]] = {
    "plain": ("trains at all", trains),
    "same": ("same weights as one device, 10 steps", like_plain("plain")),
    "xla": ("XLA on (jit_compile=True, --compile=on)", compiles),
    "many": ("5 steps in a call (steps_per_execution, --log-every)", like_plain("many")),
    "accumulate": ("accumulation over 4 parts of a batch", like_plain("accumulate")),
    "clip": ("gradient clipped to norm 0.1, one step of SGD(1)", clips),
    "resume": ("goes on after kill -9, dropout on, to the bit", resumes),
    "seeds": ("dropout's generators are in the saved file", seeds),
}


def draw(file: pathlib.Path, answers: dict[str, dict[str, dict[str, Answer]]]) -> None:
    """A square an answer: works, wrong, fails."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    colours = {"works": "#5b8c5a", "wrong": "#d9a441", "fails": "#c1440e"}
    columns = [(who, strategy) for who in WHO for strategy in STRATEGIES]
    figure, axis = pyplot.subplots(figsize=(11, 0.6 * len(answers) + 1.2))
    for row, asked in enumerate(answers.values()):
        for column, (who, strategy) in enumerate(columns):
            found = asked[who][strategy].outcome
            axis.add_patch(patches.Rectangle((column, row), 0.96, 0.92, color=colours[found]))
            place = (column + 0.48, row + 0.46)
            axis.annotate(found, place, ha="center", va="center", color="white")
    names = {"fit": "Model.fit", "ours": "this trainer"}
    ticks = [f"{names[who]}\n{strategy}" for who, strategy in columns]
    axis.set_xticks([c + 0.48 for c in range(len(columns))], ticks)
    axis.set_yticks([r + 0.46 for r in range(len(answers))], [QUESTIONS[q][0] for q in answers])
    axis.set(xlim=(0, len(columns)), ylim=(len(answers), 0))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    figure.tight_layout()
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    """Asks every question of both ways under every strategy, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.fit")
    asked = {q: QUESTIONS[q] for q in QUESTIONS if not flags.only or q in flags.only}
    answers: dict[str, dict[str, dict[str, Answer]]] = {q: {} for q in asked}
    with tempfile.TemporaryDirectory() as place:
        for who in WHO:
            trainers = {
                s: Trainer(who, s, pathlib.Path(place) / who / s, flags.limit_seconds)
                for s in STRATEGIES
            }
            for question, (title, ask) in asked.items():
                answers[question][who] = {}
                for name, trainer in trainers.items():
                    try:
                        answer = ask(trainer, trainers["one"])
                    except Failed as error:
                        answer = Answer("fails", str(error))
                    answers[question][who][name] = answer
                    line = f"{who:5} {name:9} {title}: {answer.outcome} ({answer.detail})"
                    rich.get_console().print(line, markup=False, highlight=False)
    if flags.save:
        record.record(
            "fit",
            {},
            unit="",
            title="Model.fit and this trainer",
            picture=lambda file: draw(file, answers),
            questions={q: title for q, (title, _) in asked.items()},
            answers=answers,
        )


if __name__ == "__main__":
    main()
