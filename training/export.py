"""The command: a run folder to a SavedModel version that TensorFlow Serving picks up.

    python -m training.export runs/gpt-char-docs

A version is built under a name that no server looks at, loaded in a fresh process the way
TensorFlow Serving loads it, compared with the Python model, and only then renamed to its number.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated

import tyro

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from training import command, runs
from training.config import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Publishes a run's weights as EXPORT_DIR/MODEL/VERSION, for TensorFlow Serving and ours.

    The version gets the next free number, once a fresh process has given the same answers with it.
    A run that is still training may be exported too.

    Attributes:
        run_dir: A folder that training.run wrote, such as runs/gpt-char-docs.
        export_dir: Where MODEL/VERSION goes.
        checkpoint: best (the lowest watched number), last, or a step.
    """

    run_dir: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="RUN")]
    export_dir: pathlib.Path = pathlib.Path("exports")
    checkpoint: Annotated[str, tyro.conf.arg(metavar="best|last|STEP")] = "best"


def publish(
    run_dir: pathlib.Path, export_dir: pathlib.Path, *, checkpoint: str = "best"
) -> pathlib.Path:
    """Exports a checkpoint of a run as the next version; gives the version's folder.

    Raises:
        UserError: the folder holds no run or no such checkpoint, or its weights are not of this
            model, or the export folder cannot be made.
        saved_model.Rejected: it answers otherwise than the Python model; nothing is published.
    """
    import keras

    from kmodels.core import zoo
    from kmodels.core.codecs import folder as codec_folder
    from training import checkpoints, saved_model

    run = runs.read(run_dir)
    meta, tensors = runs.first_readable(run_dir, checkpoint, checkpoints.read)
    paper = zoo.load(run.model)
    keras.config.set_dtype_policy("float32")
    model = paper.build(run.config)
    weights = checkpoints.model_weights(tensors)
    for variable in model.weights:
        if variable.path not in weights:
            raise UserError(f"{run_dir} was trained by other code: it has no {variable.path}.")
        variable.assign(weights[variable.path])
    codec = codec_folder.load(run_dir / "codec")
    with tempfile.TemporaryDirectory(
        dir=_made(export_dir / run.model), prefix=".unfinished-"
    ) as folder:
        part = pathlib.Path(folder) / "saved"
        endpoints = paper.endpoints(model, codec)
        answers = saved_model.write(part, model, codec, endpoints)
        card = saved_model.card(run, paper, endpoints, step=meta.step)
        (part / "card.json").write_text(json.dumps(card, indent=2))
        codec.save(part / "assets.extra" / "codec")
        saved_model.verify(part, endpoints, answers)
        return saved_model.move(part, export_dir / run.model)


def _made(folder: pathlib.Path) -> pathlib.Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"--export-dir: nothing can be written to {folder}: {error.strerror}."
        ) from None
    return folder


def said(published: pathlib.Path, question: str) -> str:
    """What the user reads after an export: two commands to paste, the server and one question."""
    model, base = published.parent.name, shlex.quote(str(published.parent.resolve()))
    python = command.program()
    return (
        f"Exported to {published}. To serve it, and in another terminal to ask it:\n\n"
        f"{python} -m serving.server --port=8500 --model_name={model} "
        f"--model_base_path={base}\n\n"
        f"{python} -m serving.client predict {model} --target=localhost:8500 {question}\n"
    )


def export(flags: Flags) -> int:
    """Publishes and says what to do next; gives the exit status."""
    run = runs.read(flags.run_dir)
    runs.check_which(flags.checkpoint)
    from kmodels.core.codecs import folder as codec_folder
    from training import recipes, saved_model

    try:
        published = publish(flags.run_dir, flags.export_dir, checkpoint=flags.checkpoint)
    except saved_model.Rejected as error:
        print(f"training.export: {error}", file=sys.stderr)
        return 1
    codec = codec_folder.load(flags.run_dir / "codec")
    print(said(published, recipes.load(run.model).ask(codec, run.config, published)))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""

    def work() -> int:
        words = sys.argv[1:] if argv is None else argv
        flags = command.parse(Flags, words, name="training.export")
        runs.described(flags.run_dir)
        from training import quiet

        quiet.import_tensorflow()
        return export(flags)

    return command.guard(
        "training.export",
        work,
        failed="nothing was published",
        interrupted="nothing was published",
    )


if __name__ == "__main__":
    sys.exit(main())
