"""Choosing the next token from logits, each row by its own options.

Shapes: B batch, V vocabulary, L known tokens. Sources: top-k (Fan et al. 2018, section 5.4), top-p
(Holtzman et al. 2020, section 3.1), repetition penalty (Keskar et al. 2019, section 4.1).
"""

from typing import Any

import tensorflow as tf

OPTIONS: dict[str, tuple[tf.TensorSpec, Any]] = {
    "temperature": (tf.TensorSpec([None], tf.float32), [0.0]),
    "top_k": (tf.TensorSpec([None], tf.int32), [0]),
    "top_p": (tf.TensorSpec([None], tf.float32), [1.0]),
    "repetition_penalty": (tf.TensorSpec([None], tf.float32), [1.0]),
}


def must(
    inside: tf.Tensor, sentence: str | tf.Tensor, given: tf.Tensor | None = None
) -> list[tf.Operation]:
    """An assertion that all of `inside` holds, which says the sentence and what was given.

    What follows has to depend on it, or it may fail first with a worse message. The list is
    empty where the check has run already (outside a graph).
    """
    if given is not None:
        values = tf.strings.reduce_join(tf.strings.as_string(given), separator=", ")
        sentence = tf.strings.join([sentence, " ", values, "."])
    check = tf.debugging.Assert(tf.reduce_all(inside), [sentence])
    return [] if check is None else [check]


def check_options(options: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Assertions that every option lies in its range."""
    t, k, p = options["temperature"], options["top_k"], options["top_p"]
    r = options["repetition_penalty"]
    return [
        *must(t >= 0, "temperature must be at least 0 (0 is greedy); given", t),
        *must(k >= 0, "top_k must be at least 0 (0 is off); given", k),
        *must((p > 0) & (p <= 1), "top_p must lie in (0, 1] (1 is off); given", p),
        *must(r > 0, "repetition_penalty must be above 0 (1 is off); given", r),
    ]


def uniform(seeds: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Random numbers in [0, 1), float32 [B, count], that depend on each row's seed [B] alone.

    A longer draw begins with the shorter one.
    """

    @tf.autograph.experimental.do_not_convert
    def of(seed: tf.Tensor) -> tf.Tensor:
        pair = tf.stack([seed, tf.zeros_like(seed)])
        return tf.random.stateless_uniform([count], seed=pair)

    return tf.map_fn(of, seeds, fn_output_signature=tf.TensorSpec([None], tf.float32))


def log_prob(logits: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Log-probability of int32 tokens [...] under logits [..., V]."""
    chosen = tf.gather(logits, tokens, batch_dims=len(tokens.shape))
    return chosen - tf.reduce_logsumexp(logits, axis=-1)


def choose(
    logits: tf.Tensor,
    known: tf.Tensor,
    real: tf.Tensor,
    uniform: tf.Tensor,
    options: dict[str, tf.Tensor],
) -> tf.Tensor:
    """The next token of each row.

    Args:
        logits: float32 [B, V].
        known: int32 [B, L], tokens so far, for the repetition penalty.
        real: bool [B, L], which of them are tokens and not padding.
        uniform: float32 [B] in [0, 1), the row's random number.
        options: `OPTIONS` by name, each [B].

    Returns:
        int32 [B]: the most likely token where temperature is 0, a drawn one elsewhere.
    """
    penalty, temperature = options["repetition_penalty"], options["temperature"]
    logits = tf.cond(
        tf.reduce_any(penalty != 1), lambda: penalise(logits, known, real, penalty), lambda: logits
    )
    greedy = tf.argmax(logits, axis=-1, output_type=tf.int32)
    drawn = tf.cond(
        tf.reduce_any(temperature > 0),
        lambda: draw(logits, uniform, options),
        lambda: greedy,
    )
    return tf.where(temperature > 0, drawn, greedy)


def penalise(logits: tf.Tensor, known: tf.Tensor, real: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    """Divides the positive logits of tokens already there by the penalty, multiplies the others."""
    rows = tf.broadcast_to(tf.range(tf.shape(known)[0])[:, None], tf.shape(known))
    at = tf.boolean_mask(tf.stack([rows, known], axis=-1), real)
    old = tf.gather_nd(logits, at)
    factor = tf.gather(penalty, at[:, 0])
    return tf.tensor_scatter_nd_update(logits, at, tf.where(old > 0, old / factor, old * factor))


def draw(logits: tf.Tensor, uniform: tf.Tensor, options: dict[str, tf.Tensor]) -> tf.Tensor:
    """Draws from softmax(logits / temperature) cut to the top k tokens and the top p of mass.

    The distribution is walked in the order of the vocabulary, so what a row draws depends on
    nothing but its own logits, options and number.
    """
    scaled = logits / tf.maximum(options["temperature"], 1e-6)[:, None]
    top_k, top_p = options["top_k"], options["top_p"]

    def keep() -> tf.Tensor:
        ranked = tf.sort(scaled, direction="DESCENDING")
        vocab = tf.shape(logits)[1]
        limit = tf.where(top_k > 0, tf.minimum(top_k, vocab), vocab)
        ranked = tf.where(tf.range(vocab)[None] < limit[:, None], ranked, -float("inf"))
        before = tf.cumsum(tf.nn.softmax(ranked), axis=1, exclusive=True)
        kept = (before < top_p[:, None]) | (top_p[:, None] >= 1)  # the token that crosses p stays
        least = tf.reduce_min(tf.where(kept & (ranked > -float("inf")), ranked, float("inf")), 1)
        return tf.where(scaled >= least[:, None], scaled, -float("inf"))

    filtered = tf.reduce_any((top_k > 0) | (top_p < 1))
    mass = tf.cumsum(tf.nn.softmax(tf.cond(filtered, keep, lambda: scaled)), axis=1)
    total = mass[:, -1:]
    passed = (mass <= uniform[:, None] * total) & (mass < total)
    return tf.reduce_sum(tf.cast(passed, tf.int32), axis=1)
