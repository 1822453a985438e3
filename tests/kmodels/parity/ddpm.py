"""Writes ddpm.json beside it: what diffusers 0.42.1 answers with weights that we have too.

    python -m tests.kmodels.parity.ddpm

diffusers is no dependency: it is needed to write the file, not to read it. Weights come from the
path each has in our network, so the file holds answers alone.
"""

import json
import os
import pathlib
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

FILE = pathlib.Path(__file__).with_suffix(".json")
SHAPE = {"size": 8, "channels": 3, "width": 16, "multipliers": (1, 2, 2), "blocks": 2}
SHAPE |= {"attention": (4,), "groups": 4, "dropout": 0.0, "variance": "small"}
TIMES = (3, 999)
STEPS = 37  # of the sampler
PARTS = {
    "norm_1": "norm1", "norm_2": "norm2", "conv_1": "conv1", "conv_2": "conv2",
    "time": "time_emb_proj", "skip": "conv_shortcut", "norm": "group_norm", "query": "to_q",
    "key": "to_k", "value": "to_v", "out": "to_out.0",
}  # fmt: skip
ENDS = {
    "first": "conv_in", "noise": "conv_out", "norm": "conv_norm_out",
    "time_1": "time_embedding.linear_1", "time_2": "time_embedding.linear_2",
}  # fmt: skip


def weight(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """A weight of our network, decided by its path and shape."""
    drawn = np.random.RandomState(zlib.crc32(path.encode())).normal(size=shape)
    if path.endswith("gamma"):
        return 1 + 0.2 * drawn
    return drawn / np.sqrt(np.prod(shape[:-1])) if path.endswith("kernel") else 0.2 * drawn


def normal(name: str, *shape: int) -> np.ndarray:
    """Normal numbers, decided by a name."""
    return np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape)


def theirs(path: str, levels: int) -> str:
    """What diffusers calls the weight at our path."""
    layer, *part, leaf = path.split("/")
    leaf = "bias" if leaf in ("beta", "bias") else "weight"
    if layer in ENDS:
        return f"{ENDS[layer]}.{leaf}"
    kind, *at = layer.removesuffix("_attention").split("_")
    inner = "attentions" if layer.endswith("attention") else "resnets"
    if kind == "middle":
        return f"mid_block.{inner}.{at[0] if at else 0}.{PARTS[part[0]]}.{leaf}"
    level = int(at[0])
    up = levels - 1 - level
    match kind:
        case "halve":
            return f"down_blocks.{level}.downsamplers.0.conv.{leaf}"
        case "double":
            return f"up_blocks.{up}.upsamplers.0.conv.{leaf}"
        case "down":
            return f"down_blocks.{level}.{inner}.{at[1]}.{PARTS[part[0]]}.{leaf}"
    return f"up_blocks.{up}.{inner}.{at[1]}.{PARTS[part[0]]}.{leaf}"


def laid_out(value: np.ndarray) -> np.ndarray:
    """Our kernel as torch has it: outputs before inputs before places, of which 1 x 1 lacks."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def network() -> np.ndarray:
    """The noise that diffusers' U-Net sees, [B, S, S, C]."""
    import torch

    from benchmarks import generative_twins
    from kmodels import ddpm

    config = ddpm.Config(**SHAPE)
    model = generative_twins.unet(**SHAPE).eval()
    empty, filled = model.state_dict(), {}
    for v in ddpm.build(config).network.trainable_variables:
        name = theirs(v.path, len(config.sides))
        value = laid_out(weight(v.path, tuple(v.shape))).reshape(tuple(empty[name].shape))
        filled[name] = torch.tensor(value.copy(), dtype=torch.float32)
    model.load_state_dict(filled)
    pictures = normal("pictures", len(TIMES), config.size, config.size, config.channels)
    with torch.no_grad():
        seen = torch.tensor(pictures.transpose(0, 3, 1, 2), dtype=torch.float32)
        noise = model(seen, torch.tensor(TIMES)).sample.numpy()
    return noise.transpose(0, 2, 3, 1)


def sampler(eta: float) -> tuple[list[int], np.ndarray]:
    """The times that diffusers' DDIM visits, and where it is after three of them, [4]."""
    import torch
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing="trailing", clip_sample=True)
    scheduler.set_timesteps(STEPS)
    x = torch.tensor(normal("start", 4))
    for i in (0, STEPS // 2, STEPS - 1):
        x = scheduler.step(
            torch.tensor(normal(f"noise {i}", 4)),
            scheduler.timesteps[i],
            x,
            eta=eta,
            use_clipped_model_output=True,
            variance_noise=torch.tensor(normal(f"fresh {i}", 4)),
        ).prev_sample
    return scheduler.timesteps.tolist(), x.numpy()


def main() -> None:
    """Writes the file."""
    found = {"network": network().astype(float).round(6).ravel().tolist(), "times": sampler(0.0)[0]}
    found |= {f"eta {eta}": sampler(eta)[1].round(8).tolist() for eta in (0.0, 0.5, 1.0)}
    FILE.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
