"""The endpoints of a network that makes pictures, or rows of numbers, out of noise.

Every row has its own seed, steps and options, and its picture is the same to the bit alone and in
a batch (decision 0032). Shapes: B batch, S side, C channels, N numbers of a row.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from kmodels.core import diffusion, drawing, rows
from kmodels.core.codecs import images
from kmodels.core.codecs.features import Features
from kmodels.core.paper import Endpoint

Codec = images.Images | Features
Options = Mapping[str, tf.Tensor]
NO_LABEL = -1
USUAL = 50  # steps of a sampler where a caller asks for no number
NAMED = 20  # classes that a refusal lists
SPACINGS = "uniform", "quadratic"  # of a sampler's times
PLACES = 2**14  # of pictures that one chain makes at once: 16 of 32 pixels, one of 128 or more


class Denoiser(Protocol):
    """A network and its process.

    Attributes:
        labels: Classes that it can be told of; 0 is none.
    """

    process: diffusion.Process
    labels: int

    def noise(self, seeds: tf.Tensor) -> tf.Tensor:
        """What examples begin with, float32 [B, ...], of int64 [B]."""

    def sample(self, start: tf.Tensor, seeds: tf.Tensor, **options: Any) -> tf.Tensor:
        """Examples from what they begin with; options as `asked` gives them, [B]."""


def inputs_of(model: Denoiser, *names: str) -> dict[str, tuple[tf.TensorSpec, Any]]:
    """Each option's type and what it is where a caller leaves it out."""
    steps = min(USUAL, model.process.steps)
    known: dict[str, tuple[tf.TensorSpec, Any]] = {
        "steps": (tf.TensorSpec([None], tf.int32), [steps]),
        "eta": (tf.TensorSpec([None], tf.float32), [0.0]),
        "spacing": (tf.TensorSpec([None], tf.string), [SPACINGS[0]]),
        "label": (tf.TensorSpec([None], tf.string), [""]),
        "guidance_scale": (tf.TensorSpec([None], tf.float32), [1.0]),
    }
    told = ("label", "guidance_scale") if model.labels else ()
    return {name: known[name] for name in (*names, *told)}


def asked(
    model: Denoiser, codec: Codec, batch: tf.Tensor, options: Options
) -> dict[str, tf.Tensor]:
    """The options of each row, [B], checked: steps, eta, quadratic, labels (-1 is any), scale.

    Raises:
        tf.errors.InvalidArgumentError: one is out of its range; the message names the row.
    """
    most = model.process.steps
    given = {name: rows.spread(value, batch) for name, value in options.items()}
    ones = tf.ones(batch[None])
    steps, eta = given["steps"], given.get("eta", 0 * ones)
    spacing = given.get("spacing", tf.fill(batch[None], SPACINGS[0]))
    known = tf.reduce_any(tf.equal(spacing[:, None], tf.constant(SPACINGS)), 1)
    scale = given.get("guidance_scale", ones)
    checks = [
        *rows.check((steps >= 1) & (steps <= most), "steps", steps, f"lie in [1, {most}]"),
        *rows.check((eta >= 0) & (eta <= 1), "eta", eta, "lie in [0, 1]"),
        *rows.check(known, "spacing", _quoted(spacing), f"be one of {', '.join(SPACINGS)}"),
        *rows.check(
            (scale >= 0) & tf.math.is_finite(scale),
            *("guidance_scale", scale, "be at least 0 and finite (1 is off)"),
        ),
    ]
    labels = tf.fill(batch[None], NO_LABEL)
    if "label" in given:
        labels, found = _numbers(codec, given["label"])
        names = ", ".join(codec.labels[:NAMED]) + (", ..." if len(codec.labels) > NAMED else "")
        words = f"be one of {names}, or empty for any"
        checks += rows.check(found, "label", _quoted(given["label"]), words)
    quadratic = tf.equal(spacing, SPACINGS[1])
    with tf.control_dependencies(checks):
        values = {"steps": steps, "eta": eta, "quadratic": quadratic}
        values |= {"labels": labels, "scale": scale}
        return {name: tf.identity(value) for name, value in values.items()}


