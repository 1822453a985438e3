"""How GPT is trained: tokens of running text, AdamW on a cosine, the next token."""

import contextlib
import dataclasses
import importlib
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from kmodels import gpt
from kmodels.core import decoding, zoo
from kmodels.core.codecs.text import TextCodec
from training.config import CodecChoice, Recipe, TextCodecChoice, UserError
from training.data import windows
from training.evaluators import text_sample
from training.loop import Evaluator
from training.optimization import AdamW, Cosine
from training.prepared import Prepared

UNIT = "tokens"
DATA = ("docs", "text")
PRESET = "char"

# GPT-3, table 2.1: parameters, peak learning rate, and 2^20 tokens in a step.
SIZES = (
    *((125e6, 6e-4, 0.5), (350e6, 3e-4, 0.5), (760e6, 2.5e-4, 0.5), (1.3e9, 2e-4, 1)),
    *((2.7e9, 1.6e-4, 1), (6.7e9, 1.2e-4, 2), (13e9, 1e-4, 2), (175e9, 0.6e-4, 3.2)),
)


def recipe(config: gpt.Config) -> Recipe:
    """nanoGPT's recipe for networks that a CPU trains, GPT-3's optimizer for the others."""
    return _small(config) if config.width <= 128 else _large(config)


def paper(config: gpt.Config) -> Recipe:
    """GPT-3's schedule (section 2.3, appendix B); GPT-1's (section 4.1) for its network.

    GPT-3: 300 billion tokens, the rate rising over the first 375 million. The paper's has fallen
    at 260 billion and its batch grows to full size first; here the rate falls to the last step and
    the batch is whole from the first. GPT-2's paper gives no rate, so its networks have GPT-3's.
    """
    if config.norm == "post":
        return _gpt1(config)
    base = _large(config)
    batch_size = round(_size(config)[2] * 2**20 / config.context)
    tokens = batch_size * config.context
    return dataclasses.replace(
        base,
        schedule=Cosine(warmup_steps=round(375e6 / tokens), final=0.1),
        batch_size=batch_size,
        steps=round(300e9 / tokens),
        eval_every=1000,
        save_every=1000,
        origin="paper",
    )


def _gpt1(config: gpt.Config) -> Recipe:
    """Batches of 64, Adam at 0.00025 after 2,000 steps of rise, then a cosine to 0; decay 0.01.

    The paper's hundred epochs are 3 million steps if BooksCorpus has a billion tokens.
    """
    return dataclasses.replace(
        _large(config),
        optimizer=AdamW(learning_rate=2.5e-4, weight_decay=0.01),
        schedule=Cosine(warmup_steps=2000, final=0.0),
        batch_size=64,
        steps=3_000_000,
        eval_every=1000,
        save_every=1000,
        origin="paper",
    )


def cpu(config: gpt.Config) -> Recipe:
    """nanoGPT's for a CPU; of larger networks twenty steps, which show that they train."""
    small = _small(config)
    if config.width <= 128:
        return small
    return dataclasses.replace(
        small,
        schedule=Cosine(warmup_steps=10, final=0.1),
        batch_size=1,
        steps=20,
        log_every=5,
        eval_every=10,
        save_every=10,
        eval_batches=2,
    )


PROFILES = {"paper": paper, "cpu": cpu}


def _codec(config: gpt.Config) -> TextCodecChoice:
    return TextCodecChoice(kind="characters" if config.vocab is None else "byte_pairs")


def _small(config: gpt.Config) -> Recipe:
    tiny = config.width < 64
    return Recipe(
        data="docs",
        codec=_codec(config),
        learner="gradient",
        objective="next_token",
        optimizer=AdamW(learning_rate=1e-3, beta_2=0.99, weight_decay=0.1, clip_norm=1.0),
        schedule=Cosine(warmup_steps=100, final=0.1),
        batch_size=8 if tiny else 12,
        steps=40 if tiny else 2000,
        log_every=10 if tiny else 25,
        eval_every=20 if tiny else 250,
        save_every=20 if tiny else 250,
        eval_batches=4 if tiny else 200,
        origin="cpu",
    )


