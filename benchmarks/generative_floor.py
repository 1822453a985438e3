"""What a step or an answer of the twins computes at the least, written down as they go along."""

import collections
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks import floors, generative_twins
from benchmarks.floors import Convolution, Operation, Product, Update
from benchmarks.peers import Job

Found = collections.Counter[Operation]
SLOTS = {"vae": 1, "dcgan": 2, "ddpm": 2}  # of their optimizers


def job(
    paper: str, config: Mapping[str, Any], shape: tuple[int, ...], library: str
) -> tuple[Job, str]:
    """The floor of a training step on pictures [B, H, W, C], by one library."""
    return floors.job(step(paper, config, shape), library)


def step(paper: str, config: Mapping[str, Any], shape: tuple[int, ...]) -> Found:
    """Convolutions, products and updates of one step; nothing is computed here.

    Clipping and averaging, which an update could do in passing, are not counted.
    """
    with torch.device("meta"):
        twin = generative_twins.TWINS[paper](**config).train()
        image = torch.empty(shape[0], shape[3], *shape[1:3])
    found = _watched(twin)
    for player, part in twin.players.items():
        for other in twin.players.values():
            other.requires_grad_(other is part)
        twin({"image": image, **twin.draws(image)}, player)
        count = sum(w.numel() for w in part.parameters())
        found[Update(count, SLOTS[paper])] += 1
    return found


def answer(config: Mapping[str, Any], batch: int) -> Found:
    """Of one look of a U-Net at pictures and times, which no gradient follows."""
    with torch.device("meta"), torch.no_grad():
        network = generative_twins.unet(**config).eval()
        found = _watched(network)
        side, channels = config["size"], config["channels"]
        network(torch.empty(batch, channels, side, side), torch.zeros(batch, dtype=torch.int64))
    return found


def _watched(network: nn.Module) -> Found:
    """What the network's layers will have computed, forward and backward."""
    found: Found = collections.Counter()
    kinds: dict[type, Callable[..., None]] = {
        nn.Conv2d: _convolution,
        nn.ConvTranspose2d: _transposed,
        nn.Linear: _linear,
    }
    for layer in network.modules():
        if type(layer) in kinds:
            layer.register_forward_hook(functools.partial(kinds[type(layer)], found))
        elif type(layer).__name__ == "Attention":
            layer.register_forward_hook(functools.partial(_attention, found))
    return found


def _needs(layer: nn.Module, given: Any) -> tuple[bool, bool]:
    """Whether there is a gradient into what the layer is given, and into its weight."""
    weight: Any = layer.weight
    enabled = torch.is_grad_enabled()
    return enabled and given[0].requires_grad, enabled and weight.requires_grad


def _convolution(found: Found, layer: Any, given: Any, made: Any) -> None:
    into, weight = _needs(layer, given)
    parts = ["forward"] + ["input"] * into + ["weight"] * weight
    _add(found, layer, made, (layer.in_channels, layer.out_channels), parts)


def _transposed(found: Found, layer: Any, given: Any, made: Any) -> None:
    """A convolution from what is made to what is given, backwards."""
    into, weight = _needs(layer, given)
    parts = ["input"] + ["forward"] * into + ["weight"] * weight
    _add(found, layer, given[0], (layer.out_channels, layer.in_channels), parts)


def _add(found: Found, layer: Any, small: Any, channels: tuple[int, int], parts: Any) -> None:
    stride, kernel = layer.stride[0], layer.kernel_size[0]
    sides = len(small), stride * small.shape[-1]
    found[Convolution(*sides, *channels, stride, kernel, tuple(parts))] += 1


def _linear(found: Found, layer: Any, given: Any, made: Any) -> None:
    into, weight = _needs(layer, given)
    a, b = layer.in_features, layer.out_features
    m = given[0].numel() // a
    found[Product((m, a), (a, b))] += 1
    if into:
        found[Product((m, b), (b, a))] += 1
    if weight:
        found[Product((a, m), (m, b))] += 1


def _attention(found: Found, layer: Any, given: Any, made: Any) -> None:
    """Scores and what they mix, each with two products backward."""
    batch, width, *sides = given[0].shape
    places = sides[0] * sides[1]
    back = torch.is_grad_enabled()
    found[Product((batch, places, width), (batch, width, places))] += 2 if back else 1
    found[Product((batch, places, places), (batch, places, width))] += 4 if back else 1
