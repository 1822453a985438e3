"""PyTorch twins of a VAE, a DCGAN and a DDPM: the same networks, losses, draws and optimizers.

A twin is a module whose `forward` is a player's loss of a batch. Pictures are [B, C, H, W].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.peers import Job

Batch = Mapping[str, torch.Tensor]


class Twin(nn.Module):
    """What a step needs to know.

    Attributes:
        clip: Largest norm of the gradient.
        decay: Of the averaged weights in a step.
    """

    clip: float | None = None
    decay: float | None = None

    @property
    def players(self) -> dict[str, nn.Module]:
        """Whose weights move in turn, each by its own loss."""
        return {"": self}

    def draws(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """The random numbers of a turn."""
        raise NotImplementedError

    def rule(self, weights: list[nn.Parameter], variant: str) -> torch.optim.Optimizer:
        """What moves the weights of one player."""
        raise NotImplementedError


class VAE(Twin):
    """Of binary pixels, with one tanh layer on each side; the loss is minus the bound, in nats."""

    def __init__(self, size: int = 28, hidden: int = 500, latents: int = 20) -> None:
        super().__init__()
        self.latents = latents
        self.inside, self.outside = nn.Linear(size * size, hidden), nn.Linear(latents, hidden)
        self.mean, self.logvar = nn.Linear(hidden, latents), nn.Linear(hidden, latents)
        self.pixels = nn.Linear(hidden, size * size)

    def draws(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        noise = torch.randn(len(image), self.latents, device=image.device)
        return {"noise": noise, "chance": torch.rand_like(image)}

    def forward(self, batch: Batch, player: str) -> torch.Tensor:
        seen = (batch["chance"] < batch["image"]).float().flatten(1)
        x = torch.tanh(self.inside(seen))
        mean, logvar = self.mean(x), self.logvar(x)
        latent = mean + torch.exp(0.5 * logvar) * batch["noise"]
        made = self.pixels(torch.tanh(self.outside(latent)))
        total = nn.functional.binary_cross_entropy_with_logits(made, seen, reduction="sum")
        apart = -0.5 * torch.sum(1 + logvar - mean**2 - torch.exp(logvar))
        return (total + apart) / len(seen)

    def rule(self, weights: list[nn.Parameter], variant: str) -> torch.optim.Optimizer:
        form: dict[str, Any] = {variant: True}
        return torch.optim.Adagrad(weights, lr=0.02, weight_decay=1 / 60_000, **form)


class DCGAN(Twin):
    """Two networks of 5 x 5, mirrored: left and right, top and bottom change places.

    Keras pads a strided convolution by one pixel more at the end than at the beginning, PyTorch by
    two on both sides. That is the same where pictures and filters are turned round.
    """

    def __init__(
        self, size: int = 64, channels: int = 3, latent: int = 100, width: int = 128
    ) -> None:
        super().__init__()
        self.latent = latent
        widths = [width]
        while size > 8 << len(widths) - 1:
            widths.append(2 * widths[-1])
        *outer, before = widths
        parts: list[nn.Module] = [nn.Linear(latent, 16 * before, bias=False)]
        parts += [nn.BatchNorm1d(16 * before), nn.ReLU(), nn.Unflatten(1, (before, 4, 4))]
        options: dict[str, Any] = {"stride": 2, "padding": 2, "bias": False}
        for after in reversed(outer):
            up = nn.ConvTranspose2d(before, after, 5, output_padding=1, **options)
            parts += [up, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        last = nn.ConvTranspose2d(before, channels, 5, output_padding=1, **options)
        self.generator = nn.Sequential(*parts, last, nn.Tanh())
        parts, before = [], channels
        for number, after in enumerate(widths):
            parts.append(nn.Conv2d(before, after, 5, **options))
            parts += [nn.BatchNorm2d(after)] if number else []
            parts.append(nn.LeakyReLU(0.2))
            before = after
        said = nn.Linear(16 * before, 1, bias=False)
        self.discriminator = nn.Sequential(*parts, nn.Flatten(), said)

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def draws(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"latent": torch.rand(len(image), self.latent, device=image.device)}

    def forward(self, batch: Batch, player: str) -> torch.Tensor:
        with torch.set_grad_enabled(player == "generator"):
            fake = self.generator(2 * batch["latent"] - 1)
        taken, softplus = self.discriminator(fake), nn.functional.softplus
        if player == "generator":
            return softplus(-taken).mean()
        return softplus(-self.discriminator(batch["image"])).mean() + softplus(taken).mean()

    def rule(self, weights: list[nn.Parameter], variant: str) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999), fused=True)


def unet(
    *,
    size: int,
    channels: int,
    width: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    groups: int,
    **others: Any,
) -> Any:
    """diffusers' U-Net with DDPM's settings, which are not its defaults; fields of `ddpm.Config`.

    Args:
        others: What a network is not shaped by, and "dropout".
    """
    import diffusers

    attends = [size >> level in attention for level in range(len(multipliers))]
    return diffusers.UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(width * by for by in multipliers),
        down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]],
        layers_per_block=blocks,
        norm_num_groups=groups,
        dropout=others.get("dropout", 0.0),
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        attention_head_dim=None,
    )


class DDPM(Twin):
    """diffusers' U-Net; the loss is the mean squared error of the noise at random times."""

    clip, decay = 1.0, 0.9999

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.unet = unet(**config)
        bars = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        self.register_buffer("kept", bars.sqrt().float())
        self.register_buffer("mixed", (1 - bars).sqrt().float())

    def draws(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        time = torch.rand(len(image), device=image.device)
        return {"noise": torch.randn_like(image), "time": time}

    def forward(self, batch: Batch, player: str) -> torch.Tensor:
        times, noise = (1000 * batch["time"]).long(), batch["noise"]
        kept, mixed = (table[times, None, None, None] for table in (self.kept, self.mixed))
        said = self.unet(kept * batch["image"] + mixed * noise, times).sample
        return nn.functional.mse_loss(said, noise)

    def rule(self, weights: list[nn.Parameter], variant: str) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=2e-4, fused=True)


