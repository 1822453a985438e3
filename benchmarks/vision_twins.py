"""PyTorch twins of two classifiers: the same network, loss and optimizer."""

import functools
import itertools
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from benchmarks.peers import Job


class Block(nn.Module):
    """Two 3x3, each normalised; the input is added, with every second place and zeros (A)."""

    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.stride, self.more = width // inside, width - inside
        self.conv_1 = nn.Conv2d(inside, width, 3, self.stride, 1, bias=False)
        self.conv_2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm_1, self.norm_2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm_2(self.conv_2(torch.relu(self.norm_1(self.conv_1(x)))))
        if self.more:
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0,) * 5 + (self.more,))
        return torch.relu(x + y)


def resnet_20() -> nn.Module:
    """The paper's section 4.2 with n = 3, option A."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Block(a, b) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vit_ti() -> nn.Module:
    """transformers' ViT in the shape of Ti/16; its classifier reads the class token too."""
    config = transformers.ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        hidden_act="gelu_pytorch_tanh",
        hidden_dropout_prob=0.0,
        layer_norm_eps=1e-6,
        num_labels=1000,
    )
    return transformers.ViTForImageClassification(config)


def _optimizer(paper: str, variant: str, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if paper == "resnet":
        return torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    matrices = [w for w in weights if w.ndim >= 2]
    vectors = {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0}
    form: dict[str, Any] = {variant: True}
    return torch.optim.AdamW([{"params": matrices}, vectors], lr=1e-3, weight_decay=0.3, **form)


def job(
    paper: str, variant: str, pool: tuple[np.ndarray, np.ndarray], *, compiled: bool
) -> tuple[Job, str]:
    """The twin's training step on pictures [n, B, H, W, 3] and labels [n, B]."""
    torch.manual_seed(0)
    layout = torch.channels_last if variant == "channels-last" else torch.contiguous_format
    model = resnet_20() if paper == "resnet" else vit_ti()
    model = model.train().to(memory_format=layout)
    weights = list(model.parameters())
    rule = _optimizer(paper, variant, weights)

    def loss_of(pictures: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        out = model(pictures)
        return nn.functional.cross_entropy(getattr(out, "logits", out), labels)

    forward = torch.compile(loss_of) if compiled else loss_of
    pictures, labels = pool
    batches = [
        (torch.tensor(p.transpose(0, 3, 1, 2)).contiguous(memory_format=layout), torch.tensor(q))
        for p, q in zip(pictures, labels.astype(np.int64), strict=True)
    ]
    clip = functools.partial(nn.utils.clip_grad_norm_, weights, 1.0)

    def run(steps: int) -> None:
        for number in range(steps):
            loss = forward(*batches[number % len(batches)])
            loss.backward()
            if paper == "vit":
                clip()
            rule.step()
            rule.zero_grad(set_to_none=True)
        loss.item()

    return run, f"{sum(w.numel() for w in weights):,} parameters"
