"""Weights to begin with: `--init-from=RUN|hf:DIR|FOLDER|FILE`."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kmodels.core import classifying, zoo
from kmodels.core.codecs import folder as codec_folder
from kmodels.core.codecs.images import Images
from training import checkpoints, pretrained, recipes, runs
from training.config import ImageCodecChoice, Recipe, Run, UserError
from training.pretrained import foreign, reading


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Tensors of a source, by the name it gives them, and where our variables are among them.

    Attributes:
        name_of: Our variable's path to the name there.
        turned: Our variable's path and the tensor there to the tensor in our form.
        resize: What makes a tensor of another shape fit; see `training.pretrained`.
    """

    tensors: Mapping[str, Any]
    name_of: Callable[[str], str] = lambda path: path
    turned: Callable[[str, Any], Any] = lambda path, tensor: tensor
    resize: pretrained.Resize

    def there(self, variable: keras.Variable) -> Any | None:
        """The variable's tensor in our form, of any shape."""
        tensor = self.tensors.get(self.name_of(variable.path))
        return None if tensor is None else self.turned(variable.path, tensor)

    def fitting(self, variable: keras.Variable) -> Any | None:
        """The variable's tensor in its shape; None where there is none."""
        tensor, shape = self.there(variable), tuple(variable.shape)
        if tensor is None or tuple(tensor.shape) == shape:
            return tensor
        return self.resize(variable.path, tensor, shape)


def read(run: Run, model: keras.Model) -> Source:
    """What `run.init_from` names, so that some of it fits the model.

    Raises:
        UserError: it is neither a run, nor a folder or file of weights in a layout that is known
            for the paper; it cannot be read; it is of another kind of network; nothing in it fits.
    """
    given = str(run.init_from)
    try:
        source = _read(given, run)
        if all(source.fitting(variable) is None for variable in model.weights):
            raise UserError(f"no tensor of {given} fits this model.")
    except UserError as error:
        raise UserError(f"--init-from: {error}") from None
    return source


def _read(given: str, run: Run) -> Source:
    path, resize = pathlib.Path(given), pretrained.resize(run.model)
    found = foreign.recognised(given, run.model)
    if found is not None:
        found.check(run.config)
        return _foreign(found, resize)
    if path.suffix == ".safetensors":
        tensors: Mapping[str, Any] = reading.safetensors([path])
        return Source(tensors=checkpoints.model_weights(tensors) or tensors, resize=resize)
    if path.name.endswith(".weights.h5"):
        return Source(tensors=_keras(path, run), resize=resize)
    if path.is_dir():
        return Source(tensors=checkpoints.model_weights(runs.tensors(path)), resize=resize)
    if not path.exists():
        raise UserError(f"{given} does not exist.")
    raise UserError(
        f"{given} is no source of weights; give a run's folder, hf:FOLDER in the Hugging Face "
        "layout, a keras-hub preset's folder, or a .safetensors, .weights.h5 or .h5 file."
    )


def _foreign(found: foreign.Foreign, resize: pretrained.Resize) -> Source:
    layout, tensors = found.layout, found.tensors()

    def name_of(path: str) -> str:
        name = layout.name(path, found.settings)
        return layout.prefix + name if layout.prefix + name in tensors else name

    return Source(tensors=tensors, name_of=name_of, turned=layout.turned, resize=resize)


def _keras(file: pathlib.Path, run: Run) -> dict[str, np.ndarray]:
    """A file of `keras.Model.save_weights`, which fits a model of this config or no other."""
    twin = zoo.load(run.model).build(run.config)
    count = len(reading.keras_names(file))  # Keras passes over tensors that it has no place for
    try:
        if count != len(twin.weights):
            raise ValueError(f"it holds {count} tensors, and the model has {len(twin.weights)}.")
        twin.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{file} does not fit this model: {str(error).strip().splitlines()[0]}"
        ) from None
    return {variable.path: variable.numpy() for variable in twin.weights}


def take(
    source: Source,
    model: keras.Model,
    say: Callable[[str], None],
    *,
    average: Sequence[keras.Variable] = (),
) -> None:
    """Sets the weights that fit; says which do not, why, and what was left there.

    Args:
        average: The averaged weights, which begin with the same values.
    """
    used: set[str] = set()
    kept: list[keras.Variable] = []
    for variable in model.weights:
        value, there = source.fitting(variable), source.there(variable)
        if value is None or there is None:
            kept.append(variable)
            continue
        if value.shape != there.shape:
            say(f"{variable.path} {there.shape} there is interpolated to {value.shape}.")
        variable.assign(np.asarray(value).astype(variable.dtype))
        used.add(source.name_of(variable.path))
    for variable in average:
        value = source.fitting(variable)
        if value is not None:
            variable.assign(np.asarray(value))
    _say_kept(source, model, kept, say)
    left = sorted(source.tensors.keys() - used)
    say(
        f"--init-from: {len(used)} of {len(model.weights)} tensors were taken"
        f"{f', {len(left)} there were not used: {shortened(left)}' if left else ''}."
    )


