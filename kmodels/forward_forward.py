"""Forward-Forward: two forward passes in place of a forward and a backward one.

Every hidden layer learns alone. Its goodness is the sum of its squared activities; on real examples
it should lie above a threshold, on made-up ones below. Length is what a layer says about goodness,
so it is divided out before the next layer looks: that one has to find something else.

Where there are labels, a real example is a picture with its label written into it, a made-up one
has a wrong label, and a class is the label under which the layers after the first are happiest
(`energy`). A quicker way is one pass with a neutral label and a softmax over the normalised
activities of those layers (`softmax`). Without labels a made-up example is two pictures mixed by a
mask of large blots, and the softmax reads the last three layers (section 3.2).

What was new: no derivative passes from layer to layer and no activity has to be kept for one, so a
network could learn in hardware that nobody can differentiate.

Departures. The published code writes the label over the first pixels, which MNIST leaves black; a
picture of 8 x 8 has no black border, so there the label stands before the picture.

Shapes: B batch, S side, C channels, D inputs in all, U units of a layer, K classes, L layers.
"""

import dataclasses
import math
from typing import Any, Literal

import keras
import tensorflow as tf

from kmodels.core import checks, classifying, rows
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.rows import Draw

PAPER = Citation(
    title="The Forward-Forward Algorithm: Some Preliminary Investigations",
    authors="Hinton",
    year=2022,
    url="https://arxiv.org/abs/2212.13345",
)

TINY = math.exp(-50)  # keeps a silent layer from a division by 0, as in the published code
MODES = ("energy", "softmax")
READ = 3  # last layers that the softmax reads where there are no labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        size: Height and width of a picture.
        channels: 1 for grey, 3 for colour.
        hidden: Units of each hidden layer; with `fields` its channels at every place.
        fields: Side and stride of each layer's receptive fields; None connects all with all.
        classes: None takes the codec's when a run is resolved.
        label: Where the label is written: "over" the first pixels, "before" the picture, or "none":
            the layers learn without labels.
    """

    size: int = 28
    channels: int = 1
    hidden: tuple[int, ...] = (1000, 1000, 1000)
    fields: tuple[tuple[int, int], ...] | None = None
    classes: int | None = 10
    label: Literal["over", "before", "none"] = "over"

    def __post_init__(self) -> None:
        checks.at_least_one(self, "size")
        checks.channels(self)
        checks.choices(self, "label")
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"config.classes is {self.classes}; it must be at least 2.")
        if len(self.hidden) < 2 or min(self.hidden) < 1:
            raise ValueError(
                f"config.hidden is {self.hidden}; it must hold two numbers or more, of at least 1."
            )
        pixels = self.size * self.size * self.channels
        if self.label == "over" and (self.classes or 0) > pixels:
            raise ValueError(
                f"config.classes is {self.classes}; a label written over {pixels} pixels must "
                "have at most as many."
            )
        if self.fields is not None:
            self._check_fields(self.fields)

    def _check_fields(self, fields: tuple[tuple[int, int], ...]) -> None:
        """Raises ValueError unless each layer's fields fit into the layer below."""
        if len(fields) != len(self.hidden):
            raise ValueError(
                f"config.fields has {len(fields)} layers; it must have {len(self.hidden)}, as "
                "config.hidden has."
            )
        if self.label == "before":
            raise ValueError('config.label is "before"; with config.fields it must be another.')
        side = self.size
        for field, stride in fields:
            if not 1 <= field <= side or stride < 1:
                raise ValueError(
                    f"config.fields has ({field}, {stride}) over a side of {side}; a field must "
                    f"lie in [1, {side}] and its stride be at least 1."
                )
            side = (side - field) // stride + 1


PRESETS = {
    "tiny": Config(size=4, hidden=(12, 10, 8), classes=None, label="before"),
    "digits": Config(size=8, hidden=(300, 300, 300), label="before"),
    # The published code: three layers of 1000 at 1.4 % of MNIST's test digits wrong.
    "mnist": Config(),
    # Section 3.3: four layers of 2000.
    "paper": Config(hidden=(2000, 2000, 2000, 2000)),
    # Section 3.2, without labels: the same four layers, and local receptive fields.
    "unsupervised": Config(hidden=(2000, 2000, 2000, 2000), label="none"),
    "unsupervised-local": Config(
        hidden=(128, 220, 512), fields=((10, 6), (2, 1), (2, 1)), label="none"
    ),
}


