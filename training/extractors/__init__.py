"""Networks that see pictures as classes do, so that made ones can be compared with real ones.

Each is a small ResNet that `training.run` trained on one family of data (`benchmarks.extractors`
makes it again), in a file beside this one, in float16. Its features are the mean over its last map,
before the classifier. Numbers of one extractor say nothing beside those of another, nor beside
those of the Inception network from which the FID is taken, so they are always named after theirs;
and its file is pinned by a digest, so that a name means one network for good.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from safetensors import safe_open

from kmodels import resnet
from kmodels.core import zoo
from kmodels.core.codecs.images import Images
from training.config import UserError
from training.files import digest

FOLDER = pathlib.Path(__file__).parent
PINNED = {  # SHA-256 of the files
    "digits_resnet": "5f3aec1d640be58cee8eb79750a87169956503a8a020d0d556dfbf2086075cbe",
    "mnist_resnet": "4276b3010d7d042c52027c292aac87b23dc4f6dc370c7a3c5ff1498c018bff9e",
    "cifar10_resnet": "2a216d1db024ba6a373c034e52ccc696afe6eb628d84cedbd9d5ce851ef210aa",
}
FACTS = "kmodels"  # the key under which a file says its config and codec
CHUNK = 250  # pictures that are seen at once


@dataclasses.dataclass(frozen=True, eq=False)
class Extractor:
    """A network, and how it is shown pictures.

    Attributes:
        network: float32 [n, size, size, channels] to features [n, D].
    """

    name: str
    codec: Images
    network: keras.Model

    @functools.cached_property
    def _look(self) -> Any:
        def look(pictures: tf.Tensor) -> tf.Tensor:
            fitted = self.codec.fit(tf.cast(pictures, tf.float32))
            return self.network(self.codec.see(fitted), training=False)

        return tf.function(look, autograph=False)

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Of pictures uint8 [n, H, W, 1 or 3], float64 [n, D].

        Sides and colours that are not the network's own are brought to those as its codec does it
        for whoever serves: colours to luma, sides resized, smoothed first where they shrink.
        """
        any_count = tf.TensorSpec([None, *pictures.shape[1:]], tf.uint8)
        look = self._look.get_concrete_function(any_count)
        parts = np.array_split(pictures, range(CHUNK, len(pictures), CHUNK))
        found = [look(tf.constant(part, tf.uint8)).numpy() for part in parts]
        return np.concatenate(found).astype(np.float64)


def check(name: str) -> pathlib.Path:
    """The file of an extractor.

    Raises:
        UserError: none has that name, or its file is not the one that was pinned.
    """
    if name not in PINNED:
        raise UserError(zoo.unknown("extractor", name, list(PINNED)))
    file = FOLDER / f"{name}.safetensors"
    found = digest(file) if file.exists() else None
    if found != PINNED[name]:
        what = "is missing" if found is None else f"was changed: its SHA-256 begins {found[:12]}"
        raise UserError(
            f"{file} {what}, and that of {name} begins {PINNED[name][:12]}; install it again."
        )
    return file


@functools.cache
def load(name: str) -> Extractor:
    """An extractor, read once a process; raises UserError as `check`."""
    with safe_open(check(name), framework="numpy") as stored:
        facts = json.loads(stored.metadata()[FACTS])
        tensors = {path: stored.get_tensor(path) for path in stored.keys()}  # noqa: SIM118
    network = headless(resnet.Config(**_with_tuples(facts["config"])))
    for variable in network.weights:
        variable.assign(tensors[variable.path].astype(np.float32))
    return Extractor(name, Images(**_with_tuples(facts["codec"]), examples=()), network)


def headless(config: resnet.Config) -> keras.Model:
    """A classifier without its head, in float32: pictures to the mean over its last map."""
    with _float32():
        whole = resnet.build(config)
        return keras.Model(whole.input, whole.get_layer("mean").output, name="extractor")


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Layers that are made inside compute in float32, whatever the run does."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON holds as lists, as the dataclasses have it."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