def _quoted(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.join(["'", text, "'"])


def _numbers(codec: Codec, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The classes' numbers int32 [B], or -1, of their names; and whether there is such a name."""
    same = tf.equal(label[:, None], tf.constant(codec.labels)[None])
    there = tf.reduce_any(same, 1)
    numbers = tf.where(there, tf.argmax(same, 1, output_type=tf.int32), NO_LABEL)
    return numbers, there | tf.equal(label, "")


def endpoints(model: Denoiser, codec: Codec) -> dict[str, Endpoint]:
    """`sample` (from seeds); of pictures `interpolate` (between two), `inpaint` (a part of one).

    Pictures are answered as `image` and `image_bytes`, rows of numbers as `features`.
    """
    sample = _sample(model, codec)
    both = {"serving_default": sample, "sample": sample}
    if isinstance(codec, Features):
        return both
    return {**both, "interpolate": _interpolate(model, codec), "inpaint": _inpaint(model, codec)}


def _endpoint(
    function: Any, required: dict[str, tf.TensorSpec], options: Any, **example: Any
) -> Endpoint:
    return Endpoint(
        function=function,
        inputs={**required, **{name: spec for name, (spec, _) in options.items()}},
        defaults={name: value for name, (_, value) in options.items()},
        example=example,
    )


def _told(model: Denoiser, codec: Codec) -> dict[str, Any]:
    """An example's labels and scales, where the network can be told a class."""
    names = [codec.labels[0], ""]
    return {"label": names, "guidance_scale": [2.0, 1.0]} if model.labels else {}


def _sample(model: Denoiser, codec: Codec) -> Endpoint:
    """Examples from seeds: with eta 0 by DDIM, with eta 1 and all steps by DDPM."""

    def sample(seed: tf.Tensor, **options: tf.Tensor) -> dict[str, tf.Tensor]:
        chosen = asked(model, codec, tf.size(seed), options)

        def made(seeds: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
            return model.sample(model.noise(seeds), seeds, **dict(zip(chosen, values, strict=True)))

        return _answer(codec, made, seed, *chosen.values())

    most = min(4, model.process.steps)
    return _endpoint(
        sample,
        {"seed": tf.TensorSpec([None], tf.int64)},
        inputs_of(model, "steps", "eta", "spacing"),
        **{"seed": [1, 2], "steps": [most, most - 1], "eta": [0.0, 1.0], **_told(model, codec)},
    )


def _interpolate(model: Denoiser, codec: images.Images) -> Endpoint:
    """Pictures between those of two seeds by DDIM: weight 0 is the first's, 1 the second's."""

    def interpolate(
        seed: tf.Tensor, other_seed: tf.Tensor, weight: tf.Tensor, **options: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        batch = tf.size(seed)
        other, part = rows.spread(other_seed, batch), rows.spread(weight, batch)
        chosen = asked(model, codec, batch, options)
        inside = rows.check((part >= 0) & (part <= 1), "weight", part, "lie in [0, 1]")
        with tf.control_dependencies(inside):
            part = tf.identity(part)

        def made(
            first: tf.Tensor, second: tf.Tensor, weight: tf.Tensor, *values: tf.Tensor
        ) -> tf.Tensor:
            start = diffusion.between(model.noise(first), model.noise(second), weight)
            return model.sample(start, first, **dict(zip(chosen, values, strict=True)))

        return _answer(codec, made, seed, other, part, *chosen.values())

    most = min(4, model.process.steps)
    return _endpoint(
        interpolate,
        {
            "seed": tf.TensorSpec([None], tf.int64),
            "other_seed": tf.TensorSpec([None], tf.int64),
            "weight": tf.TensorSpec([None], tf.float32),
        },
        inputs_of(model, "steps", "spacing"),
        **{"seed": [1, 1], "other_seed": [2, 3], "weight": [0.5, 0.2], "steps": [most, most]},
    )


def _inpaint(model: Denoiser, codec: images.Images) -> Endpoint:
    """Makes anew what a mask, a picture of the same size, has white; the rest stays."""

    def inpaint(
        image_bytes: tf.Tensor, mask_bytes: tf.Tensor, seed: tf.Tensor, **options: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        batch = tf.size(image_bytes)
        pictures, sides = _decoded(codec, image_bytes, "image")
        masks, others = _decoded(codec, rows.spread(mask_bytes, batch), "mask")
        size = tf.strings.as_string(others)
        given = tf.strings.join([size[:, 0], " x ", size[:, 1], " pixels"])
        fits = tf.reduce_all(tf.equal(sides, others), 1)
        chosen = asked(model, codec, batch, options)
        checks = rows.check(fits, "mask_bytes", given, "be as large as the picture")
        with tf.control_dependencies(checks):
            known = codec.see(pictures)
        white = tf.reduce_mean(masks, -1, keepdims=True) > 127.5

        def made(
            seeds: tf.Tensor, known: tf.Tensor, white: tf.Tensor, *values: tf.Tensor
        ) -> tf.Tensor:
            hold = diffusion.holding(model.process, known, white, seeds)
            given = dict(zip(chosen, values, strict=True))
            return model.sample(model.noise(seeds), seeds, hold=hold, **given)

        seeds = rows.spread(seed, batch)
        return _answer(codec, made, seeds, known, white, *chosen.values())

    most = min(4, model.process.steps)
    text = tf.TensorSpec([None], tf.string)
    options = inputs_of(model, "steps", "eta", "spacing")
    options["eta"] = (options["eta"][0], [1.0])  # new noise lets the parts come to terms
    return _endpoint(
        inpaint,
        {"image_bytes": text, "mask_bytes": text, "seed": tf.TensorSpec([None], tf.int64)},
        options,
        image_bytes=list(codec.examples[:2]),
        mask_bytes=[_lower(content) for content in codec.examples[:2]],
        **{"seed": [1, 2], "steps": [most, most - 1]},
    )


def _answer(codec: Codec, made: Any, *values: tf.Tensor) -> dict[str, tf.Tensor]:
    if isinstance(codec, Features):
        seen = rows.one_by_one(made, values, (len(codec.names),))
        return {"features": codec.unsee(seen)}
    shape = codec.size, codec.size, codec.channels
    most = max(1, PLACES // codec.size**2)
    return drawing.answer(codec, rows.in_groups(made, values, shape, most=most))


def _decoded(codec: images.Images, contents: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Pictures float32 [B, S, S, C], 0 to 255, and the height and width they had, [B, 2]."""

    @tf.autograph.experimental.do_not_convert
    def one(row_and_content: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        row, content = row_and_content
        picture = images.picture(content, tf.strings.format(name + " {}", row))
        return codec.fit(tf.cast(picture, tf.float32)), tf.shape(picture)[:2]

    shape = codec.size, codec.size, codec.channels
    signature = tf.TensorSpec(shape, tf.float32), tf.TensorSpec([2], tf.int32)
    found: tuple[tf.Tensor, tf.Tensor] = tf.map_fn(
        one, (tf.range(tf.size(contents)), contents), fn_output_signature=signature
    )
    return found


def _lower(content: bytes) -> bytes:
    """A mask for a picture, white in its lower half; PNG."""
    picture = images.picture(tf.constant(content), tf.constant("the example"))
    mask = np.zeros((*picture.shape[:2], 1), np.uint8)
    mask[len(mask) // 2 :] = 255
    return bytes(tf.io.encode_png(mask).numpy())