class Hidden(keras.layers.Layer):
    """Weights and biases of one layer: [B, D] to sums [B, U], before they are rectified.

    `activity` [U] is how active each unit has been on real examples of late; training keeps it.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        """N(0, 1 / D), no bias, and activities of a half."""
        self.make((shape[-1], self.units), fan_in=shape[-1])

    def make(self, shape: tuple[int | None, ...], *, fan_in: int | None) -> None:
        """Kernel, bias and activities."""
        normal = keras.initializers.RandomNormal(stddev=float(fan_in or 1) ** -0.5)
        self.kernel = self.add_weight(shape, initializer=normal, name="kernel")
        self.bias = self.add_weight((self.units,), initializer="zeros", name="bias")
        self.activity = self.add_weight(
            (self.units,),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
            aggregation="mean",
            autocast=False,
            name="activity",
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.kernel) + self.bias


class Local(Hidden):
    """The same with a square field of the layer below for each place, and weights of its own.

    Args:
        side: Of the layer below, [B, side * side * channels] from top left to bottom right.
    """

    def __init__(self, channels: int, *, side: int, field: int, stride: int, **options: Any):
        self.places = ((side - field) // stride + 1) ** 2
        super().__init__(self.places * channels, **options)
        self.side, self.field, self.stride = side, field, stride

    def build(self, shape: tuple[int | None, ...]) -> None:
        inputs = self.field**2 * ((shape[-1] or 0) // self.side**2)
        self.make((self.places, inputs, self.units // self.places), fan_in=inputs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        grid = tf.reshape(x, [-1, self.side, self.side, x.shape[-1] // self.side**2])
        patches = keras.ops.image.extract_patches(grid, self.field, strides=self.stride)
        patches = tf.reshape(patches, [-1, self.places, self.kernel.shape[1]])
        sums = tf.einsum("bpd,pdc->bpc", patches, tf.convert_to_tensor(self.kernel))
        return tf.reshape(sums, [-1, self.units]) + self.bias


@dataclasses.dataclass(frozen=True)
class State:
    """One layer on some inputs.

    Attributes:
        sums: float [B, U], before they are rectified.
        active: float32 [B, U], rectified.
        normal: float32 [B, U], rectified and of length sqrt(U); no derivative passes.
    """

    sums: tf.Tensor
    active: tf.Tensor
    normal: tf.Tensor

    @property
    def goodness(self) -> tf.Tensor:
        """The sum of squared activities, float32 [B]; above U an example is taken for real."""
        return tf.reduce_sum(tf.square(self.active), axis=-1)


def norm(x: tf.Tensor) -> tf.Tensor:
    """x / sqrt(mean(x**2)) over the last axis."""
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + TINY)


class ForwardForward(keras.Model):
    """[B, S, S, C] -> logits [B, K] of one pass with a neutral label.

    Attributes:
        hidden: The layers that learn alone.
        logits: The softmax's layer, which learns from their activities and changes none.
        seeds: For what training draws.
        draws: What training draws for each example.
    """

    output_names = ("logits",)

    def __init__(self, config: Config) -> None:
        super().__init__(name="forward_forward")
        self.config, self.classes = config, classifying.check_classes(config)
        self.seeds = keras.random.SeedGenerator()
        shape = (config.size, config.size) if config.label == "none" else ()
        self.draws = {"draw": Draw("uniform", shape)}
        self.hidden, side = [], config.size
        for i, units in enumerate(config.hidden):
            name = f"hidden_{i}"
            if config.fields is None:
                self.hidden.append(Hidden(units, name=name))
                continue
            field, stride = config.fields[i]
            self.hidden.append(Local(units, side=side, field=field, stride=stride, name=name))
            side = (side - field) // stride + 1
        self.logits = keras.layers.Dense(
            self.classes, kernel_initializer="zeros", dtype="float32", name="logits"
        )

    def inputs_of(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """A picture [B, S, S, C] with a label float32 [B, K] written into it: [B, D].

        Pixels should lie in [0, 1], as the label does; the result has a length of sqrt(D).
        """
        pixels = tf.reshape(tf.cast(image, tf.float32), [-1, math.prod(image.shape[1:])])
        match self.config.label:
            case "over":
                pixels = tf.concat([label, pixels[:, self.classes :]], axis=-1)
            case "before":
                pixels = tf.concat([label, pixels], axis=-1)
        return norm(pixels)

    def states(self, image: tf.Tensor, label: tf.Tensor) -> list[State]:
        """All layers on a picture and a label; see `inputs_of`. Each learns alone."""
        x, found = self.inputs_of(image, label), []
        for layer in self.hidden:
            sums = layer(x)
            active = tf.nn.relu(tf.cast(sums, tf.float32))
            x = tf.stop_gradient(norm(active))
            found.append(State(sums, active, x))
        return found

    def neutral(self, image: tf.Tensor) -> list[State]:
        """All layers on a picture whose label says all classes alike."""
        return self.states(image, tf.fill([tf.shape(image)[0], self.classes], 1 / self.classes))

    def read(self, states: list[State]) -> tf.Tensor:
        """What the softmax's layer says of some layers: logits, float32 [B, K]."""
        first = first_read(self.config)
        return self.logits(tf.concat([state.normal for state in states[first:]], axis=-1))

    def call(self, image: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.read(self.neutral(image))

    def goodnesses(self, image: tf.Tensor) -> tf.Tensor:
        """The goodness of each layer under each label, float32 [B, K, L], in K passes as one."""
        count, classes = tf.shape(image)[0], self.classes
        labels = tf.tile(tf.eye(classes), [count, 1])
        states = self.states(tf.repeat(image, classes, axis=0), labels)
        found = tf.stack([state.goodness for state in states], axis=-1)
        return tf.reshape(found, [count, classes, len(states)])


def energy(goodnesses: tf.Tensor) -> tf.Tensor:
    """[B, K, L] -> [B, K], the sum over all layers but the first; the largest one is the class."""
    return tf.reduce_sum(goodnesses[..., 1:], axis=-1)


def first_read(config: Config) -> int:
    """The first layer that the softmax reads: the second, or without labels the third last."""
    return max(0, len(config.hidden) - READ) if config.label == "none" else 1


def build(config: Config) -> ForwardForward:
    """float32 [B, S, S, C] -> logits [B, K] of the softmax."""
    model = ForwardForward(config)
    model(keras.KerasTensor((1, config.size, config.size, config.channels)))
    return model


def layer_counts(config: Config) -> list[int]:
    """How many parameters each hidden layer has."""
    side, deep = config.size, config.channels
    below = side * side * deep + (config.classes or 0) * (config.label == "before")
    counts = []
    for i, units in enumerate(config.hidden):
        if config.fields is None:
            counts.append((below + 1) * units)
            below = units
            continue
        field, stride = config.fields[i]
        side = (side - field) // stride + 1
        counts.append(side * side * units * (field * field * deep + 1))
        deep = units
    return counts


def widths(config: Config) -> list[int]:
    """How many units each hidden layer has."""
    if config.fields is None:
        return list(config.hidden)
    side, found = config.size, []
    for units, (field, stride) in zip(config.hidden, config.fields, strict=True):
        side = (side - field) // stride + 1
        found.append(side * side * units)
    return found


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, the softmax's included."""
    read = sum(widths(config)[first_read(config) :])
    return sum(layer_counts(config)) + (read + 1) * classifying.check_classes(config)


def endpoints(model: ForwardForward, codec: Images) -> dict[str, Endpoint]:
    """`classify` (files) and `predict_images` (numbers from 0 to 255): a picture to its label.

    Where the layers have learnt with labels, `mode` says for each row which of the two ways decides
    `label`: "energy" or "softmax". Both are always told: `goodness` [B, K], summed over all layers
    but the first; `layer_goodness` [B, L], under the label that was chosen; `probabilities` [B, K]
    of the softmax. Without labels there is one pass, no `mode` and no `goodness` of a label.
    """
    labelled = model.config.label != "none"

    def answer(image: tf.Tensor, mode: tf.Tensor | None) -> dict[str, tf.Tensor]:
        if mode is None:
            return _unlabelled(model, image, codec)
        count = tf.shape(image)[0]
        modes = rows.spread(mode, count)
        known = tf.reduce_any(modes[:, None] == tf.constant(MODES), axis=1)
        with tf.control_dependencies(rows.check(known, "mode", modes, f"be {' or '.join(MODES)}")):
            return _labelled(model, image, tf.identity(modes), codec)

    def classify(image_bytes: tf.Tensor, mode: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return answer(codec.read(image_bytes), mode)

    def predict_images(image: tf.Tensor, mode: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return answer(codec.see(codec.fit(image)), mode)

    files = tf.TensorSpec([None], tf.string)
    pictures = tf.TensorSpec([None, None, None, codec.channels], tf.float32)
    modes = {"mode": tf.TensorSpec([None], tf.string)} if labelled else {}
    default = {"mode": ["energy"]} if labelled else {}
    shown = codec.unsee(codec.read(tf.constant(codec.examples))).numpy().tolist()
    asked = {"mode": [MODES[i % 2] for i in range(len(shown))]} if labelled else {}
    by_bytes = Endpoint(
        function=classify,
        inputs={"image_bytes": files, **modes},
        defaults=default,
        example={"image_bytes": list(codec.examples), **asked},
    )
    by_tensor = Endpoint(
        function=predict_images,
        inputs={"image": pictures, **modes},
        defaults=default,
        example={"image": shown, **asked},
    )
    return {"serving_default": by_bytes, "classify": by_bytes, "predict_images": by_tensor}


def _labelled(
    model: ForwardForward, image: tf.Tensor, modes: tf.Tensor, codec: Images
) -> dict[str, tf.Tensor]:
    goodnesses, logits = model.goodnesses(image), model(image)
    sums = energy(goodnesses)
    scores = tf.where((modes == "energy")[:, None], sums, logits)
    chosen = tf.argmax(scores, axis=-1, output_type=tf.int32)
    return {
        "label": codec.label(chosen),
        "label_id": chosen,
        "goodness": sums,
        "layer_goodness": tf.gather(goodnesses, chosen, batch_dims=1),
        "probabilities": tf.nn.softmax(logits),
    }


def _unlabelled(model: ForwardForward, image: tf.Tensor, codec: Images) -> dict[str, tf.Tensor]:
    states = model.neutral(image)
    logits = model.read(states)
    chosen = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
        "label": codec.label(chosen),
        "label_id": chosen,
        "layer_goodness": tf.stack([state.goodness for state in states], axis=-1),
        "probabilities": tf.nn.softmax(logits),
    }
