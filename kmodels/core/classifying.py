"""The endpoints of a network that says what a picture, or a row of numbers, is."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Endpoint

MOST = 5  # classes that an answer ranks


def endpoints(
    model: keras.Model, codec: Images, *, embedding: str, stages: Mapping[str, str]
) -> dict[str, Endpoint]:
    """`classify` and `predict_images` (classes), `embed` (one vector), `features` (maps).

    Args:
        model: Functional: [B, size, size, channels] to logits [B, classes].
        embedding: The layer whose output [B, D] stands for the picture.
        stages: Name of an output of `features` -> layer.
    """
    inner = {name: model.get_layer(layer).output for name, layer in stages.items()}
    looks = keras.Model(model.input, {"embedding": model.get_layer(embedding).output, **inner})

    def classify(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return ranked(model(codec.read(image_bytes), training=False), codec)

    def predict_images(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return ranked(model(codec.see(codec.fit(image)), training=False), codec)

    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": looks(codec.read(image_bytes), training=False)["embedding"]}

    def features(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = looks(codec.read(image_bytes), training=False)
        return {name: seen[name] for name in stages}

    by_bytes = Endpoint(
        function=classify,
        inputs={"image_bytes": tf.TensorSpec([None], tf.string)},
        example={"image_bytes": list(codec.examples)},
    )

    def alike(function: Callable[..., dict[str, tf.Tensor]]) -> Endpoint:
        return Endpoint(function=function, inputs=by_bytes.inputs, example=by_bytes.example)

    by_tensor = Endpoint(
        function=predict_images,
        inputs={"image": tf.TensorSpec([None, None, None, codec.channels], tf.float32)},
        example={"image": codec.unsee(codec.read(tf.constant(codec.examples))).numpy().tolist()},
    )
    return {
        "serving_default": by_bytes,
        "classify": by_bytes,
        "predict_images": by_tensor,
        "embed": alike(embed),
        "features": alike(features),
    }


def main(outputs: tf.Tensor | Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The logits [B, classes] of a network that may have auxiliary heads, or one unit for two."""
    logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs
    logits = tf.cast(logits, tf.float32)
    # One unit says yes with the probability sigmoid(z), which is softmax((0, z)).
    return tf.pad(logits, [[0, 0], [1, 0]]) if logits.shape[-1] == 1 else logits


def heads(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that give the logits: a classifier's head, and its auxiliary ones."""
    return [model.get_layer(name) for name in getattr(model, "output_names", ())]


def freeze(model: keras.Model) -> None:
    """Leaves only the heads to be trained; frozen batch normalisations use what they have seen."""
    kept = heads(model)
    for layer in model.layers:
        layer.trainable = layer in kept


def ranked(
    outputs: tf.Tensor | Mapping[str, tf.Tensor], codec: Images | Features
) -> dict[str, tf.Tensor]:
    """Logits -> probabilities, and the likeliest five with ids and labels, best first."""
    probabilities = tf.nn.softmax(main(outputs))
    scores, ids = tf.math.top_k(probabilities, min(MOST, len(codec.labels)))
    return {
        "probabilities": probabilities,
        "top_k_scores": scores,
        "top_k_ids": ids,
        "top_k_labels": codec.label(ids),
    }


def by_features(
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]], codec: Features
) -> dict[str, Endpoint]:
    """`classify` of rows of numbers, float32 [B, D].

    Args:
        answer: A function of the rows.
    """

    def classify(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(features)

    count = len(codec.names)
    endpoint = Endpoint(
        function=classify,
        inputs={"features": tf.TensorSpec([None, count], tf.float32)},
        example={"features": [[0.0] * count, [1.0] * count]},
    )
    return {"serving_default": endpoint, "classify": endpoint}


def check_classes(config: Any) -> int:
    """The number of classes, once it is known."""
    if config.classes is None:
        raise ValueError("config.classes is not set; give it, or let the codec of a run set it.")
    return int(config.classes)
