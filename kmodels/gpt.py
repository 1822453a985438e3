"""GPT: a Transformer decoder that predicts the next token, and nothing else.

Tokens become vectors, a learned vector for their position is added, and a stack of blocks lets
each position look at itself and its past (attention) and then think (a two-layer MLP); the last
vectors are compared with every token's embedding, which gives the logits of the next token.

What was new. GPT-1: pretrain this on books, fine-tune on anything. GPT-2: move layer
normalisation to the input of each part, scale the initial residual weights, and ask for tasks in
plain text. GPT-3: the same at 175 billion parameters, every second layer attending to a local
band, learning from examples in the prompt.

Departures. GPT-3 does not publish its band width: `band` is ours to set. Its table prints
width 5140 for 13B beside 40 heads of 128; 5120 is built. GPT-2's paper prints 117M, 345M and 762M
for networks of 124M, 355M and 774M parameters.

Shapes: B batch, T positions, C context, D width, H heads, K width of a head, V vocabulary.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import ops

from kmodels.core import activations, checks, decoding, linear
from kmodels.core.codecs.text import TextCodec
from kmodels.core.normalisation import LayerNormalization
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Improving Language Understanding by Generative Pre-Training",
    authors="Radford, Narasimhan, Salimans, Sutskever",
    year=2018,
    url="https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one GPT.

    Attributes:
        vocab: Number of tokens; None takes the codec's when a run is resolved.
        context: Most positions the network sees at once.
        head_width: Width of one head; None is width / heads.
        norm: "post" normalises each sum (GPT-1), "pre" each part's input (GPT-2 on).
        bias: Whether linear maps and norms have biases.
        activation: "gelu_tanh" is the approximation OpenAI used, "gelu" the exact function.
        dropout: Rate in [0, 1) on embeddings, attention weights and each part's output.
        band: Odd layers attend to this many latest positions only; None is dense.
        position_stddev: Initial standard deviation of the position embedding.
    """

    vocab: int | None = 50_257
    context: int = 1024
    depth: int = 12
    heads: int = 12
    width: int = 768
    head_width: int | None = None
    norm: Literal["pre", "post"] = "pre"
    bias: bool = True
    activation: Literal["gelu_tanh", "gelu"] = "gelu_tanh"
    dropout: float = 0.1
    band: int | None = None
    position_stddev: float = 0.01

    def __post_init__(self) -> None:
        checks.at_least_one(
            self, "vocab", "context", "depth", "heads", "width", "head_width", "band"
        )
        checks.choices(self, "norm", "activation")
        checks.rates(self, "dropout")
        if self.head_width is None and self.width % self.heads:
            raise ValueError(
                f"config.width {self.width} does not divide into {self.heads} heads; "
                "change one of them or give config.head_width."
            )

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * (self.head_width or self.width // self.heads)


def _gpt3(depth: int, width: int, heads: int, head_width: int) -> Config:
    return Config(
        context=2048,
        depth=depth,
        width=width,
        heads=heads,
        head_width=head_width,
        dropout=0.0,
        band=256,
    )


PRESETS = {
    "tiny": Config(vocab=None, context=16, depth=2, heads=2, width=16),
    # nanoGPT's network for a CPU: 804,096 parameters with 65 characters.
    "char": Config(
        vocab=None,
        context=64,
        depth=4,
        heads=4,
        width=128,
        bias=False,
        activation="gelu",
        dropout=0.0,
        position_stddev=0.02,
    ),
    # GPT-1, section 4.1.
    "gpt1": Config(vocab=40_478, context=512, norm="post", position_stddev=0.02),
    # GPT-2, table 2.
    "gpt2-small": Config(),
    "gpt2-medium": Config(depth=24, width=1024, heads=16),
    "gpt2-large": Config(depth=36, width=1280, heads=20),
    "gpt2-xl": Config(depth=48, width=1600, heads=25),
    # GPT-3, table 2.1.
    "gpt3-125m": _gpt3(12, 768, 12, 64),
    "gpt3-350m": _gpt3(24, 1024, 16, 64),
    "gpt3-760m": _gpt3(24, 1536, 16, 96),
    "gpt3-1.3b": _gpt3(24, 2048, 24, 128),
    "gpt3-2.7b": _gpt3(32, 2560, 32, 80),
    "gpt3-6.7b": _gpt3(32, 4096, 32, 128),
    "gpt3-13b": _gpt3(40, 5120, 40, 128),
    "gpt3-175b": _gpt3(96, 12_288, 96, 128),
}


def _linear(units: int, config: Config, name: str, *, stddev: float = 0.02) -> keras.layers.Dense:
    return keras.layers.Dense(
        units,
        use_bias=config.bias,
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        name=name,
    )


def _residual_stddev(config: Config) -> float:
    """GPT-2, section 2.3: weights into the residual path shrink with the number of sums."""
    return 0.02 / math.sqrt(2 * config.depth) if config.norm == "pre" else 0.02


def _norm(config: Config, name: str) -> LayerNormalization:
    return LayerNormalization(epsilon=1e-5, center=config.bias, name=name)


def hidden(queries: tf.Tensor, keys: tf.Tensor, band: int | None) -> tf.Tensor:
    """What is added to scores so that a query sees its own position and the past alone.

    Args:
        queries: int [..., Tq, 1], positions.
        keys: int [..., 1, Tk], positions.
        band: How many latest positions are visible; None is all.

    Returns:
        float32 [..., Tq, Tk], 0 where a key is visible and -1e9 elsewhere.
    """
    seen = keys <= queries
    seen = seen if band is None else ops.logical_and(seen, keys > queries - band)
    return tf.where(seen, 0.0, -1e9)


class Attention(keras.layers.Layer):
    """Masked multi-head self-attention (GPT-1, section 3.1).

    Its heads are one part, or two whose outputs add up once the layer is laid out for answering;
    h is the number of heads in a part.
    """

    halves: list[Any] | None = None

    def __init__(self, config: Config, *, band: int | None, name: str) -> None:
        super().__init__(name=name)
        self.band, self.head_width = band, config.inner // config.heads
        self.qkv = _linear(3 * config.inner, config, "qkv")
        self.out = _linear(config.width, config, "out", stddev=_residual_stddev(config))
        self.dropout = keras.layers.Dropout(config.dropout)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes all weights at once; Keras would trace `call` for them, once per level."""
        self.qkv.build(shape)
        self.out.build((*shape[:-1], self.qkv.units // 3))

    def parts(self) -> list[Any]:
        """Pairs as `qkv` and `out`; no attribute, because Keras saves the layers in those."""
        return self.halves or [(self.qkv, self.out)]

    def split(self, x: tf.Tensor) -> list[tf.Tensor]:
        """[B, T, 3hK], or [B, 3hK] of one position -> queries, keys, values, each [B, h, T, K]."""
        shape = 3, x.shape[-1] // (3 * self.head_width)
        if len(x.shape) == 2:
            x = tf.reshape(x, (x.shape[0] or -1, *shape, 1, self.head_width))
            return list(tf.unstack(x, axis=1))
        heads = -1, ops.shape(x)[1], *shape[1:], self.head_width
        return [ops.transpose(ops.reshape(y, heads), (0, 2, 1, 3)) for y in tf.split(x, 3, -1)]

    def attend(
        self, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, mask: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """Weighs values by softmax(q k / sqrt(K) + mask), mask [..., Tq, Tk]; [B, h, Tq, K]."""
        product, softmax = linear.kernels(q)
        scores = product(q * (1 / math.sqrt(self.head_width)), k, transpose_b=True)
        weights = ops.cast(softmax(ops.cast(scores, "float32") + mask), v.dtype)
        return product(self.dropout(weights, training=training), v)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        at = ops.arange(ops.shape(x)[1])
        mask = hidden(at[:, None], at[None], self.band)
        parts = []
        for qkv, out in self.parts():
            q, k, v = self.split(qkv(x))
            parts.append(out(self.merge(self.attend(q, k, v, mask, training=training))))
        return tf.add_n(parts)

    def merge(self, mixed: tf.Tensor) -> tf.Tensor:
        """Heads [B, h, T, K] to [B, T, hK]."""
        width = mixed.shape[1] * self.head_width
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        return ops.reshape(mixed, (-1, ops.shape(mixed)[1], width))


class Block(keras.layers.Layer):
    """Attention and a 4-times-wider MLP, each added to the residual stream."""

    halves: list[Any] | None = None

    def __init__(self, config: Config, *, band: int | None, name: str) -> None:
        super().__init__(name=name)
        self.pre, self.approximate = config.norm == "pre", config.activation == "gelu_tanh"
        self.norm_1, self.norm_2 = _norm(config, "norm_1"), _norm(config, "norm_2")
        self.attention = Attention(config, band=band, name="attention")
        self.up = _linear(4 * config.width, config, "up")
        self.down = _linear(config.width, config, "down", stddev=_residual_stddev(config))
        self.dropout = keras.layers.Dropout(config.dropout)

    def build(self, shape: tuple[int | None, ...]) -> None:
        for part in (self.norm_1, self.attention, self.norm_2, self.up):
            part.build(shape)
        self.down.build((*shape[:-1], self.up.units))

    def pack(self) -> None:
        """Lays all linear maps out for answering; training goes on elsewhere."""
        part = self.attention
        part.halves = linear.halves(part.qkv, part.out, groups=3, unit=part.head_width)
        self.halves = linear.halves(self.up, self.down)

    def mlp(self, x: tf.Tensor) -> tf.Tensor:
        gelu = functools.partial(activations.gelu, approximate=self.approximate)
        parts = self.halves or [(self.up, self.down)]
        return tf.add_n([down(gelu(up(x))) for up, down in parts])

    def around(self, x: tf.Tensor, attention: Any, *, training: bool = False) -> tf.Tensor:
        """The block with `attention`, a function of [..., D], in the place of its own."""
        if self.pre:
            x = x + self.dropout(attention(self.norm_1(x)), training=training)
            return x + self.dropout(self.mlp(self.norm_2(x)), training=training)
        x = self.norm_1(x + self.dropout(attention(x), training=training))
        return self.norm_2(x + self.dropout(self.mlp(x), training=training))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.around(x, lambda y: self.attention(y, training=training), training=training)


class GPT(keras.Model):
    """int32 tokens [B, T <= C] -> float32 logits of the next token [B, T, V]."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="gpt")
        if config.vocab is None:
            raise ValueError("config.vocab is not set; give it, or let the codec of a run set it.")
        self.config = config
        normal = keras.initializers.RandomNormal
        self.tokens = keras.layers.ReversibleEmbedding(
            config.vocab, config.width, embeddings_initializer=normal(stddev=0.02), name="tokens"
        )
        self.positions = keras.layers.Embedding(
            config.context,
            config.width,
            embeddings_initializer=normal(stddev=config.position_stddev),
            name="positions",
        )
        self.dropout = keras.layers.Dropout(config.dropout)
        self.blocks = [
            Block(config, band=config.band if i % 2 else None, name=f"block_{i}")
            for i in range(config.depth)
        ]
        self.norm = _norm(config, "norm") if config.norm == "pre" else None

    def head(self, x: tf.Tensor) -> tf.Tensor:
        """[..., D] -> logits [..., V]: the embedding serves as output matrix too."""
        x = x if self.norm is None else self.norm(x)
        return ops.cast(self.tokens(x, reverse=True), "float32")

    def call(self, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = self.tokens(tokens) + self.positions(ops.arange(ops.shape(tokens)[1]))
        x = self.dropout(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(x)

    def pack(self) -> None:
        """`Block.pack` of all."""
        for block in self.blocks:
            block.pack()

    def last_head(self, x: tf.Tensor) -> tf.Tensor:
        """`head` of [B, D], in the way that is fastest for few rows (decision 0008)."""
        x = tf.cast(x if self.norm is None else self.norm(x), tf.float32)
        table = tf.convert_to_tensor(self.tokens.embeddings.value)
        if x.shape[0] == 1:
            return tf.matmul(x, table, transpose_b=True)
        return tf.einsum("vd,bd->bv", table, x)

    def prefill(
        self, tokens: tf.Tensor, lengths: tf.Tensor, room: tf.Tensor
    ) -> tuple[tf.Tensor, decoding.Cache]:
        """Reads right-padded windows at once.

        Args:
            tokens: int32 [B, T <= C]; what stands behind a row's length is never seen.
            lengths: int32 [B], each at least 1.
            room: int32, R in [T, C]: how many positions the cache is to hold.

        Returns:
            Logits of the next token [B, V]; keys and values by layer and part, each [B, h, R, K].
        """
        x = self.tokens(tokens) + self.positions(ops.arange(ops.shape(tokens)[1]))
        at = ops.arange(ops.shape(tokens)[1])
        grow = [[0, 0], [0, 0], [0, room - ops.shape(tokens)[1]], [0, 0]]
        cache: decoding.Cache = []

        def attention(y: tf.Tensor, layer: Attention) -> tf.Tensor:
            mask, parts = hidden(at[:, None], at[None], layer.band), []
            for qkv, out in layer.parts():
                q, k, v = layer.split(qkv(y))
                cache.append((tf.pad(k, grow), tf.pad(v, grow)))
                parts.append(out(layer.merge(layer.attend(q, k, v, mask))))
            return tf.add_n(parts)

        for block in self.blocks:
            x = block.around(x, functools.partial(attention, layer=block.attention))
        return self.last_head(tf.gather(x, lengths - 1, batch_dims=1)), cache

    def step(
        self, token: tf.Tensor, position: tf.Tensor, cache: decoding.Cache
    ) -> tuple[tf.Tensor, decoding.Cache]:
        """Reads one more token a row: int32 [B] at positions [B] in [0, R); as `prefill`."""
        x = self.tokens(token) + self.positions(position)  # [B, D]
        here = position[:, None, None, None]
        at = ops.arange(ops.shape(cache[0][0])[2])
        masks = {band: hidden(here, at, band) for band in {None, self.config.band}}
        one_layer = cache[: len(cache) // len(self.blocks)]
        slots = [decoding.slots(keys, position) for keys, _ in one_layer]
        old, new = iter(cache), []

        def attention(y: tf.Tensor, layer: Attention) -> tf.Tensor:
            parts = []
            for (qkv, out), slot in zip(layer.parts(), slots, strict=True):
                q, k, v = layer.split(qkv(y))
                keys, values = next(old)
                new.append((decoding.put(keys, k, slot), decoding.put(values, v, slot)))
                mixed = layer.attend(q, *new[-1], masks[layer.band])  # [B, h, 1, K]
                shape = token.shape[0] or -1, q.shape[1] * layer.head_width
                parts.append(out(tf.reshape(mixed, shape)))
            return tf.add_n(parts)

        for block in self.blocks:
            x = block.around(x, functools.partial(attention, layer=block.attention))
        return self.last_head(x), new


def build(config: Config) -> GPT:
    """The network, its weights created and initialised (GPT-1, section 4.1; GPT-2, section 2.3)."""
    model = GPT(config)
    model(tf.zeros((1, min(2, config.context)), tf.int32))
    return model


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    if config.vocab is None:
        raise ValueError("config.vocab is not set; the count depends on it.")
    width, inner, bias = config.width, config.inner, int(config.bias)
    norm = width * (1 + bias)
    attention = 3 * inner * (width + bias) + width * (inner + bias)
    mlp = 4 * width * (width + bias) + width * (4 * width + bias)
    final = norm if config.norm == "pre" else 0
    embeddings = (config.vocab + config.context) * width
    return embeddings + config.depth * (attention + mlp + 2 * norm) + final


def endpoints(model: GPT, codec: TextCodec) -> dict[str, Endpoint]:
    """`generate` (strings to strings), `score` (log-probabilities of a text)."""
    generate = decoding.generate_endpoint(model, codec, context=model.config.context)
    score = decoding.score_endpoint(model, codec, context=model.config.context)
    return {"serving_default": generate, "generate": generate, "score": score}
