"""What the data of a run decide: codec, classes, batches."""

import dataclasses
import hashlib
import importlib
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kmodels.core import zoo
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images, coloured
from training.config import ImageCodecChoice, Recipe, UserError
from training.data import randaugment, targets
from training.data.labelled import Change, Each, Examples, Fit, Labelled, Source, Targets
from training.loop import Data

SHOWN = 2  # held-out pictures that a codec keeps as examples


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What the data of a run decides.

    Attributes:
        config: The paper's config, complete.
        codec: Turns user values into batches; its `save(folder)` goes into the run.
        data: Batches.
        sha256: Of what was read; a run goes on with the same data only.
        prompt: A beginning of held-out data, for samples of text.
        remark: What a run says of its data; nothing where empty.
    """

    config: Any
    codec: Any
    data: Data
    sha256: str
    prompt: str = ""
    remark: str = ""

    @classmethod
    def of(cls, config: Any, codec: Any, data: Data, text: str, *, prompt: str) -> "Prepared":
        """With the codec's vocabulary where the config leaves it open."""
        if config.vocab is None:
            config = dataclasses.replace(config, vocab=codec.vocab)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(config=config, codec=codec, data=data, sha256=digest, prompt=prompt)


def read(recipe: Recipe, data_dir: pathlib.Path | None, allowed: Sequence[str]) -> Source:
    """Labelled examples of the family that the recipe names.

    Raises:
        UserError: no such family for this paper, or nothing usable in the folder.
    """
    if recipe.data not in allowed:
        raise UserError(zoo.unknown("data for this paper", recipe.data, list(allowed)))
    try:
        found: Source = importlib.import_module(f"training.data.{recipe.data}").read(data_dir)
    except ValueError as error:
        raise UserError(str(error)) from None
    if recipe.label_share == 1:
        return found
    if found.train.labels.ndim > 1:
        raise UserError(f"--data={recipe.data} asks several questions; label_share must be 1.")
    return dataclasses.replace(found, train=Labelled(found.train, recipe.label_share))


def pictures(
    config: Any,
    recipe: Recipe,
    source: Source,
    *,
    codec: Images | None = None,
    cut: Each | None = None,
    changes: Sequence[Change] = (),
    views: int = 1,
) -> Prepared:
    """Pictures of the size that the config says, centred and scaled by the training part.

    Args:
        config: Has `size` and `channels`, or `inputs`, a side twice and the channels.
        codec: Another run's, to be taken as it is; None fits one.
        cut: Brings training pictures to the network's size; None does as serving does.
        changes: What is done to training pictures; see `training.data.changes`.
        views: How often `cut` looks at a picture.

    Raises:
        UserError: the config has another number of classes or no pictures as inputs, or the codec's
            choices do not fit.
    """
    size, channels = _plane(config, recipe)
    try:
        fitted = codec or fit(recipe.codec, source, size=size, channels=channels)
    except ValueError as error:
        raise UserError(str(error)) from None
    if tuple(fitted.labels) != source.labels:
        raise UserError(
            f"The data have the classes {', '.join(source.labels[:10])}, and the codec of the run "
            f"knows {', '.join(fitted.labels[:10])}."
        )

    def see(inputs: tf.Tensor) -> tf.Tensor:
        fits = tuple(inputs.shape[-3:]) == (size, size, channels)
        return fitted.see(inputs if fits else fitted.fit(inputs))

    def alone(picture: tf.Tensor) -> tf.Tensor:
        return fitted.fit(tf.cast(picture, tf.float32))

    data = Examples(
        source=source,
        key="image",
        see=see,
        fit=alone,
        each=_each(recipe, alone, cut, channels),
        changes=changes,
        targets=_targets(recipe, source),
        views=views,
    )
    config = with_classes(config, fitted.labels)
    return Prepared(config, fitted, data, source.sha256, remark=source.remark)


def _plane(config: Any, recipe: Recipe) -> tuple[int, int]:
    """Side and channels of a network's input."""
    if hasattr(config, "size"):
        return config.size, config.channels
    if len(config.inputs) != 3 or config.inputs[0] != config.inputs[1]:
        raise UserError(
            f"--data={recipe.data} has pictures, and config.inputs is {config.inputs}; give a "
            "side twice and the channels, such as 28 28 1."
        )
    return config.inputs[0], config.inputs[2]


def _each(recipe: Recipe, fit: Fit, cut: Each | None, channels: int) -> Each | None:
    """What is done to training pictures one by one: the cut, then the recipe's operations."""
    if cut is None and recipe.randaugment is None:
        return None
    operations = randaugment.of(*recipe.randaugment) if recipe.randaugment else None

    def each(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        first, second = tf.unstack(tf.random.split(seed, 2))
        made = cut(coloured(picture, channels), first) if cut else fit(picture)
        return operations(made, second) if operations else made

    return each


def _targets(recipe: Recipe, source: Source) -> Targets | None:
    return targets.distributions(
        len(source.labels), smoothing=recipe.label_smoothing, mixup=recipe.mixup
    )


def fit(choice: Any, source: Source, *, size: int, channels: int) -> Images:
    """The codec of a choice: mean and deviation of the training part where it leaves them open."""
    chosen = choice if isinstance(choice, ImageCodecChoice) else ImageCodecChoice()
    moments = source.moments(channels)
    own = [tuple(float(x) for x in v.round(4)) for v in (moments.mean, moments.deviation)]
    if chosen.order == "bgr":
        own = [numbers[::-1] for numbers in own]
    return Images(
        labels=source.labels,
        size=size,
        channels=channels,
        short=chosen.short,
        mean=own[0] if chosen.mean is None else chosen.mean,
        deviation=own[1] if chosen.deviation is None else chosen.deviation,
        order=chosen.order,
        resample=chosen.resample,
        examples=tuple(source.eval.files(SHOWN)),
    )


def features(
    config: Any, recipe: Recipe, source: Source, *, codec: Features | None = None
) -> Prepared:
    """Rows of numbers, as they are, or as a given codec sees them.

    Raises:
        UserError: the recipe has operations on pictures.
    """
    if recipe.randaugment is not None:
        raise UserError(f"randaugment changes pictures, and --data={recipe.data} has none.")
    codec = codec or Features(names=source.names, labels=source.labels)
    learnt = _targets(recipe, source)
    data = Examples(source=source, key="features", see=codec.see, targets=learnt)
    return Prepared(with_classes(config, codec.labels), codec, data, source.sha256)


def with_classes(config: Any, labels: Sequence[str]) -> Any:
    """The config with as many classes as labels where it leaves them open.

    Raises:
        UserError: it has another number.
    """
    given = getattr(config, "classes", len(labels))
    if given is None:
        return dataclasses.replace(config, classes=len(labels))
    if given != len(labels):
        raise UserError(
            f"The data have {len(labels):,} classes and config.classes is {given:,}; give "
            f"--config.classes={len(labels)} or other data."
        )
    return config
