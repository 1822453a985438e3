"""Generation inside the graph: prefill once, then one token a turn with a key-value cache.

Every row of a batch has its own length, position, options and random numbers, so it gets the same
text alone and in company. A row that outgrows the context forgets its oldest half and reads the
rest again. Works for any model that has `prefill` and `step`.

Shapes: B batch, P longest prompt, N most new tokens, C context, V vocabulary, S stop strings.
"""

from typing import Any, Protocol

import tensorflow as tf

from kmodels.core import sampling
from kmodels.core.codecs.text import TextCodec
from kmodels.core.paper import Endpoint

Cache = list[tuple[tf.Tensor, tf.Tensor]]
State = dict[str, tf.Tensor]  # what a row has so far

OPTIONS: dict[str, tuple[tf.TensorSpec, Any]] = {
    "max_new_tokens": (tf.TensorSpec([None], tf.int32), [100]),
    "stop": (tf.TensorSpec(None, tf.string), [""]),
    "seed": (tf.TensorSpec([None], tf.int64), [0]),
    **sampling.OPTIONS,
}
LIMIT = 4096  # of max_new_tokens: one request may not hold a server for minutes


class Decoder(Protocol):
    """A model that reads many tokens at once, or one more."""

    def prefill(
        self, tokens: tf.Tensor, lengths: tf.Tensor, room: tf.Tensor
    ) -> tuple[tf.Tensor, Cache]: ...

    def step(self, token: tf.Tensor, position: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
        """One token a row, int32 [B]; [1], with B known, where one row is asked for on a CPU."""


def slots(cache: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Where `put` writes: int32 [B * H], the rows of a cache [B, H, R, K] seen as [B * H * R, K].

    A position [B] behind the end, of a row that is done, falls on that row's last slot.
    """
    batch, heads, room, _ = tf.unstack(tf.shape(cache))
    first = tf.reshape(tf.range(batch * heads) * room, [batch, heads])
    return tf.reshape(first + tf.minimum(position, room - 1)[:, None], [-1])


def put(cache: tf.Tensor, new: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
    """Writes `new` [B, H, 1, K] into `cache` [B, H, R, K] at `slots`, in place.

    A copy of all caches at each token would cost as much as the weights do. The cache that was
    passed in is the caller's no more.
    """
    shape, width = tf.shape(cache), new.shape[-1]
    rows = tf.reshape(cache, [-1, width])
    rows = tf.raw_ops.InplaceUpdate(x=rows, i=slots, v=tf.reshape(new, [-1, width]))
    return tf.reshape(rows, shape)


def window_start(length: tf.Tensor, context: int) -> tf.Tensor:
    """Where the window of a row of `length` tokens begins: it moves by half a context at a time."""
    hop = max(context // 2, 1)
    over = tf.maximum(length - context, 0)
    return -(-over // hop) * hop


def generate_endpoint(model: Decoder, codec: TextCodec, *, context: int) -> Endpoint:
    """Strings in; continuation, log-probabilities and token counts out.

    The function takes `prompt`, string [B], and the `OPTIONS`, each [B] or [1], and gives
    `text`, string [B], without the prompt and without the stop string that ended it;
    `log_probs`, float32 [B, N], of each new token under the model itself (before temperature and
    filters), 0 past the row's count; and `token_count`, int32 [B]. Greedy unless temperature > 0.

    Raises (when called):
        InvalidArgumentError: an empty prompt, one longer than the context, an unknown character,
            an option out of its range.
    """

    def function(prompt: tf.Tensor, **options: tf.Tensor) -> dict[str, tf.Tensor]:
        ragged = codec.encode(prompt)
        lengths = tf.cast(ragged.row_lengths(), tf.int32)
        checks = check_lengths(lengths, "prompt", low=1, high=context)
        checks += check_options(options, tf.size(lengths))
        with tf.control_dependencies(checks):
            tokens = ragged.to_tensor(default_value=0)
            options = _spread(options, tf.size(lengths))
            return _generate(model, codec, tokens, lengths, options, context=context)

    return Endpoint(
        function=function,
        inputs={
            "prompt": tf.TensorSpec([None], tf.string),
            **{name: spec for name, (spec, _) in OPTIONS.items()},
        },
        defaults={name: default for name, (_, default) in OPTIONS.items()},
        example={"prompt": example_texts(codec, context), "max_new_tokens": [4]},
    )


def score_endpoint(model: Any, codec: TextCodec, *, context: int) -> Endpoint:
    """Texts in; how likely the model finds each token after its past.

    The function takes `text`, string [B], and gives `log_probs`, float32 [B, T - 1], of the
    second token on, 0 past a row's end; `token_count`, int32 [B], of all tokens; and `perplexity`,
    float32 [B], exp of the mean negative log-probability.

    Raises (when called):
        InvalidArgumentError: a text of less than two tokens or more than the context and one.
    """

    def function(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ragged = codec.encode(text)
        lengths = tf.cast(ragged.row_lengths(), tf.int32)
        with tf.control_dependencies(check_lengths(lengths, "text", low=2, high=context + 1)):
            tokens = ragged.to_tensor(default_value=0)
        logits = model(tokens[:, :-1], training=False)
        log_probs = sampling.log_prob(logits, tokens[:, 1:])
        log_probs *= tf.sequence_mask(lengths - 1, dtype=tf.float32)
        mean = tf.reduce_sum(log_probs, 1) / tf.cast(lengths - 1, tf.float32)
        return {"log_probs": log_probs, "token_count": lengths, "perplexity": tf.exp(-mean)}

    return Endpoint(
        function=function,
        inputs={"text": tf.TensorSpec([None], tf.string)},
        example={"text": example_texts(codec, context + 1)},
    )


def example_texts(codec: TextCodec, most: int) -> list[bytes]:
    """Two texts that the codec can read, of at most `most` of its tokens and at most four."""
    ids = [codec.vocab // 3, codec.vocab // 2] * 2
    rows = [ids[:most], ids[::-1][: min(most, 2)]]
    return list(codec.decode(tf.ragged.constant(rows, dtype=tf.int32)).numpy())


def check_lengths(lengths: tf.Tensor, name: str, *, low: int, high: int) -> list[tf.Operation]:
    """Assertions, one sentence each, that every length [B] lies in [low, high]."""
    checks = []
    for wrong, bound in ((lengths < low, f"at least {low}"), (lengths > high, f"at most {high}")):
        row = tf.argmax(tf.cast(wrong, tf.int32))
        given = tf.strings.as_string(tf.gather(lengths, row))
        place = tf.strings.as_string(row)
        sentence = [f"{name} ", place, " has ", given, f" tokens; it must have {bound}."]
        checks += sampling.must(~tf.reduce_any(wrong), tf.strings.join(sentence))
    return checks


def check_options(options: dict[str, tf.Tensor], batch: tf.Tensor) -> list[tf.Operation]:
    """Assertions that every option has one value or one a row, each in its range."""
    new, checks = options["max_new_tokens"], []
    for name, value in options.items():
        if name != "stop":
            fits = (tf.size(value) == 1) | (tf.size(value) == batch)
            sentence = f"{name} must have one value, or one for each prompt; values given"
            checks += sampling.must(fits, sentence, tf.size(value))
    inside = (new >= 1) & (new <= LIMIT)
    checks += sampling.must(inside, f"max_new_tokens must lie in [1, {LIMIT}]; given", new)
    stop = stop_rows(options["stop"], batch)
    fits = (tf.shape(stop)[0] == 1) | (tf.shape(stop)[0] == batch)
    sentence = "stop must be a list for all prompts, or a row for each prompt; rows given"
    checks += sampling.must(fits, sentence, tf.shape(stop)[0])
    return checks + sampling.check_options(options)


def stop_rows(stop: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Stop strings by row, [1, S] or [B, S]; a flat list is one a row, or else all rows'."""
    flat = tf.where(tf.size(stop) == batch, [-1, 1], [1, -1])
    by_row = tf.concat([tf.shape(stop)[:1], [-1]], 0)
    return tf.reshape(stop, tf.cond(tf.rank(stop) < 2, lambda: flat, lambda: by_row))


def _spread(options: dict[str, tf.Tensor], batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Options of one value or one a row to [B]; `stop` to [B, S]."""
    rows = {name: value for name, value in options.items() if name != "stop"}
    stop = stop_rows(options["stop"], batch)
    return {
        **{name: tf.broadcast_to(value, batch[None]) for name, value in rows.items()},
        "stop": tf.broadcast_to(stop, tf.stack([batch, tf.shape(stop)[1]])),
    }


def _generate(
    model: Decoder,
    codec: TextCodec,
    prompt: tf.Tensor,
    lengths: tf.Tensor,
    options: dict[str, tf.Tensor],
    *,
    context: int,
) -> dict[str, tf.Tensor]:
    """Two loops: one reads all windows, the other, inside, adds tokens until a window moves.

    The inner one is there twice: for one row, and for any number. `prompt` is int32 [B, P],
    right-padded; `lengths` int32 [B].
    """
    batch, longest = tf.shape(prompt)[0], tf.shape(prompt)[1]
    most = tf.reduce_max(options["max_new_tokens"])
    uniform = sampling.uniform(options["seed"], most)
    room = tf.minimum(longest + most, context)

    def read(turn: tf.Tensor, state: State) -> tuple[tf.Tensor, Cache]:
        """Logits [B, V] and a new cache from the windows of lengths + turn tokens."""
        start = window_start(lengths + turn, context)
        inside = lengths + turn - start
        index = start[:, None] + tf.range(tf.reduce_max(inside))[None]
        index = tf.where(index < lengths[:, None], index, longest + index - lengths[:, None])
        known = tf.concat([prompt, state["new"]], axis=1)
        index = tf.minimum(index, tf.shape(known)[1] - 1)
        return model.prefill(tf.gather(known, index, batch_dims=1), inside, room)

    def add(turn: tf.Tensor, state: State, logits: tf.Tensor) -> State:
        """The state with the token that `logits` give at that turn."""
        known = tf.concat([prompt, state["new"]], axis=1)
        drawn = tf.broadcast_to(tf.range(most) < turn, tf.shape(state["new"]))
        real = tf.concat([tf.sequence_mask(lengths, longest), drawn], axis=1)
        token = sampling.choose(logits, known, real, uniform[:, turn], options)
        going = tf.logical_not(state["done"])
        write = tf.stack([tf.range(batch), tf.fill([batch], turn)], axis=1)
        log_prob = tf.where(going, sampling.log_prob(logits, token), 0.0)
        ended = token == (-1 if codec.end is None else codec.end)
        piece = tf.where(going & ~ended, codec.piece(token), "")
        text, stopped = cut_at_stop(state["text"], piece, options["stop"])
        count = state["count"] + tf.cast(going, tf.int32)
        return dict(
            token=token,
            new=tf.tensor_scatter_nd_update(state["new"], write, token),
            log_probs=tf.tensor_scatter_nd_update(state["log_probs"], write, log_prob),
            text=text,
            count=count,
            done=state["done"] | ended | stopped | (count >= options["max_new_tokens"]),
        )

    def going_on(turn: tf.Tensor, state: State) -> tf.Tensor:
        return ~tf.reduce_all(state["done"])

    def stays(turn: tf.Tensor, state: State, cache: Cache) -> tf.Tensor:
        count = lengths + turn
        moved = window_start(count, context) > window_start(count - 1, context)
        return going_on(turn, state) & ~tf.reduce_any(moved & ~state["done"])

    def steps(alone: bool, *first: Any) -> tuple[tf.Tensor, State]:
        """The inner loop, over any number of rows or over one, which the graph then knows."""

        def one_more(turn: tf.Tensor, state: State, cache: Cache) -> tuple[tf.Tensor, State, Cache]:
            count = lengths + turn
            position = count - 1 - window_start(count, context)
            if alone:
                logits, cache = _step_alone(model, state["token"], position, cache)
            else:
                logits, cache = model.step(state["token"], position, cache)
            return turn + 1, add(turn, state, logits), cache

        turn, state, _ = _loop(stays, one_more, *first)
        return turn, state

    def window(turn: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        logits, cache = read(turn, state)
        first = turn + 1, add(turn, state, logits), cache
        on_cpu = tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"]) == 0
        alone = (batch == 1) & on_cpu
        end: tuple[tf.Tensor, State] = tf.cond(
            alone, lambda: steps(True, *first), lambda: steps(False, *first)
        )
        return end

    state = dict(
        token=tf.zeros([batch], tf.int32),
        new=tf.zeros([batch, most], tf.int32),
        log_probs=tf.zeros([batch, most]),
        text=tf.fill([batch], ""),
        count=tf.zeros([batch], tf.int32),
        done=tf.zeros([batch], tf.bool),
    )
    turn, state = _loop(going_on, window, tf.constant(0), state)
    text = tf.strings.unicode_transcode(state["text"], "UTF-8", "UTF-8", errors="replace")
    return {
        "text": text,
        "log_probs": state["log_probs"][:, :turn],
        "token_count": state["count"],
    }


def _step_alone(
    model: Decoder, token: tf.Tensor, position: tf.Tensor, cache: Cache
) -> tuple[tf.Tensor, Cache]:
    """`Decoder.step` of one row, in which the graph knows [1], and outside of it does not.

    Optimizing a graph, TensorFlow takes a size that one branch of a `tf.cond` asserts, or brings
    together with an unknown one, for the size in all branches (decision 0022).
    """
    logits, cache = model.step(tf.gather(token, [0]), tf.gather(position, [0]), cache)
    return tf.compat.v1.placeholder_with_default(logits, [None, logits.shape[1]]), cache


def _loop(condition: Any, body: Any, *first: Any) -> Any:
    """`tf.while_loop` whose tensors may change their shape."""
    loose = tf.nest.map_structure(lambda t: tf.TensorShape([None] * t.shape.rank), first)
    return tf.while_loop(condition, body, first, shape_invariants=loose)


def cut_at_stop(text: tf.Tensor, piece: tf.Tensor, stops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Appends `piece` to `text`, both string [B], and cuts where a stop string begins.

    Args:
        stops: string [B, S]; empty strings stop nothing.

    Returns:
        The text, string [B], and whether a stop string ended it, bool [B].
    """
    whole = tf.strings.join([text, piece])

    def search() -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.strings.length(stops)[:, :, None]  # [B, S, 1]
        reach = tf.reduce_max(size[..., 0], axis=1) + tf.strings.length(piece)  # bytes that matter
        back = tf.range(tf.reduce_max(reach) + 1)[::-1]  # from far to near: the earliest wins
        end = tf.strings.length(whole)
        begin = tf.maximum(end[:, None] - back[None], 0)  # [B, R]
        place = begin[:, None] + tf.zeros_like(size)  # [B, S, R]
        length = size + tf.zeros_like(begin[:, None])
        text_at = tf.broadcast_to(whole[:, None, None], tf.shape(place))
        found = tf.strings.substr(text_at, place, length)
        hit = tf.reduce_any((found == stops[:, :, None]) & (size > 0), axis=1)  # [B, R]
        stopped = tf.reduce_any(hit, axis=1)
        first = tf.gather(begin, tf.argmax(tf.cast(hit, tf.int32), axis=1), batch_dims=1)
        return tf.strings.substr(whole, 0 * end, tf.where(stopped, first, end)), stopped

    none = tf.reduce_all(tf.equal(stops, ""))
    cut, stopped = tf.cond(none, lambda: (whole, tf.zeros_like(text, tf.bool)), search)
    return cut, stopped
