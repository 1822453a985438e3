"""How long does it take to make pictures by DDIM, with our SavedModel and with diffusers?

    python -m benchmarks.ddim

The U-Net is that of `benchmarks.generative_step`: a million parameters at 32 pixels, float32,
random weights, linear schedule, eta 0, predicted data cut off. Ours is the exported SavedModel,
loaded session style as TensorFlow Serving does, asked with seeds; its PNG files are part of its
time, and a row has the same bits alone and in company (decision 0032). diffusers has its U-Net and
its scheduler, whose pictures are a batch; they end as bytes of colours too. Of each the fastest
way counts: all threads for an operation or one, which for maps of one small picture may be faster,
and diffusers with all threads in both memory layouts, with one in channels-last. A turn is some
seconds of answers: a process that has just been woken gives its first one late, ours later than
PyTorch's. The floor is the U-Net's convolutions and matrix products for the whole batch, by the
faster of PyTorch and TensorFlow.
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import peers, record, served
from benchmarks.generative_step import LAYOUTS, UNET
from benchmarks.steps import REFERENCES, Make

BATCHES = (1, 8)
THREADS = {"all threads": 0, "one thread": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times sampling from a small diffusion model against diffusers.

    Attributes:
        rounds: Times that each peer has its turn.
        looks: Of the network at a picture in a turn, and at least one answer.
        steps: Of the sampler; one table each.
        only: Peers to run, by the beginnings of their names; all where empty.
        save: Whether to write docs/results/ddim.json and .png.
        worker: Used by the command itself.
        batch: Used by the command itself.
        count: Used by the command itself.
        saved: Used by the command itself.
    """

    rounds: int = 7
    looks: int = 400
    steps: tuple[int, ...] = (10, 50)
    only: tuple[str, ...] = ()
    save: bool = True
    worker: str = ""
    batch: int = 1
    count: int = 10
    saved: pathlib.Path = pathlib.Path()


def export(folder: pathlib.Path) -> Any:
    """Writes the SavedModel with one signature, `sample`; gives the model."""
    import keras

    from kmodels import ddpm
    from kmodels.core.codecs.images import Images
    from training import saved_model

    config = ddpm.Config(**UNET)
    keras.utils.set_random_seed(0)
    model = ddpm.build(config)
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:  # some begin at zero, and so would all noise
        weight.assign_add(0.02 * random.standard_normal(weight.shape))
    codec = Images(
        labels=("any",), size=config.size, mean=(127.5,), deviation=(127.5,), examples=()
    )
    endpoint = ddpm.endpoints(model, codec)["sample"]
    saved_model.write(folder, model, codec, {"sample": endpoint})
    return model


def caller(flags: Flags, *, threads: int = 0) -> Callable[[], served.Answer]:
    """Pictures of the seeds from 0 on, by the SavedModel in a TensorFlow session."""
    count = np.array([flags.count], np.int32)
    seeds = np.arange(flags.batch)
    return served.caller(flags.saved, "sample", threads=threads, seed=seeds, steps=count)


def ours(flags: Flags, *, threads: int) -> tuple[peers.Job, str]:
    """What a server answers."""
    call = caller(flags, threads=threads)

    def job(calls: int) -> None:
        for _ in range(calls):
            assert call()["image"].shape[0] == flags.batch

    return job, "SavedModel in a session, seeds in, PNG out"


