"""The command: flags to a run, the run to trained weights, an export and how to serve it.

python -m training.run --model=gpt
"""

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import rich.console

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from training.command import guard
from training.config import Run, UserError, to_json


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status: 0, 1 for the machine's errors, 2 for the user's."""
    console = rich.console.Console(soft_wrap=True)
    words = sys.argv[1:] if argv is None else argv
    return guard(
        "training.run",
        lambda: command(words, console),
        failed="what was saved before is untouched, and the same command goes on from there",
        interrupted="the same command goes on",
    )


def command(argv: Sequence[str], console: rich.console.Console) -> int:
    """`main` without its error messages."""
    from training import quiet

    quiet.import_tensorflow()
    from training import flags as command_line

    if "--list" in argv:
        console.print(command_line.listing(), highlight=False)
        return 0
    flags, recipe = command_line.parse(argv)
    from training import cluster, initial, recipes, runs, strategy

    recipe = initial.preprocessed(recipe, flags, folder(flags, recipe))
    if flags.describe:
        return describe(flags, recipe)

    if flags.spawn is not None and not cluster.spawned():
        return cluster.spawn(flags.spawn, argv)
    chosen = strategy.make(flags.strategy, replicas=flags.replicas)
    if compiles(flags, recipe) and chosen.num_replicas_in_sync == 1:
        share_cores(flags.config, recipe)
    prepared = recipes.load(flags.model).prepare(flags.config, recipe, flags.data_dir)
    run = resolve(flags, recipe, prepared.config, prepared.sha256)
    run = dataclasses.replace(run, arguments=tuple(argv))
    if flags.dry_run:
        return dry(run, prepared, chosen, console)
    runs.check_folder(run, publishes=not flags.no_export)
    writes = strategy.is_chief(chosen)
    with runs.held(run.run_dir) if writes else contextlib.nullcontext():
        return go(run, prepared, chosen, console, publish=not flags.no_export)


def describe(flags: Any, recipe: Any) -> int:
    """Prints the run and its number of parameters; reads the data only where they decide it."""
    from kmodels.core import zoo
    from training import recipes

    config, sha256 = flags.config, ""
    if zoo.open_fields(config):
        prepared = recipes.load(flags.model).prepare(config, recipe, flags.data_dir)
        config, sha256 = prepared.config, prepared.sha256
    print(to_json(resolve(flags, recipe, config, sha256)), end="")
    print(f"parameters  {zoo.load(flags.model).param_count(config):,}")
    return 0


def folder(flags: Any, recipe: Any) -> pathlib.Path:
    """Where the run is written."""
    usual = pathlib.Path("runs") / f"{flags.model}-{flags.preset}-{recipe.data}"
    return usual if flags.run_dir is None else pathlib.Path(flags.run_dir)


def resolve(flags: Any, recipe: Any, config: Any, data_sha256: str) -> Run:
    """The run that flags, recipe, config and data make together.

    Raises:
        UserError: a journal or a step to profile that cannot be had, or no head to train alone.
    """
    from training import journals, profiling

    if recipe.freeze and not hasattr(config, "classes"):
        raise UserError(
            f"--freeze trains a classifier's head alone, and {flags.model} has none; leave it out."
        )
    return Run(
        model=flags.model,
        preset=flags.preset,
        config=config,
        recipe=recipe,
        seed=flags.seed,
        strategy=flags.strategy,
        replicas=flags.replicas,
        precision=flags.precision,
        compile=compiles(flags, recipe),
        data_dir=flags.data_dir,
        data_sha256=data_sha256,
        init_from=flags.init_from,
        run_dir=folder(flags, recipe),
        export_dir=flags.export_dir,
        journals=journals.chosen(flags.journals),
        profile=profiling.steps(flags.profile, recipe.steps),
    )


def compiles(flags: Any, recipe: Any) -> bool:
    """Whether XLA compiles the step."""
    chosen: bool = recipe.xla if flags.compile == "auto" else flags.compile == "on"
    return chosen


def share_cores(config: Any, recipe: Any) -> None:
    """`step.share_cores` for a compiled step that may be cut; batch normalisation's may not."""
    from training import step

    if not hasattr(config, "statistics"):
        step.share_cores(recipe.batch_size // recipe.micro_batches // recipe.critic_steps)


def go(
    run: Run, prepared: Any, chosen: Any, console: rich.console.Console, *, publish: bool
) -> int:
    """Trains, exports, and says what to do next; all workers end together."""
    import tensorflow as tf

    from training import guards, loop, recipes, record, report, strategy

    began = time.perf_counter()
    try:
        progress = trained(run, prepared, chosen, console)
        said = (
            f"Trained to step {progress.step:,} in {time.perf_counter() - began:.0f} s; best "
            f"{run.recipe.watch} {progress.best:.4f} at step {progress.best_step:,}."
        )

        def ended() -> int:
            mfu = record.read(run.run_dir).typical("mfu")
            console.print(said + (f" MFU {mfu:.1%}." if mfu else ""), highlight=False)
            if left := recipes.leave(run.model, run.run_dir):
                console.print(left, highlight=False, markup=False)
            if publish:
                return exported(run, prepared, console)
            console.print(f"Report: {report.write(run.run_dir)}", highlight=False, markup=False)
            return 0

        return strategy.by_chief(chosen, ended)
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
        if strategy.workers(chosen) == 1:
            raise
        print(
            "training.run: another worker has ended or cannot be reached; the same command goes "
            f"on from the last checkpoint, in all workers. ({str(error).splitlines()[0]})",
            file=sys.stderr,
        )
        return 1
    except guards.Diverged as error:
        print(f"training.run: {error}", file=sys.stderr)
        told(run, chosen)
        return 1
    except loop.Interrupted as stop:
        console.print(
            f"Stopped by {signal.Signals(stop.number).name}; step {stop.step:,} is saved in "
            f"{run.run_dir}. The same command goes on from there.",
            highlight=False,
        )
        told(run, chosen)
        return 128 + stop.number


def told(run: Run, chosen: Any) -> None:
    """Writes the report of a run that stops; the chief does."""
    from training import report, strategy

    if strategy.is_chief(chosen):
        report.write(run.run_dir)


def exported(run: Run, prepared: Any, console: rich.console.Console) -> int:
    """Publishes the run's best weights and prints the next commands; gives the exit status."""
    from training import export, recipes, report, saved_model

    try:
        published = export.publish(run.run_dir, run.export_dir)
    except saved_model.Rejected as error:
        print(f"training.run: {error}", file=sys.stderr)
        return 1
    (run.run_dir / "export.json").write_text(json.dumps({"folder": str(published)}) + "\n")
    console.print(f"Report: {report.write(run.run_dir)}", highlight=False, markup=False)
    question = recipes.load(run.model).ask(prepared.codec, prepared.config, published)
    console.print(export.said(published, question), highlight=False, markup=False)
    return 0


def learner_of(run: Run, chosen: Any) -> Any:
    """The run's learner with a new model, made in the strategy's scope from the run's seed."""
    import keras
    import tensorflow as tf

    from kmodels.core import classifying, zoo

    keras.utils.set_random_seed(run.seed)
    keras.config.set_dtype_policy(run.precision)
    tf.config.experimental.enable_op_determinism()
    name = run.recipe.objective
    objective = getattr(importlib.import_module(f"training.objectives.{name}"), name)
    learners = importlib.import_module(f"training.learners.{run.recipe.learner}")
    with chosen.scope():
        model = zoo.load(run.model).build(run.config)
        if run.recipe.freeze:
            classifying.freeze(model)
        return learners.make(model, objective, run)


def trained(run: Run, prepared: Any, chosen: Any, console: rich.console.Console) -> Any:
    """Makes the learner, and the journal beside it, and trains; gives the loop's progress."""
    from kmodels.core import zoo
    from training import checkpoints, initial, loop, recipes, strategy
    from training.data import encoded
    from training.journal import Journal

    parts = run.recipe.micro_batches * run.recipe.critic_steps
    strategy.check_divides(run.recipe.batch_size, chosen, parts)
    agree(run, chosen)
    module = recipes.load(run.model)
    learner = learner_of(run, chosen)
    model = learner.model
    begun = checkpoints.everything(run.run_dir / "checkpoints")
    source = initial.read(run, model) if run.init_from is not None and not begun else None
    chief = strategy.is_chief(chosen)
    journal = Journal(run, unit=module.UNIT, console=console, writes=chief)
    if chief:
        prepared.codec.save(run.run_dir / "codec")
    if source is not None:
        average = learner.state.get("average", ())
        initial.take(source, model, journal.say, average=average)
        if (line := initial.seen(prepared.codec, run.recipe.codec)) is not None:
            journal.say(line)
    journal.say(
        f"{run.model} {run.preset}: {zoo.load(run.model).param_count(run.config):,} parameters, "
        f"{chosen.num_replicas_in_sync} replica(s), {run.precision}, "
        f"XLA {'on' if run.compile else 'off'}; writing {run.run_dir}"
    )
    if prepared.remark:
        journal.say(prepared.remark)
    with encoded.readable(prepared.data):
        return loop.train(
            run,
            learner,
            prepared.data,
            journal,
            strategy=chosen,
            evaluators=module.evaluators(model, prepared),
        )


def agree(run: Run, chosen: Any) -> None:
    """Raises UserError, in every worker, unless all have the same run, data and code."""
    from training import cluster, strategy

    same = dataclasses.replace(
        run, data_dir=None, run_dir=pathlib.Path(), export_dir=pathlib.Path(), arguments=()
    )
    told = strategy.exchange(chosen)(cluster.fingerprint(to_json(same)))
    others = [str(i) for i, number in enumerate(told) if number != told[0]]
    if others:
        raise UserError(
            f"Worker {' and '.join(others)} of {len(told)} has other flags, other data or other "
            "code than worker 0; start the same command from the same version everywhere."
        )


def dry(run: Run, prepared: Any, chosen: Any, console: rich.console.Console) -> int:
    """One step, one evaluation, one export to a temporary folder; an estimate of memory."""
    import resource

    from kmodels.core import zoo
    from training import export, strategy

    def say(line: str) -> None:
        if strategy.is_chief(chosen):
            console.print(line, highlight=False)

    count = zoo.load(run.model).param_count(run.config)
    say(
        f"memory  {4 * count / 2**30:.2f} GiB of weights, as much of gradients, "
        f"{8 * count / 2**30:.2f} GiB of optimizer moments, and activations"
    )
    with tempfile.TemporaryDirectory() as folder:
        short = dataclasses.replace(
            run.recipe, steps=1, log_every=1, eval_every=1, save_every=1, eval_batches=1
        )
        place = pathlib.Path(folder)
        once = dataclasses.replace(
            run, recipe=short, run_dir=place / "run", export_dir=place / "exports", journals=()
        )
        trained(once, prepared, chosen, console)

        def published() -> int:
            export.publish(once.run_dir, once.export_dir)
            return 0

        strategy.by_chief(chosen, published)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(f"memory  {peak:.2f} GiB of host memory at the peak of this trial")
    say("The run would work; nothing was kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
