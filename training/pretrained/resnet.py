"""ResNet as transformers, keras-hub and keras.applications store it."""

import re
from typing import Any

from training.pretrained import Layout, Settings, Tensors, needs, of_torch

TORCH_LEAVES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
LEAVES = ("gamma", "beta", "moving_mean", "moving_variance")
FIRST_OF_STAGE = re.compile(r"conv(\d)_block(\d+)_1_conv/0")
EPSILON = 1.001e-5  # of the normalisations in keras.applications; ours is 1e-5


def _parts(path: str) -> tuple[str, str, str, str, str]:
    """Stage, block, number of the convolution ("" for the projection), "conv" or "norm", leaf.

    Stage and block are "" in the stem.
    """
    owner, _, leaf = path.rpartition("/")
    kind = "norm" if "norm" in owner else "conv"
    found = re.fullmatch(r"stage_(\d+)_block_(\d+)_(?:projection\D*|\w+_(\d+))", owner)
    stage, block, number = found.groups(default="") if found else ("", "", "")
    return stage, block, number, kind, leaf


def _fixed(widths: list[int], depths: list[int], block: str, stride_in: str) -> dict[str, Any]:
    here = {"widths": tuple(widths), "depths": tuple(depths), "block": block}
    if block == "bottleneck":
        here["stride_in"] = stride_in
    return {"stem": "imagenet", "shortcut": "projection", **here}


def _fixed_in_torch(settings: Settings) -> dict[str, Any]:
    needs("hidden_act", settings["hidden_act"], "relu")
    needs("downsample_in_first_stage", settings.get("downsample_in_first_stage", False), False)
    block = settings["layer_type"]
    widths = [n // 4 if block == "bottleneck" else n for n in settings["hidden_sizes"]]
    needs("embedding_size", settings["embedding_size"], widths[0])
    stride_in = "1x1" if settings.get("downsample_in_bottleneck", False) else "3x3"
    channels = settings.get("num_channels", 3)
    return {"channels": channels, **_fixed(widths, settings["depths"], block, stride_in)}


def _name_in_torch(path: str, settings: Settings) -> str:
    """Such as "encoder.stages.0.layers.1.layer.0.convolution.weight"."""
    stage, block, number, kind, leaf = _parts(path)
    leaf = TORCH_LEAVES.get(leaf, leaf)
    if path.startswith("logits/"):
        return f"classifier.1.{leaf}"
    part = "normalization" if kind == "norm" else "convolution"
    if not stage:
        return f"embedder.embedder.{part}.{leaf}"
    place = f"layer.{number}" if number else "shortcut"
    return f"encoder.stages.{stage}.layers.{block}.{place}.{part}.{leaf}"


def _name_in_keras(path: str, place: str, conv: str) -> str:
    """A layer's name and the number of its tensor; number 0 of a block is the projection."""
    _, _, number, kind, leaf = _parts(path)
    if path.startswith("logits/"):
        return f"predictions/{int(leaf == 'bias')}"
    tensor = LEAVES.index(leaf) if kind == "norm" else 0
    layer = "bn" if kind == "norm" else "conv"
    if conv == "stem":
        return f"conv1_{layer}/{tensor}"
    return f"{place}_{int(number) + 1 if number else 0}_{layer}/{tensor}"


def _fixed_in_hub(settings: Settings) -> dict[str, Any]:
    needs("use_pre_activation", settings.get("use_pre_activation", False), False)
    needs("a stem of the sides", settings["input_conv_kernel_sizes"], [7])
    needs("pooling", settings.get("pooling", "avg"), "avg")
    widths, block = settings["stackwise_num_filters"], settings["block_type"]
    needs("a stem of the widths", settings["input_conv_filters"], widths[:1])
    needs("strides", settings["stackwise_num_strides"], [1] + [2] * (len(widths) - 1))
    kind = block.removesuffix("_block")
    channels = settings["image_shape"][-1]
    return {"channels": channels, **_fixed(widths, settings["stackwise_num_blocks"], kind, "3x3")}


def _name_in_hub(path: str, settings: Settings) -> str:
    """Such as "stack0_block1_2_conv/0"."""
    stage, block, *_ = _parts(path)
    return _name_in_keras(path, f"stack{stage}_block{block}", "" if stage else "stem")


def _fixed_in_applications(settings: Settings) -> dict[str, Any]:
    found = [m.groups() for m in map(FIRST_OF_STAGE.fullmatch, settings["names"]) if m]
    stages = sorted({int(stage) for stage, _ in found})
    depths = [sum(int(stage) == s for stage, _ in found) for s in stages]
    return {"channels": 3, **_fixed([64, 128, 256, 512], depths, "bottleneck", "1x1")}


def _name_in_applications(path: str, settings: Settings) -> str:
    """Such as "conv2_block2_2_conv/0"."""
    stage, block, *_ = _parts(path)
    place = f"conv{int(stage) + 2}_block{int(block) + 1}" if stage else ""
    return _name_in_keras(path, place, "" if stage else "stem")


def _mended(tensors: Tensors) -> Tensors:
    """The same function without the convolutions' biases and with our epsilon.

    (x + b - m) / sqrt(v + e) is (x - (m - b)) / sqrt((v + e - e') + e').
    """
    ours = dict(tensors)
    for name in tensors:
        layer, _, number = name.partition("/")
        if layer.endswith("_bn") and number == "2":
            bias = ours.pop(f"{layer.removesuffix('_bn')}_conv/1", 0)
            ours[name] = tensors[name] - bias
        if layer.endswith("_bn") and number == "3":
            ours[name] = tensors[name] + (EPSILON - 1e-5)
    return ours


LAYOUTS = {
    "hugging_face": Layout(
        types=("resnet",),
        prefix="resnet.",
        fixed=_fixed_in_torch,
        name=_name_in_torch,
        turned=of_torch,
    ),
    "keras_hub": Layout(types=("ResNetBackbone",), fixed=_fixed_in_hub, name=_name_in_hub),
    "keras_applications": Layout(
        types=("conv1_conv/0",),
        fixed=_fixed_in_applications,
        name=_name_in_applications,
        mended=_mended,
    ),
}