def sampled(network: Any, start: Any, count: int) -> np.ndarray:
    """diffusers' pictures uint8 [B, H, W, C] of noise [B, C, H, W], in so many steps."""
    import diffusers
    import torch

    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=True)
    scheduler.set_timesteps(count)
    x = start
    with torch.inference_mode():
        for time in scheduler.timesteps:
            noise = network(x, time).sample
            x = scheduler.step(noise, time, x, eta=0.0, use_clipped_model_output=True).prev_sample
        seen = (x * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    pictures: np.ndarray = seen.permute(0, 2, 3, 1).numpy()
    return pictures


def diffusers_ddim(
    flags: Flags, *, layout: str, compiled: bool, threads: int
) -> tuple[peers.Job, str]:
    """diffusers' network and scheduler, from new noise each time."""
    import torch

    from benchmarks import generative_twins

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    order = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    network = generative_twins.unet(**UNET).eval().to(memory_format=order)
    forward = torch.compile(network) if compiled else network
    shape = flags.batch, UNET["channels"], UNET["size"], UNET["size"]

    def job(calls: int) -> None:
        for _ in range(calls):
            start = torch.randn(shape).contiguous(memory_format=order)
            assert len(sampled(forward, start, flags.count)) == flags.batch

    return job, "diffusers' U-Net and scheduler"


def floor(flags: Flags, *, library: str) -> tuple[peers.Job, str]:
    """What all looks of the network need."""
    from benchmarks import floors, generative_floor

    once = generative_floor.answer(UNET, flags.batch)
    return floors.job({o: n * flags.count for o, n in once.items()}, library)


def makers(flags: Flags) -> dict[str, Make]:
    """The peers by name; what stands after a colon is a variant, the fastest counts."""
    found: dict[str, Make] = {}
    for way, threads in THREADS.items():
        found[f"ours:{way}"] = functools.partial(ours, flags, threads=threads)
    for name, compiled in (("torch-compile", True), ("torch-eager", False)):
        make = functools.partial(diffusers_ddim, flags, compiled=compiled)
        for layout in LAYOUTS:
            found[f"{name}:{layout}"] = functools.partial(make, layout=layout, threads=0)
        found[f"{name}:channels-last, one thread"] = functools.partial(
            make, layout="channels-last", threads=1
        )
    for library in (*(f"torch-{layout}" for layout in LAYOUTS), "tensorflow"):
        found[f"floor:{library}"] = functools.partial(floor, flags, library=library)
    return found


def measure(
    flags: Flags, names: Sequence[str], *, count: int, batch: int
) -> tuple[dict[str, list[float]], dict[str, str], float]:
    """Milliseconds an answer by peer and round, a line about each, and the others' share."""
    given = [f"--saved={flags.saved}", f"--batch={batch}", f"--count={count}"]
    calls = max(1, flags.looks // (count * batch))
    found = peers.measured(__file__, names, rounds=flags.rounds, units=calls, arguments=given)
    values = {name: [1e3 * s for s in row] for name, row in found.seconds.items()}
    peers.fastest(values, found.about)
    return values, found.about, found.busy


def compare(flags: Flags) -> None:
    """All peers in turn, one number of steps and of pictures after another."""
    names = [n for n in makers(flags) if not flags.only or n.startswith(flags.only)]
    figures, ratios, facts, others = {}, {}, {}, {}
    for count in flags.steps:
        for batch in BATCHES:
            values, about, busy = measure(flags, names, count=count, batch=batch)
            group = f"{count} steps, batch {batch}"
            references = [n for n in REFERENCES if n in values]
            peers.show(f"DDIM, {group}", values, unit="ms", references=references, about=about)
            peers.warn(busy)
            figures[group], facts[group], others[group] = values, about, busy
            ratios[group] = {n: peers.ratios(values, n) for n in references}
    if flags.save:
        record.record(
            "ddim",
            figures,
            unit="ms",
            title="Pictures of 32 pixels by DDIM from a U-Net of a million parameters",
            ratios=ratios,
            about=facts,
            others_share_of_cpu=others,
        )


def main() -> None:
    """Exports the model, runs all peers, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.ddim")
    if flags.worker == "export":
        export(flags.saved)
    elif flags.worker:
        peers.serve(makers(flags)[flags.worker], warm=2)
    else:
        with tempfile.TemporaryDirectory() as place:
            peers.call(__file__, [f"--saved={place}/model", "--worker=export"])
            compare(dataclasses.replace(flags, saved=pathlib.Path(place) / "model"))


if __name__ == "__main__":
    main()