TWINS: dict[str, type[Twin]] = {"vae": VAE, "dcgan": DCGAN, "ddpm": DDPM}


class Training:
    """Steps of a twin; what a batch lacks is drawn.

    Args:
        variant: "foreach" has an optimizer's rule in that form, "channels-last" maps in that
            layout.
    """

    def __init__(self, twin: Twin, variant: str = "fused", *, compiled: bool = False) -> None:
        self.layout = torch.contiguous_format
        if variant.startswith("channels"):
            self.layout = {"last": torch.channels_last}.get(variant.split("-")[1], self.layout)
        self.twin = twin.train().to(memory_format=self.layout)
        form = "foreach" if variant == "foreach" else "fused"
        self.weights = {name: list(part.parameters()) for name, part in twin.players.items()}
        self.rules = {name: twin.rule(rows, form) for name, rows in self.weights.items()}
        self.loss_of = torch.compile(self._loss) if compiled else self._loss
        weights = [w for rows in self.weights.values() for w in rows]
        self.average = [w.detach().clone() for w in weights] if twin.decay else []

    def _loss(self, batch: Batch, player: str) -> torch.Tensor:
        loss: torch.Tensor = self.twin({**self.twin.draws(batch["image"]), **batch}, player)
        return loss

    def step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Moves every player once; gives their losses."""
        return {player: self._turn(batch, player) for player in self.rules}

    def _turn(self, batch: Batch, player: str) -> torch.Tensor:
        if len(self.rules) > 1:
            for name, rows in self.weights.items():
                for weight in rows:
                    weight.requires_grad_(name == player)
        loss = self.loss_of(batch, player)
        loss.backward()
        if self.twin.clip is not None:
            nn.utils.clip_grad_norm_(self.weights[player], self.twin.clip)
        self.rules[player].step()
        self.rules[player].zero_grad(set_to_none=True)
        if self.twin.decay is not None:
            weights = [w.detach() for w in self.weights[player]]
            torch._foreach_lerp_(self.average, weights, 1 - self.twin.decay)
        return loss


def job(
    paper: str, config: Mapping[str, Any], pictures: np.ndarray, variant: str, *, compiled: bool
) -> tuple[Job, str]:
    """A twin's training step on pictures [n, B, H, W, C]."""
    torch.manual_seed(0)
    training = Training(TWINS[paper](**config), variant, compiled=compiled)
    batches = [
        {"image": torch.tensor(p.transpose(0, 3, 1, 2)).contiguous(memory_format=training.layout)}
        for p in pictures
    ]

    def run(steps: int) -> None:
        for number in range(steps):
            losses = training.step(batches[number % len(batches)])
        for loss in losses.values():
            loss.item()

    count = sum(w.numel() for rows in training.weights.values() for w in rows)
    return run, f"{count:,} parameters"
