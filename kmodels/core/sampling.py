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


def must(inside: tf.Tensor, sentence: str, value: tf.Tensor) -> None:
    """Stops the request unless all of `inside` holds; says the sentence and what was given."""
    given = tf.strings.reduce_join(tf.strings.as_string(value), separator=", ")
    message = tf.strings.join([sentence, "; given: ", given, "."])
    tf.debugging.Assert(tf.reduce_all(inside), [message])


def check_options(options: dict[str, tf.Tensor]) -> None:
    """Stops the request with one sentence unless every option lies in its range."""
    t, k, p = options["temperature"], options["top_k"], options["top_p"]
    r = options["repetition_penalty"]
    must(t >= 0, "temperature must be at least 0 (0 is greedy)", t)
    must(k >= 0, "top_k must be at least 0 (0 is off)", k)
    must((p > 0) & (p <= 1), "top_p must lie in (0, 1] (1 is off)", p)
    must(r > 0, "repetition_penalty must be above 0 (1 is off)", r)


def uniform(seeds: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Random numbers in [0, 1), float32 [B, count], that depend on each row's seed [B] alone.

    A longer draw begins with the shorter one.
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(
            [count], seed=tf.stack([seed, tf.zeros_like(seed)])
        ),
        seeds,
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )


def log_prob(logits: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Log-probability of int32 tokens [...] under logits [..., V]."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tokens, logits=logits)


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
