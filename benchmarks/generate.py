"""How many tokens a second does a gpt2-small shape generate, ours and its peers'?

    python -m benchmarks.generate --rounds=7

Random weights, prompts of 16 tokens, 64 new tokens, greedy, nothing stops early; batch 1 and 8;
float32. Ours is the exported SavedModel, loaded session style as TensorFlow Serving does, asked
with text; its codec's work is part of its time. transformers and keras-hub are asked with tokens.
`ours-matrices` is ours with kernels as training has them, the way that was not taken (decision
0008).
"""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import tyro

from benchmarks import peers, record, served

PROMPT, NEW, BATCHES, VOCAB = 16, 64, (1, 8), 50_257


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times generation with a gpt2-small shape against its peers.

    Attributes:
        rounds: Times that each peer has its turn.
        calls: Generations in a turn.
        only: Peers to run; all where empty.
        save: Whether to write docs/results/generate.json and .png.
        worker: Used by the command itself.
        batch: Used by the command itself.
        saved: Used by the command itself.
    """

    rounds: int = 7
    calls: int = 1
    only: tuple[str, ...] = ()
    save: bool = True
    worker: str = ""
    batch: int = 1
    saved: pathlib.Path = pathlib.Path()


def export(folder: pathlib.Path) -> None:
    """Writes the SavedModels that are asked: random weights, GPT-2's sizes.

    `blocks` is what an export is, `matrices` has kernels as training has them (decision 0008).
    """
    from kmodels import gpt
    from training import saved_model

    model = gpt.build(gpt.PRESETS["gpt2-small"])
    codec = pairs_codec()
    for layout in ("matrices", "blocks"):
        endpoint = gpt.endpoints(model, codec)["generate"]
        unpacked = mock.patch.object(model, "pack", lambda: None)
        with unpacked if layout == "matrices" else contextlib.nullcontext():
            saved_model.write(folder / layout, model, codec, {"generate": endpoint})


def pairs_codec() -> Any:
    """A byte-pair codec as large as GPT-2's: every merge joins two bytes."""
    from kmodels.core.codecs import byte_pairs

    first = sorted(byte_pairs.ALPHABET, key=lambda c: c != byte_pairs.ALPHABET[ord(" ")])
    merges = [(a, b) for a in first for b in byte_pairs.ALPHABET][: VOCAB - 257]
    tokens = [*byte_pairs.ALPHABET, *(a + b for a, b in merges), byte_pairs.END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return byte_pairs.BytePairs(vocabulary=vocabulary, merges=tuple(merges))


def prompts(batch: int) -> list[str]:
    """Texts of 16 tokens: " a" is one token, a blank and a letter being merged."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(f" {letters[(r + i) % 26]}" for i in range(PROMPT)) for r in range(batch)]


def tokens(batch: int) -> np.ndarray:
    """Random tokens, int32 [B, 16]."""
    return np.random.default_rng(0).integers(0, VOCAB - 1, (batch, PROMPT), dtype=np.int32)


def ours(flags: Flags, *, layout: str = "blocks") -> tuple[peers.Job, str]:
    """The SavedModel in a TensorFlow session."""
    call = served.caller(
        flags.saved / layout,
        "generate",
        prompt=np.array(prompts(flags.batch), object),
        max_new_tokens=np.array([NEW], np.int32),
    )

    def job(calls: int) -> None:
        for _ in range(calls):
            answer = call()
            assert (answer["token_count"] == NEW).all(), answer["token_count"]

    return job, "SavedModel in a session, text in and out"


def transformers_generate(flags: Flags) -> tuple[peers.Job, str]:
    """transformers' `generate` with its key-value cache, eager."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    ids = torch.tensor(tokens(flags.batch), dtype=torch.int64)
    mask = torch.ones_like(ids)

    def job(calls: int) -> None:
        for _ in range(calls):
            with torch.inference_mode():
                out = model.generate(
                    ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, use_cache=True
                )
            assert out.shape[1] == PROMPT + NEW

    return job, "eager, key-value cache"


def keras_hub_generate(flags: Flags) -> tuple[peers.Job, str]:
    """keras-hub's GPT2CausalLM.generate, compiled as it does by default."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCAB,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        max_sequence_length=1024,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy")
    width = ((0, 0), (0, NEW))
    ids = np.pad(tokens(flags.batch), width)
    given = {"token_ids": ids, "padding_mask": (np.arange(PROMPT + NEW) < PROMPT) & (ids >= 0)}

    def job(calls: int) -> None:
        for _ in range(calls):
            model.generate(given, stop_token_ids=None)

    return job, "default compilation, cache as long as prompt and answer"


PEERS: dict[str, Callable[[Flags], tuple[peers.Job, str]]] = {
    "ours": ours,
    "ours-matrices": lambda flags: ours(flags, layout="matrices"),
    "transformers": transformers_generate,
    "keras-hub": keras_hub_generate,
}


def main() -> None:
    """Exports the model, runs all peers in turn at each batch size, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.generate")
    if flags.worker == "export":
        export(flags.saved)
        return
    if flags.worker:
        peers.serve(lambda: PEERS[flags.worker](flags), warm=2)
        return
    names = [name for name in PEERS if not flags.only or name in flags.only]
    values: dict[str, dict[str, list[float]]] = {}
    compared, about, others = {}, {}, {}
    with tempfile.TemporaryDirectory() as place:
        saved = pathlib.Path(place)
        if any(name.startswith("ours") for name in names):
            peers.call(__file__, [f"--saved={saved}", "--worker=export"])
        for batch in BATCHES:
            group = f"batch {batch}"
            given = [f"--saved={saved}", f"--batch={batch}"]
            found = peers.measured(
                __file__, names, rounds=flags.rounds, units=flags.calls, arguments=given
            )
            rates = {name: [batch * NEW / s for s in row] for name, row in found.seconds.items()}
            values[group], about, others[group] = rates, found.about, found.busy
            references = [n for n in ("transformers", "keras-hub") if n in rates]
            title = f"GPT-2 small, {group}: {NEW} new tokens after {PROMPT}"
            peers.show(title, rates, unit="tok/s", references=references, about=about)
            peers.warn(others[group])
            compared[group] = {name: peers.ratios(rates, name) for name in references}
    if flags.save:
        record.record(
            "generate",
            values,
            unit="tokens/s",
            title=f"GPT-2 small, {NEW} new tokens after {PROMPT}, greedy, float32",
            ratios=compared,
            about=about,
            others_share_of_cpu=others,
        )


if __name__ == "__main__":
    main()
