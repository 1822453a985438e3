"""Weights as others write them, and what becomes of them in a run."""

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from kmodels.core import zoo
from training import initial, prepared
from training.config import ImageCodecChoice, Run
from training.data.labelled import Source, Split
from training.pretrained import foreign


@pytest.fixture
def begin(make_run: Callable[..., Run]) -> Callable[..., tuple[keras.Model, str]]:
    """A new model of a config, begun with `--init-from=given`, and what was said."""

    def call(model: str, config: Any, given: Any) -> tuple[keras.Model, str]:
        run = dataclasses.replace(
            make_run(init_from=str(given)), model=model, config=config, preset="tiny"
        )
        keras.utils.set_random_seed(7)
        made, said = zoo.load(model).build(config), []
        initial.take(initial.read(run, made), made, said.append)
        return made, "\n".join(said)

    return call


@pytest.fixture
def codec_of() -> Callable[..., Any]:
    """The codec of a run whose weights come from `given`."""

    def call(model: str, config: Any, given: Any) -> Any:
        choice = foreign.recognised(str(given), model).wants(size=config.size, short=None)
        assert isinstance(choice, ImageCodecChoice)
        rows = np.zeros([2, 8, 8, 3], np.uint8)
        split = Split(inputs=rows, labels=np.zeros([2], np.int32))
        source = Source(train=split, eval=split, labels=("a",))
        return prepared.fit(choice, source, size=config.size, channels=config.channels)

    return call


@pytest.fixture
def picture() -> Callable[[int, int], PIL.Image.Image]:
    """A picture of noise that is smooth enough to survive a resize."""

    def make(height: int, width: int) -> PIL.Image.Image:
        coarse = np.random.default_rng(4).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        return PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.BICUBIC)

    return make


@pytest.fixture
def seen() -> Callable[[Any, PIL.Image.Image], np.ndarray]:
    """What a codec makes of a picture's file, [1, size, size, 3]."""

    def call(codec: Any, made: PIL.Image.Image) -> np.ndarray:
        file = io.BytesIO()
        made.save(file, "png")
        return codec.read(tf.constant([file.getvalue()])).numpy()

    return call


def noisy(variables: Any, seed: int = 0) -> None:
    """Moves all variables, statistics too, away from where they began."""
    rng = np.random.default_rng(seed)
    for variable in variables:
        if "seed" in variable.path:
            continue
        shape = tuple(variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            variable.assign(rng.uniform(0.5, 1.2, shape))
        else:
            fan = np.prod(shape[:-1]) if len(shape) > 1 else 25
            variable.assign(rng.normal(0, 1.0 / np.sqrt(fan), shape))


@pytest.fixture
def perturbed() -> Callable[[Any], Any]:
    """A Keras or torch model whose every number is away from where it began."""

    def call(model: Any) -> Any:
        if isinstance(model, keras.Model):
            noisy(model.variables)
            return model
        import torch

        torch.manual_seed(0)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if "running_var" in name:
                    tensor.uniform_(0.5, 1.2)
                elif tensor.dtype.is_floating_point:
                    tensor.add_(0.1 * torch.randn_like(tensor))
        return model.eval()

    return call
