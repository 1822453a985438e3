"""ViT as transformers and keras-hub store it."""

from typing import Any

import numpy as np
import tensorflow as tf

from kmodels import vit
from training.pretrained import Layout, Settings, needs, of_torch

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
TORCH = {
    "tokens/token": "embeddings.cls_token",
    "tokens/places": "embeddings.position_embeddings",
    "patches": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "representation": "pooler.dense",
    "logits": "classifier",
}
IN_TORCH_BLOCK = {
    "norm_1": "layernorm_before",
    "norm_2": "layernorm_after",
    "attention/query": "attention.attention.query",
    "attention/key": "attention.attention.key",
    "attention/value": "attention.attention.value",
    "attention/out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
HUB = {
    "tokens/token": "vit_patching_and_embedding/0",
    "tokens/places": "vit_patching_and_embedding/position_embedding/0",
    "patches": "vit_patching_and_embedding/patch_embedding",
    "norm": "vit_encoder/ln",
    "representation": "pre_logits",
    "logits": "predictions",
}
IN_HUB_BLOCK = {
    "norm_1": "ln_1",
    "norm_2": "ln_2",
    "attention/query": "mha/query",
    "attention/key": "mha/key",
    "attention/value": "mha/value",
    "attention/out": "mha/attention_output",
    "up": "mlp/dense_1",
    "down": "mlp/dense_2",
}


def _fixed_in_torch(settings: Settings) -> dict[str, Any]:
    given = settings["hidden_act"]
    return {
        "channels": settings.get("num_channels", 3),
        "patch": settings["patch_size"],
        "depth": settings["num_hidden_layers"],
        "heads": settings["num_attention_heads"],
        "activation": ACTIVATIONS.get(given, given),
        "epsilon": settings["layer_norm_eps"],
    }


def _name_in_torch(path: str, settings: Settings) -> str:
    """Such as "encoder.layer.0.output.dense.bias" for "block_0/down/bias"."""
    owner, _, leaf = path.rpartition("/")
    leaf = {"kernel": "weight", "gamma": "weight", "beta": "bias"}.get(leaf, leaf)
    block, _, part = owner.partition("/")
    if part in IN_TORCH_BLOCK:
        return f"encoder.layer.{block.removeprefix('block_')}.{IN_TORCH_BLOCK[part]}.{leaf}"
    return TORCH.get(f"{owner}/{leaf}") or f"{TORCH.get(owner, owner)}.{leaf}"


def _fixed_in_hub(settings: Settings) -> dict[str, Any]:
    """Its blocks have the exact GELU; of its ways to pool only that by the class token is ours."""
    needs("use_class_token", settings.get("use_class_token", True), True)
    needs("pooling", settings.get("pooling", "token"), "token")
    size = settings["patch_size"]
    height, width = size if isinstance(size, list) else (size, size)
    needs("patches of the sides", (height, width), (height, height))
    return {
        "channels": settings["image_shape"][-1],
        "patch": height,
        "depth": settings["num_layers"],
        "heads": settings["num_heads"],
        "activation": "gelu",
        "epsilon": settings["layer_norm_epsilon"],
    }


def _name_in_hub(path: str, settings: Settings) -> str:
    """Such as "vit_encoder/transformer_block_1/mlp/dense_2/1" for "block_0/down/bias"."""
    owner, _, leaf = path.rpartition("/")
    number = int(leaf in ("bias", "beta"))
    block, _, part = owner.partition("/")
    if part in IN_HUB_BLOCK:
        there = int(block.removeprefix("block_")) + 1
        return f"vit_encoder/transformer_block_{there}/{IN_HUB_BLOCK[part]}/{number}"
    return HUB.get(f"{owner}/{leaf}") or f"{HUB.get(owner, owner)}/{number}"


def _of_hub(path: str, tensor: np.ndarray) -> np.ndarray:
    """Heads, which stand apart there, side by side; the places as a batch of one."""
    if path == "tokens/places":
        return tensor[None]
    if path.endswith("attention/out/kernel"):
        return tensor.reshape(-1, tensor.shape[-1])
    if path.endswith("/kernel") and tensor.ndim == 3:
        return tensor.reshape(len(tensor), -1)
    return tensor.reshape(-1) if path.endswith("/bias") else tensor


def resized(path: str, tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Places of another grid, interpolated as for pictures of another size (section 3.2)."""
    if path != "tokens/places" or tensor.ndim != 3 or tensor.shape[2] != shape[2]:
        return None
    there, here = (round((count - 1) ** 0.5) for count in (tensor.shape[1], shape[1]))
    if (1 + there**2, 1 + here**2) != (tensor.shape[1], shape[1]):
        return None
    made: np.ndarray = vit.interpolated(tf.constant(tensor, tf.float32), here, here).numpy()
    return made


LAYOUTS = {
    "hugging_face": Layout(
        types=("vit",),
        prefix="vit.",
        fixed=_fixed_in_torch,
        name=_name_in_torch,
        turned=of_torch,
    ),
    "keras_hub": Layout(
        types=("ViTBackbone",), fixed=_fixed_in_hub, name=_name_in_hub, turned=_of_hub
    ),
}