def _say_kept(
    source: Source, model: keras.Model, kept: Sequence[keras.Variable], say: Callable[[str], None]
) -> None:
    """Which variables were not set and why: a line each, but one line for all heads."""
    heads = {v.path for layer in classifying.heads(model) for v in layer.weights}
    why: dict[str, str] = {}
    for variable in kept:
        there = source.there(variable)
        if variable.path not in heads:
            reason = "not there" if there is None else f"of shape {tuple(there.shape)} there"
            name = f"{variable.path} {tuple(variable.shape)}"
            say(f"{name} keeps its initial values: it is {reason}.")
        elif there is None:
            why[variable.path.rpartition("/")[0]] = "is not there"
        else:
            sizes = f"{there.shape[-1]:,} outputs there and {variable.shape[-1]:,} here"
            why[variable.path.rpartition("/")[0]] = f"has {sizes}"
    if why:
        said = ", ".join(f"{owner} {reason}" for owner, reason in why.items())
        say(f"The head keeps its initial values: {said}.")


def shortened(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def preprocessed(recipe: Recipe, flags: Any, run_dir: pathlib.Path) -> Recipe:
    """The recipe, its codec as the weights to begin with want their pictures.

    What was given on the command line stays, and a run that goes on keeps its own.

    Args:
        flags: Of `training.run`; its config and `init_from` count.

    Raises:
        UserError: the weights are of another network, or what they want cannot be read.
    """
    if flags.init_from is None or not isinstance(recipe.codec, ImageCodecChoice):
        return recipe
    wants: Any = None
    if (run_dir / "run.json").exists():
        with contextlib.suppress(UserError):  # what is wrong with the folder is said later
            wants = runs.read(run_dir).recipe.codec
    else:
        try:
            wants = _wanted(flags.init_from, flags.model, flags.config, recipe.codec)
        except UserError as error:
            raise UserError(f"--init-from: {error}") from None
    if not isinstance(wants, ImageCodecChoice):
        return recipe
    usual = recipes.load(flags.model).recipe(flags.config).codec
    names = [field.name for field in dataclasses.fields(ImageCodecChoice)]
    given = {n: getattr(recipe.codec, n) for n in names}
    given = {n: v for n, v in given.items() if v != getattr(usual, n, None)}
    return dataclasses.replace(recipe, codec=dataclasses.replace(wants, **given))


def _wanted(
    given: str, model: str, config: Any, choice: ImageCodecChoice
) -> ImageCodecChoice | None:
    """What a source says about pictures: its own files, or the codec of a run."""
    size = getattr(config, "size", None)
    found = foreign.recognised(given, model)
    if found is not None:
        found.check(config)
        return found.wants(size=size or 1, short=choice.short)
    try:
        codec = codec_folder.load(pathlib.Path(given) / "codec")
    except ValueError:
        return None
    channels = getattr(config, "channels", 0)
    if not isinstance(codec, Images) or codec.channels != channels or size is None:
        return None
    if len(codec.mean) > channels:
        return None  # a whole picture, of their size
    return ImageCodecChoice(
        short=None if codec.short is None else round(codec.short * size / codec.size),
        mean=codec.mean,
        deviation=codec.deviation,
        order=codec.order,
        resample=codec.resample,
    )


def seen(codec: Any, choice: Any) -> str | None:
    """What a run with `--init-from` says of its pictures; None where it has none.

    Args:
        codec: The run's.
        choice: What its recipe says of the codec.
    """
    if not isinstance(codec, Images):
        return None
    if choice.mean is None:
        return (
            "--init-from says nothing of how its pictures were prepared; they are centred and "
            "scaled by the training part."
        )
    mean, deviation = (" ".join(f"{n:g}" for n in v) for v in (codec.mean, codec.deviation))
    size = f"{codec.size} x {codec.size}"
    cut = f"resized to {size}" if codec.short is None else f"{size} cut from {codec.short}"
    return (
        f"Pictures are prepared as the weights want them: {codec.order} from 0 to 255, minus "
        f"{mean}, over {deviation}; {cut}, {codec.resample}."
    )
