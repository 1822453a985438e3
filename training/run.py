"""The command: flags to a run, the run to trained weights, an export and how to serve it.

python -m training.run --model=gpt
"""

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
from training.config import Run, UserError, differences, to_json


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
    from kmodels.core import zoo
    from training import cluster, recipes, strategy

    if flags.spawn is not None and not flags.describe:
        return cluster.spawn(flags.spawn, command_line.without("--spawn", argv))

    paper, module = zoo.load(flags.model), recipes.load(flags.model)
    config = flags.config
    chosen = strategy.make(flags.strategy, replicas=flags.replicas)
    if flags.describe and getattr(config, "vocab", 0) is not None:
        prepared = None
    else:
        prepared = module.prepare(config, recipe, flags.data_dir)
        config = prepared.config
    run = resolve(flags, recipe, config, prepared.sha256 if prepared else "")
    if flags.describe:
        print(to_json(run), end="")
        print(f"parameters  {paper.param_count(config):,}")
        return 0
    if flags.dry_run:
        return dry(run, prepared, chosen, console)
    check_folder(run)
    return go(run, prepared, chosen, console, publish=not flags.no_export)


def resolve(flags: Any, recipe: Any, config: Any, data_sha256: str) -> Run:
    """The run that flags, recipe, config and data make together."""
    name = f"{flags.model}-{flags.preset}-{recipe.data}"
    return Run(
        model=flags.model,
        preset=flags.preset,
        config=config,
        recipe=recipe,
        seed=flags.seed,
        strategy=flags.strategy,
        replicas=flags.replicas,
        precision=flags.precision,
        compile=recipe.xla if flags.compile == "auto" else flags.compile == "on",
        data_dir=flags.data_dir,
        data_sha256=data_sha256,
        init_from=flags.init_from,
        run_dir=flags.run_dir or pathlib.Path("runs") / name,
        export_dir=flags.export_dir,
    )


def check_folder(run: Run) -> None:
    """Raises UserError where the folder holds another run, or this one finished.

    More steps than before are the one difference that is welcome: the run goes on.
    """
    file = run.run_dir / "run.json"
    if not file.exists():
        if run.run_dir.exists() and any(run.run_dir.iterdir()):
            raise UserError(
                f"{run.run_dir} holds files but no run.json, so it is not a run; "
                "give another --run-dir."
            )
        return
    try:
        old = json.loads(file.read_text())
        steps = int(old["recipe"]["steps"])
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{file} does not describe a run; give another --run-dir.") from None
    different = differences(old, run)
    if steps < run.recipe.steps:
        different = [d for d in different if not d.startswith("recipe.steps ")]
    if different:
        raise UserError(
            f"{run.run_dir} holds another run: {different[0]}"
            f"{f', and {len(different) - 1} more differences' if different[1:] else ''}. Give "
            "another --run-dir, a larger --steps to go on, or --init-from to begin with its "
            "weights."
        )
    if (run.run_dir / "export.json").exists() and steps == run.recipe.steps:
        raise UserError(
            f"{run.run_dir} holds this very run, finished at step {steps:,}. Give a larger "
            "--steps to go on, or another --run-dir with --init-from to begin with its weights."
        )


def go(
    run: Run, prepared: Any, chosen: Any, console: rich.console.Console, *, publish: bool
) -> int:
    """Trains, exports, and says what to do next; all workers end together."""
    import tensorflow as tf

    from training import loop, strategy

    began = time.perf_counter()
    try:
        progress = trained(run, prepared, chosen, console)
        said = (
            f"Trained to step {progress.step:,} in {time.perf_counter() - began:.0f} s; best "
            f"{run.recipe.watch} {progress.best:.4f} at step {progress.best_step:,}."
        )

        def ended() -> int:
            console.print(said, highlight=False)
            return exported(run, prepared, console) if publish else 0

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
    except loop.Interrupted as stop:
        console.print(
            f"Stopped by {signal.Signals(stop.number).name}; step {stop.step:,} is saved in "
            f"{run.run_dir}. The same command goes on from there.",
            highlight=False,
        )
        return 128 + stop.number


