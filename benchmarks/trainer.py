"""What does the loop cost beside the step: its own work, its saves, its data?

    python -m benchmarks.trainer [--only overhead saves data]

`overhead`: a step of GPT `char` in the whole of `training.loop.train` (log, TensorBoard, bar on a
terminal, iterator, signals; no evaluation, no save) against the same learner's step in a graph over
the same batches held in memory, as many in a call, and nothing else; in turn, in one process.

`saves`: GPT of 25 million parameters (8 layers, width 512, 8 heads; 101 MB of weights, 303 MB with
AdamW's moments), batches of 8 x 64 tokens, a save every 100 steps. How long the loop stands still,
against the time between two saves and against one step; how much longer the steps take while the
thread writes; and the same when the loop waits for the disk (decision 0014).

`data`: examples a second of the pipeline alone, from memory; for `char`, against what the step
takes.
"""

import dataclasses
import json
import pathlib
import tempfile
from typing import Any, Literal

import tyro

from benchmarks import peers, record, trainer_jobs

Question = Literal["overhead", "saves", "data"]
ROUNDS: dict[Question, int] = {"overhead": 60, "saves": 5, "data": 7}
SAVES = ("stands still", "is written in", "steps take longer", "one step", "between two saves")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times what the loop costs beside the step.

    Attributes:
        only: Questions to ask; all where empty.
        rounds: Times that each peer has its turn; None is 60 for `overhead`, 5 for `saves` and 7
            for `data`.
        save: Whether to write docs/results/trainer-QUESTION.json and .png.
        worker: Used by the command itself.
        folder: Used by the command itself.
    """

    only: tuple[Question, ...] = ()
    rounds: int | None = None
    save: bool = True
    worker: str = ""
    folder: pathlib.Path = pathlib.Path()


def overhead(flags: Flags, rounds: int) -> None:
    """Milliseconds a step."""
    with tempfile.TemporaryDirectory() as place:
        given = [f"--folder={place}"]
        found = peers.measured(__file__, ["overhead"], rounds=rounds, units=1, arguments=given)
        turns = _turns(pathlib.Path(place), rounds)
    peers.warn(found.busy)
    values = {name: [1e3 * turn[name] for turn in turns] for name in ("ours", "bare")}
    title = "GPT char, a step in the whole training loop and in a bare one"
    about = dict.fromkeys(values, found.about["overhead"])
    peers.show(title, values, unit="ms", references=["bare"], about=about)
    if flags.save:
        record.record(
            "trainer-overhead",
            {"one step": values},
            unit="ms",
            title=title,
            ratios={"bare": peers.ratios(values, "bare")},
            about=about,
            others_share_of_cpu=found.busy,
        )


def _turns(folder: pathlib.Path, rounds: int) -> list[dict[str, float]]:
    """What a peer wrote of its last turns; those before warmed it up."""
    lines = (folder / trainer_jobs.TURNS).read_text().splitlines()
    return [json.loads(line) for line in lines[-rounds:]]


def saves(flags: Flags, rounds: int) -> None:
    """Milliseconds of each part of an interval with one save."""
    ways = {"ours": "saves-beside", "at once": "saves-at-once"}
    values: dict[str, dict[str, list[float]]] = {name: {} for name in SAVES}
    with tempfile.TemporaryDirectory() as place:
        folders = {name: pathlib.Path(place) / peer for name, peer in ways.items()}
        running: dict[str, peers.Peer] = {}
        try:
            for name, folder in folders.items():
                folder.mkdir()
                running[name] = peers.Peer(__file__, ways[name], [f"--folder={folder}"])
            peers.alternate(list(running.values()), rounds=rounds, units=1)
        finally:
            for peer in running.values():
                peer.close()
        for name, folder in folders.items():
            turns = _turns(folder, rounds)
            for part in SAVES:
                values[part][name] = [1e3 * turn[part] for turn in turns]
    shares = {
        reference: {
            name: peers.Spread.of(
                [a / b for a, b in zip(values["stands still"][name], row, strict=True)]
            )
            for name, row in values[reference].items()
        }
        for reference in ("between two saves", "one step")
    }
    about = {name: peer.about for name, peer in running.items()}
    title = "GPT of 25 million parameters, a save every 100 steps"
    for part, rows in values.items():
        peers.show(f"{title}: {part}", rows, unit="ms", references=(), about=about)
    for reference, by in shares.items():
        for name, spread in by.items():
            said = f"{100 * spread.median:.2f} ({100 * spread.low:.2f} to {100 * spread.high:.2f})"
            print(f"{name}: stands still for {said} % of the time of '{reference}'")
    others = max(peer.others for peer in running.values())
    peers.warn(others)
    if flags.save:
        record.record(
            "trainer-saves",
            values,
            unit="ms",
            title=title,
            shares_of_standing_still=shares,
            about=about,
            others_share_of_cpu=others,
        )


def data(flags: Flags, rounds: int) -> None:
    """Examples a second."""
    values: dict[str, dict[str, list[float]]] = {}
    ratios: dict[str, Any] = {}
    abouts: dict[str, dict[str, str]] = {}
    others: dict[str, float] = {}
    for preset, batch in trainer_jobs.BATCH.items():
        kinds = {"pipeline": trainer_jobs.WINDOWS}
        peer_names = {"pipeline": f"windows:{preset}"}
        if preset in trainer_jobs.STEPS:
            kinds["step"], peer_names["step"] = trainer_jobs.STEPS, f"step:{preset}"
        found = peers.measured(__file__, list(peer_names.values()), rounds=rounds, units=1)
        peers.warn(found.busy)
        rates = {
            kind: [batch * units[preset] / s for s in found.seconds[peer_names[kind]]]
            for kind, units in kinds.items()
        }
        about = {kind: found.about[peer_names[kind]] for kind in kinds}
        title = f"Windows of {preset} from memory, and what the training step takes of them"
        references = ["step"] if "step" in rates else []
        peers.show(title, rates, unit="examples/s", references=references, about=about)
        values[preset], abouts[preset], others[preset] = rates, about, found.busy
        if references:
            ratios[preset] = {"step": peers.ratios(rates, "step")}
    if flags.save:
        record.record(
            "trainer-data",
            values,
            unit="examples/s",
            title="The data pipeline alone, and what the training step takes of it",
            ratios=ratios,
            about=abouts,
            others_share_of_cpu=others,
        )


def main() -> None:
    """Asks the questions one after another, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.trainer")
    if flags.worker:
        trainer_jobs.work(flags.worker, flags.folder)
        return
    asked = {"overhead": overhead, "saves": saves, "data": data}
    for question, usual in ROUNDS.items():
        if not flags.only or question in flags.only:
            asked[question](flags, usual if flags.rounds is None else flags.rounds)


if __name__ == "__main__":
    main()
