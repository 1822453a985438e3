"""VGG as keras.applications and keras-hub store it."""

import re
from typing import Any

import numpy as np

from training.pretrained import Layout, Settings

CONVOLUTION = re.compile(r"block(\d)_conv(\d)/0")
PLAIN = {"batch_norm": False, "lrn": False, "narrow": False}


def _name(path: str, settings: Settings) -> str:
    """Such as "block1_conv2/0" for "stage_1_conv_2/kernel"."""
    owner, _, leaf = path.rpartition("/")
    stage, _, number = owner.removeprefix("stage_").partition("_conv_")
    layer = f"block{stage}_conv{number}" if number else owner.replace("_", "")
    return f"{'predictions' if owner == 'logits' else layer}/{int(leaf == 'bias')}"


def _fixed_in_applications(settings: Settings) -> dict[str, Any]:
    found = [m.group(1) for m in map(CONVOLUTION.fullmatch, settings["names"]) if m]
    depths = tuple(found.count(stage) for stage in sorted(set(found)))
    return {"channels": 3, "depths": depths, **PLAIN}


def _fixed_in_hub(settings: Settings) -> dict[str, Any]:
    depths, widths = settings["stackwise_num_repeats"], settings["stackwise_num_filters"]
    channels = settings["image_shape"][-1]
    return {"channels": channels, "depths": tuple(depths), "widths": tuple(widths), **PLAIN}


def _name_in_hub(path: str, settings: Settings) -> str:
    """The linear layers stand in a part of their own."""
    there = _name(path, settings)
    return there if there.startswith("block") else f"head/{there}"


def _of_hub(path: str, tensor: np.ndarray) -> np.ndarray:
    """A convolution over the whole map is a linear layer of its row."""
    if path.startswith("fc_") and tensor.ndim == 4:
        return tensor.reshape(-1, tensor.shape[-1])
    return tensor


LAYOUTS = {
    "keras_applications": Layout(
        types=("block1_conv1/0",), fixed=_fixed_in_applications, name=_name
    ),
    "keras_hub": Layout(
        types=("VGGBackbone",), fixed=_fixed_in_hub, name=_name_in_hub, turned=_of_hub
    ),
}