def _size(config: gpt.Config) -> tuple[float, float, float]:
    """The row of GPT-3's table that is nearest from above."""
    count = gpt.param_count(dataclasses.replace(config, vocab=config.vocab or 256))
    return next((row for row in SIZES if count < 1.5 * row[0]), SIZES[-1])


def _large(config: gpt.Config) -> Recipe:
    """GPT-3, appendix B: Adam 0.9/0.95, clip 1, decay 0.1, cosine to a tenth of the peak."""
    _, peak, _ = _size(config)
    return Recipe(
        data="docs",
        codec=_codec(config),
        learner="gradient",
        objective="next_token",
        optimizer=AdamW(learning_rate=peak, beta_2=0.95, weight_decay=0.1, clip_norm=1.0),
        schedule=Cosine(warmup_steps=200, final=0.1),
        batch_size=8,
        steps=10_000,
        log_every=5,
        eval_every=250,
        save_every=250,
        eval_batches=50,
    )


def prepare(
    config: gpt.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: TextCodec | None = None,
) -> Prepared:
    """Reads the text, fits the codec, cuts windows; the config's vocabulary is set from the codec.

    Args:
        codec: Another run's, to be taken as it is; None fits one.

    Raises:
        UserError: the text, the codec and the config do not fit together.
    """
    if recipe.data not in DATA:
        raise UserError(zoo.unknown("data for gpt", recipe.data, list(DATA)))
    try:
        text = importlib.import_module(f"training.data.{recipe.data}").read(data_dir)
        train, held_out = windows.split(text)
        codec = codec or fit(recipe.codec, config.vocab, text, train)
        data = windows.TokenWindows(
            train=codec.tokens(train), eval=codec.tokens(held_out), context=config.context
        )
    except ValueError as error:
        raise UserError(str(error)) from None
    _, _, paragraph = held_out.partition("\n\n")
    prompt = (paragraph or held_out)[: max(config.context // 4, 1)]
    return Prepared.of(config, codec, data, text, prompt=prompt)


def fit(choice: CodecChoice, vocab: int | None, text: str, train: str) -> TextCodec:
    """The codec of a choice, which must have `vocab` tokens where that is given."""
    from kmodels.core.codecs.byte_pairs import BytePairs
    from kmodels.core.codecs.characters import Characters

    codec: TextCodec
    assert isinstance(choice, TextCodecChoice)
    if choice.kind == "characters":
        codec = Characters.fit(text)
    elif choice.folder is not None:
        codec = BytePairs.from_folder(choice.folder)
    elif vocab is None:
        raise UserError(
            "--codec.kind=byte_pairs trains a vocabulary; give its size, --config.vocab."
        )
    else:
        codec = BytePairs.fit(train, vocab=vocab)
    if vocab is not None and codec.vocab != vocab:
        raise UserError(
            f"The codec has {codec.vocab:,} tokens and config.vocab is {vocab:,}; "
            f"give --config.vocab={codec.vocab} or another codec."
        )
    return codec


def evaluators(model: gpt.GPT, prepared: Prepared) -> Sequence[Evaluator]:
    """A sample of text at every evaluation."""
    endpoint: Any = gpt.endpoints(model, prepared.codec)["generate"]
    return [text_sample.make(model, endpoint, prompt=prepared.prompt)]


def ask(codec: TextCodec, config: gpt.Config, published: pathlib.Path) -> str:
    """A continuation of words the model can read, as many as its context takes."""
    prompt = decoding.example_texts(codec, config.context)[0].decode()
    for words in ("The", "The with", "The with statement"):
        with contextlib.suppress(ValueError):
            if len(codec.tokens(words)) <= config.context:
                prompt = words
    return f"--signature=generate {shlex.quote(f'prompt={prompt}')}"
