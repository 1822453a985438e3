"""The command: a run's checkpoint, judged again on held-out data or on other data.

python -m training.evaluate runs/gpt-char-docs
python -m training.evaluate runs/vgg-digits-digits --views=10-crop
python -m training.evaluate runs/vae-mnist-mnist --generated=10000
"""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import rich.console
import rich.table
import tyro

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from training import command, runs
from training.config import Precision, Run, UserError, check

SPLITS = {"eval": "held-out", "train": "training"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Evaluates a run's checkpoint: its numbers, and what the model makes of a prompt.

    Without other flags the numbers are those that logs.jsonl has for that step. Text is read by the
    run's own codec, so other data can be evaluated too. Of pictures, several views may be looked at
    and their class probabilities averaged. Pictures that a model makes of seeds may be compared
    with as many real ones, in numbers that `training.evaluators.likeness` explains. Nothing is
    written.

    Attributes:
        run_dir: A folder that training.run wrote, such as runs/gpt-char-docs.
        checkpoint: best (the lowest watched number), last, or a step.
        split: Held-out data, or what was trained on.
        eval_batches: Batches to look at; default as in the run.
        data: Where examples come from; default as in the run.
        data_dir: A file or folder to read them from; default as in the run.
        precision: float32, or bfloat16 computation; default as in the run.
        views: What is seen of a picture: 1-crop, its middle, as in the run; 10-crop, corners and
            middle and these mirrored; dense, all of it and mirrored, by vgg and resnet.
        scale: Pixels of the short side before 10-crop and dense; default as in the run.
        generated: Pictures to make, of the seeds from 0 on, and to compare with real ones of the
            split; the other split gives each number's floor.
        extractor: Whose features are compared; default is the one that was trained on the data.
        json: Prints one JSON object in place of a table; pictures are left out.
    """

    run_dir: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="RUN")]
    checkpoint: Annotated[str, tyro.conf.arg(metavar="best|last|STEP")] = "best"
    split: Literal["eval", "train"] = "eval"
    eval_batches: int | None = None
    data: str | None = None
    data_dir: pathlib.Path | None = None
    precision: Precision | None = None
    views: Literal["1-crop", "10-crop", "dense"] = "1-crop"
    scale: int | None = None
    generated: int | None = None
    extractor: str | None = None
    json: tyro.conf.FlagCreatePairsOff[bool] = False


def evaluate(flags: Flags) -> dict[str, Any]:
    """The checkpoint's step, its numbers, and what the evaluators show, by name.

    Raises:
        UserError: no such run or checkpoint, or data that this run's codec cannot read.
    """
    from kmodels.core import zoo
    from kmodels.core.codecs import folder as codec_folder
    from training import loop, recipes, strategy, views
    from training.data import encoded
    from training.run import learner_of

    run = asked(runs.read(flags.run_dir), flags)
    module = recipes.load(run.model)
    try:
        codec = codec_folder.load(flags.run_dir / "codec")
    except ValueError as error:
        raise UserError(f"{flags.run_dir} has no codec: {error}") from None
    paper = zoo.load(run.model)
    seen = views.choose(flags.views, flags.scale, model=run.model, paper=paper, codec=codec)
    prepared = module.prepare(run.config, run.recipe, run.data_dir, codec=codec)
    if flags.data is None and flags.data_dir is None and prepared.sha256 != run.data_sha256:
        raise UserError(
            f"The data of {flags.run_dir} have changed since it was trained; give --data="
            f"{run.recipe.data} or --data-dir to evaluate it on what is there now."
        )
    if seen is not None and seen.kind == "dense":  # pictures of any sides, one at a time
        run = dataclasses.replace(run, strategy="one", replicas=None)
    chosen = strategy.make(run.strategy, replicas=run.replicas)
    learner = learner_of(run, chosen)
    step = _restore(flags, learner)
    evaluators = () if seen is not None else _evaluators(flags, run, learner.model, prepared)
    data: Any = prepared.data
    if seen is not None:
        run = seen.run(run, data, chosen.num_replicas_in_sync)
        learner = dataclasses.replace(learner, objective=seen.objective)
        data = seen.data(data)
    look = loop.evaluation(
        run, learner, data, strategy=chosen, evaluators=evaluators, split=flags.split
    )
    with encoded.readable(prepared.data):
        logs, shown = look(lambda: 0) or ({}, {})
    told = {"step": step, "split": flags.split, **_views(flags, codec, seen)}
    return {**told, **_numbers(logs), **shown}


def _evaluators(flags: Flags, run: Run, model: Any, prepared: Any) -> Sequence[Any]:
    """The recipe's, or what compares made pictures with real ones."""
    from kmodels.core import zoo
    from training import recipes
    from training.evaluators import likeness

    if flags.generated is None:
        return recipes.load(run.model).evaluators(model, prepared)
    endpoint = zoo.load(run.model).endpoints(model, prepared.codec)["serving_default"]
    if not likeness.answers(endpoint, prepared.codec):
        raise UserError(
            f"--generated: the {run.model} of {flags.run_dir} makes no pictures of a seed alone; "
            "leave it out."
        )
    return [
        likeness.thorough(
            endpoint,
            prepared,
            count=flags.generated,
            split=flags.split,
            extractor=flags.extractor,
        )
    ]


def _restore(flags: Flags, learner: Any) -> int:
    """Sets the learner's state to that of the checkpoint that is meant; gives its step."""
    from training import checkpoints

    def read(checkpoint: pathlib.Path) -> int:
        return checkpoints.restore(checkpoint, learner.state).step

    try:
        return runs.first_readable(flags.run_dir, flags.checkpoint, read)
    except checkpoints.Foreign as error:
        raise UserError(f"Checkpoint {error}; other code made it.") from None


def _views(flags: Flags, codec: Any, seen: Any) -> dict[str, Any]:
    """How pictures were looked at, and how many were made."""
    from kmodels.core.codecs.images import Images

    scale = {} if seen is None else {"scale": seen.scale}
    made = {} if flags.generated is None else {"generated": flags.generated}
    return {"views": flags.views, **scale, **made} if isinstance(codec, Images) else {}


def asked(run: Run, flags: Flags) -> Run:
    """The run with what the flags change; of several machines' workers, one is enough here."""
    from training import cluster

    count = run.recipe.eval_batches if flags.eval_batches is None else flags.eval_batches
    check(count >= 1, "--eval-batches", count, "be at least 1")
    if flags.extractor is not None and flags.generated is None:
        raise UserError("--extractor is whose features --generated compares; give both.")
    if flags.generated is not None and flags.views != "1-crop":
        raise UserError("--generated compares what a model makes, and --views what it sees.")
    other = flags.data is not None or flags.data_dir is not None
    alone = run.strategy == "multi_worker" or cluster.describe(os.environ) is not None
    recipe = dataclasses.replace(run.recipe, data=flags.data or run.recipe.data, eval_batches=count)
    return dataclasses.replace(
        run,
        recipe=recipe,
        data_dir=flags.data_dir if other else run.data_dir,
        precision=flags.precision or run.precision,
        strategy="one" if alone else run.strategy,
        replicas=None if alone else run.replicas,
    )


def _numbers(logs: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in logs.items() if name != "weight"}


def show(result: dict[str, Any], run: Run, console: rich.console.Console) -> None:
    """The texts, then a table of the numbers."""
    for name, value in result.items():
        if isinstance(value, str) and name not in ("split", "views"):
            console.rule(name, style="dim")
            console.print(value, markup=False, highlight=False)
            console.rule(style="dim")
    what = f"{run.model} {run.preset} at step {result['step']:,}, {SPLITS[result['split']]} data"
    what += f", {result['views']}" if "views" in result else ""
    what += f" at scale {result['scale']}" if "scale" in result else ""
    what += f", {result['generated']:,} generated pictures" if "generated" in result else ""
    console.print(what, highlight=False)
    table = rich.table.Table()
    table.add_column("number")
    table.add_column("value", justify="right")
    for name, value in result.items():
        if isinstance(value, float):
            small = 0 < abs(value) < 0.01
            table.add_row(name, f"{value:.2e}" if small else f"{value:.4f}")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""

    def work() -> int:
        words = sys.argv[1:] if argv is None else argv
        flags = command.parse(Flags, words, name="training.evaluate")
        runs.described(flags.run_dir)
        runs.check_which(flags.checkpoint)
        from training import quiet

        quiet.import_tensorflow()
        result = evaluate(flags)
        if flags.json:
            said = {k: v for k, v in result.items() if isinstance(v, str | int | float)}
            print(json.dumps({"run_dir": str(flags.run_dir), **said}, ensure_ascii=False))
        else:
            show(result, runs.read(flags.run_dir), rich.console.Console(soft_wrap=True))
        return 0

    return command.guard("training.evaluate", work)


if __name__ == "__main__":
    sys.exit(main())