def exported(run: Run, prepared: Any, console: rich.console.Console) -> int:
    """Publishes the run's best weights and prints the next commands; gives the exit status."""
    from training import export, recipes, saved_model

    try:
        published = export.publish(run.run_dir, run.export_dir)
    except saved_model.Rejected as error:
        print(f"training.run: {error}", file=sys.stderr)
        return 1
    (run.run_dir / "export.json").write_text(json.dumps({"folder": str(published)}) + "\n")
    question = recipes.load(run.model).ask(prepared.codec, prepared.config)
    console.print(export.said(published, question), highlight=False, markup=False)
    return 0


def learner_of(run: Run, chosen: Any) -> Any:
    """The run's learner with a new model, made in the strategy's scope from the run's seed."""
    import keras
    import tensorflow as tf

    from kmodels.core import zoo

    keras.utils.set_random_seed(run.seed)
    keras.config.set_dtype_policy(run.precision)
    tf.config.experimental.enable_op_determinism()
    name = run.recipe.objective
    objective = getattr(importlib.import_module(f"training.objectives.{name}"), name)
    learners = importlib.import_module(f"training.learners.{run.recipe.learner}")
    with chosen.scope():
        return learners.make(zoo.load(run.model).build(run.config), objective, run)


def trained(run: Run, prepared: Any, chosen: Any, console: rich.console.Console) -> Any:
    """Makes the learner, and the journal beside it, and trains; gives the loop's progress."""
    from training import loop, recipes, strategy
    from training.journal import Journal

    strategy.check_divides(run.recipe.batch_size, chosen, run.recipe.micro_batches)
    agree(run, chosen)
    module = recipes.load(run.model)
    learner = learner_of(run, chosen)
    model = learner.model
    fresh = run.init_from is not None and not (run.run_dir / "checkpoints").exists()
    weights = first_weights(pathlib.Path(str(run.init_from)), model) if fresh else None
    chief = strategy.is_chief(chosen)
    journal = Journal(run, unit=module.UNIT, console=console, writes=chief)
    if chief:
        prepared.codec.save(run.run_dir / "codec")
    if weights is not None:
        init_from(weights, model, journal)
    journal.say(
        f"{run.model} {run.preset}: {model.count_params():,} parameters, "
        f"{chosen.num_replicas_in_sync} replica(s), {run.precision}, "
        f"XLA {'on' if run.compile else 'off'}; writing {run.run_dir}"
    )
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
        run, data_dir=None, run_dir=pathlib.Path(), export_dir=pathlib.Path()
    )
    told = strategy.exchange(chosen)(cluster.fingerprint(to_json(same)))
    others = [str(i) for i, number in enumerate(told) if number != told[0]]
    if others:
        raise UserError(
            f"Worker {' and '.join(others)} of {len(told)} has other flags, other data or other "
            "code than worker 0; start the same command from the same version everywhere."
        )


def first_weights(source: pathlib.Path, model: Any) -> dict[str, Any]:
    """The tensors of another run's best checkpoint, by variable path; some fit this model.

    Raises:
        UserError: the folder is no run, holds no readable checkpoint, or nothing in it fits.
    """
    from training import runs
    from training.checkpoints import model_weights

    try:
        weights = model_weights(runs.tensors(source))
    except UserError as error:
        raise UserError(f"--init-from: {error}") from None
    if not any(fits(weights, variable) for variable in model.weights):
        raise UserError(f"--init-from: no tensor of {source} fits this model.")
    return weights


def fits(weights: dict[str, Any], variable: Any) -> bool:
    """Whether there is a tensor of the variable's path and shape."""
    return variable.path in weights and weights[variable.path].shape == tuple(variable.shape)


def init_from(weights: dict[str, Any], model: Any, journal: Any) -> None:
    """Sets the model's weights that match in name and shape; says which do not, and why."""
    matched = [v for v in model.weights if fits(weights, v)]
    for variable in model.weights:
        if fits(weights, variable):
            variable.assign(weights[variable.path])
        else:
            there = weights.get(variable.path)
            why = "not there" if there is None else f"of shape {there.shape} there"
            journal.say(f"{variable.path} keeps its initial values: it is {why}.")
    journal.say(f"--init-from: {len(matched)} of {len(model.weights)} tensors were taken.")


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
            run, recipe=short, run_dir=place / "run", export_dir=place / "exports"
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
