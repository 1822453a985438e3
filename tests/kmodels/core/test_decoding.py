"""The decoding loop: cached as uncached, alone as in company, and where it stops."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gpt
from kmodels.core import decoding, sampling
from kmodels.core.codecs.characters import Characters

CONTEXT = 8
LETTERS = Characters.fit("abcdefghij")


class Cycle:
    """A decoder that always says the next letter: abc... and after j an a again."""

    def _logits(self, token: tf.Tensor) -> tf.Tensor:
        return 50.0 * tf.one_hot((token + 1) % LETTERS.vocab, LETTERS.vocab)

    def prefill(self, tokens: tf.Tensor, lengths: tf.Tensor, room: tf.Tensor) -> Any:
        empty = tf.zeros([tf.shape(tokens)[0], 1])
        return self._logits(tf.gather(tokens, lengths - 1, batch_dims=1)), [(empty, empty)]

    def step(self, token: tf.Tensor, position: tf.Tensor, cache: Any) -> Any:
        return self._logits(token), cache


def concrete(endpoint: Any) -> Any:
    """The endpoint as an export would trace it; call it with all or some of its inputs."""
    specs = {k: tf.TensorSpec(s.shape, s.dtype, name=k) for k, s in endpoint.inputs.items()}
    function = tf.function(endpoint.function, autograph=False).get_concrete_function(**specs)

    def ask(**request: Any) -> dict[str, Any]:
        whole = {**endpoint.defaults, **request}
        tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in whole.items()}
        answer = {k: v.numpy() for k, v in function(**tensors).items()}
        if "text" in answer:
            answer["text"] = [text.decode() for text in answer["text"]]
        return answer

    return ask


@pytest.fixture(scope="module")
def letters():
    """Asks the decoder that says the alphabet."""
    return concrete(decoding.generate_endpoint(Cycle(), LETTERS, context=CONTEXT))


@pytest.fixture(scope="module")
def model(codec, lively):
    """A small GPT with a banded layer, every weight perturbed."""
    keras.utils.set_random_seed(1)
    config = gpt.Config(
        vocab=codec.vocab, context=CONTEXT, depth=2, heads=2, width=16, dropout=0.1, band=3
    )
    return lively(gpt.build(config), stddev=0.3)


@pytest.fixture(scope="module")
def generate(model, codec):
    """Asks that GPT for text."""
    return concrete(decoding.generate_endpoint(model, codec, context=CONTEXT))


@pytest.fixture(scope="module")
def score(model, codec):
    """Asks that GPT for likelihoods."""
    return concrete(decoding.score_endpoint(model, codec, context=CONTEXT))


def window(tokens: list[int]) -> list[int]:
    """What the network sees of a row: all of it, later the part from a multiple of half a context.

    Written as the docstring says it, not as the code does.
    """
    start = 0
    while len(tokens) - start > CONTEXT:
        start += CONTEXT // 2
    return tokens[start:]


def test_cached_logits_are_the_uncached_ones_at_every_step(model):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, model.config.vocab, [3, CONTEXT]).astype(np.int32)
    lengths = np.array([1, 5, 3], np.int32)
    whole = model(rows, training=False).numpy()
    prompt = np.where(np.arange(5) < lengths[:, None], rows[:, :5], 0)
    logits, cache = model.prefill(tf.constant(prompt), tf.constant(lengths), tf.constant(CONTEXT))
    for turn in range(CONTEXT):
        at = lengths + turn
        live = at <= CONTEXT
        np.testing.assert_allclose(
            logits.numpy()[live], whole[live, at[live] - 1], atol=1e-5, rtol=0
        )
        if not (at < CONTEXT).any():
            break
        position = np.minimum(at, CONTEXT - 1)
        token = rows[np.arange(3), position]
        logits, cache = model.step(tf.constant(token), tf.constant(position), cache)
        lengths_left = at < CONTEXT
        lengths = np.where(lengths_left, lengths, CONTEXT + 1)  # this row is full


def test_what_stands_behind_a_prompt_is_never_seen(model):
    lengths, room = tf.constant([2, 4]), tf.constant(4)
    clean = np.array([[3, 4, 0, 0], [1, 2, 3, 4]], np.int32)
    dirty = np.array([[3, 4, 9, 7], [1, 2, 3, 4]], np.int32)
    one, other = (model.prefill(t, lengths, room)[0].numpy() for t in (clean, dirty))
    assert (one == other).all()


def test_generation_follows_the_uncached_network_past_the_context(generate, model, codec):
    prompts, new = ["a", "the cat", "it is so"], 25
    answer = generate(prompt=prompts, max_new_tokens=[new])
    for row, prompt in enumerate(prompts):
        tokens = codec.tokens(prompt).tolist()
        for turn in range(new):
            logits = model(np.array([window(tokens)], np.int32), training=False)[0, -1]
            wanted = int(np.argmax(logits))
            log_prob = float(sampling.log_prob(logits, tf.constant(wanted)))
            assert codec.tokens(answer["text"][row])[turn] == wanted
            assert answer["log_probs"][row, turn] == pytest.approx(log_prob, abs=1e-5)
            tokens.append(wanted)


@pytest.mark.parametrize("context", [1, 2, 5, 8])
def test_the_window_moves_by_half_a_context_and_never_beyond_the_row(context):
    lengths = np.arange(1, 60)
    starts = decoding.window_start(tf.constant(lengths), context).numpy()
    assert (starts[lengths <= context] == 0).all()
    seen = lengths - starts
    assert (seen >= 1).all() and (seen <= context).all()
    assert set(np.diff(starts)) <= {0, max(context // 2, 1)}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"temperature": [1.2], "top_k": [12], "top_p": [0.9], "repetition_penalty": [1.2]},
    ],
    ids=["greedy", "sampled"],
)
def test_a_row_gets_the_same_text_alone_and_in_company(generate, given):
    prompts, seeds, most = ["a", "the cat.", "I am", "so"], [5, 6, 7, 5], [20, 11, 30, 3]
    together = generate(prompt=prompts, seed=seeds, max_new_tokens=most, **given)
    for row, prompt in enumerate(prompts):
        alone = generate(prompt=[prompt], seed=[seeds[row]], max_new_tokens=[most[row]], **given)
        assert alone["text"][0] == together["text"][row]
        assert alone["token_count"][0] == together["token_count"][row] == most[row]
        np.testing.assert_allclose(
            alone["log_probs"][0], together["log_probs"][row, : most[row]], atol=1e-5
        )
        assert not together["log_probs"][row, most[row] :].any()


@pytest.mark.parametrize(("heads", "depth"), [(1, 1), (3, 2)])
def test_what_is_laid_out_for_answering_says_the_same_for_one_row_and_for_many(
    codec, lively, heads, depth
):
    config = gpt.Config(
        vocab=codec.vocab, context=CONTEXT, depth=depth, heads=heads, width=24, band=3
    )
    small = lively(gpt.build(config), stddev=0.3)
    plain = concrete(decoding.generate_endpoint(small, codec, context=CONTEXT))
    requests = [{"prompt": ["the cat"]}, {"prompt": ["a", "the cat.", "so"]}]
    before = [plain(max_new_tokens=[20], **request) for request in requests]
    small.pack()
    packed = concrete(decoding.generate_endpoint(small, codec, context=CONTEXT))
    for request, answer in zip(requests, before, strict=True):
        after = packed(max_new_tokens=[20], **request)
        assert after["text"] == answer["text"]
        np.testing.assert_allclose(after["log_probs"], answer["log_probs"], atol=1e-4)


def test_seeds_decide_what_is_sampled(generate):
    ask = {"prompt": ["the cat"] * 3, "temperature": [1.5], "max_new_tokens": [30]}
    texts = generate(seed=[1, 1, 2], **ask)["text"]
    assert texts[0] == texts[1] != texts[2]
    assert generate(seed=[1, 1, 2], **ask)["text"] == texts


def test_what_is_as_good_as_greedy(generate):
    ask = {"prompt": ["the cat"], "max_new_tokens": [20], "seed": [3]}
    greedy = generate(**ask)["text"]
    assert generate(temperature=[1.0], top_k=[1], **ask)["text"] == greedy
    assert generate(temperature=[1.0], top_p=[1e-6], **ask)["text"] == greedy
    assert generate(temperature=[0.0], top_k=[5], top_p=[0.5], **ask)["text"] == greedy
    assert generate(temperature=[2.0], **ask)["text"] != greedy


def test_log_probabilities_are_the_models_own_whatever_the_options(generate, score):
    prompt = "the"
    answer = generate(
        prompt=[prompt], temperature=[2.0], top_k=[9], repetition_penalty=[1.5], max_new_tokens=[5]
    )
    told = score(text=[prompt + answer["text"][0]])["log_probs"][0, len(prompt) - 1 :]
    np.testing.assert_allclose(answer["log_probs"][0], told, atol=1e-5)


def test_the_penalty_counts_the_prompt_and_what_was_said(letters):
    # A heavy penalty on what is there leaves the letters not yet said.
    answer = letters(prompt=["b"], repetition_penalty=[1e9], max_new_tokens=[8])
    assert len(set(answer["text"][0])) == 8 and "b" not in answer["text"][0]


def test_rows_have_their_own_lengths(letters):
    answer = letters(prompt=["a", "c", "e"], max_new_tokens=[1, 4, 2])
    assert answer["text"] == ["b", "defg", "fg"]
    assert answer["token_count"].tolist() == [1, 4, 2]
    assert answer["log_probs"].shape == (3, 4)
    assert letters(prompt=["a"])["token_count"].tolist() == [100], "the default"


@pytest.mark.parametrize(
    ("stop", "text", "count"),
    [
        (["e"], "bcd", 4),
        (["de"], "bc", 4),
        (["defg"], "bc", 6),
        ([["gh", "de"]], "bc", 4),
        ([["cde", "e"]], "b", 4),
        ([["e", "cde"]], "b", 4),
        ([["", "de"]], "bc", 4),
        (["b"], "", 1),
        (["ab"], "bcdefghij", 11),
        (["x"], "bcdefghijabc", 12),
        ([""], "bcdefghijabc", 12),
    ],
)
def test_a_stop_string_ends_the_text_before_itself(letters, stop, text, count):
    answer = letters(prompt=["a"], stop=stop, max_new_tokens=[12])
    assert answer["text"] == [text], "what the prompt holds does not count"
    assert answer["token_count"].tolist() == [count], "the stop string's tokens count"


def test_rows_have_their_own_stop_strings(letters):
    answer = letters(prompt=["a", "a", "a"], stop=["d", "", "gh"], max_new_tokens=[9])
    assert answer["text"] == ["bc", "bcdefghij", "bcdef"]
    shared = letters(prompt=["a", "c"], stop=["x", "gh", "j"], max_new_tokens=[9])
    assert shared["text"] == ["bcdef", "def"], "a list of another length is for all rows"
    both = letters(prompt=["a", "a"], stop=[["d", ""], ["gh", "f"]], max_new_tokens=[9])
    assert both["text"] == ["bc", "bcde"]


pieces = st.text("abé", min_size=0, max_size=4)


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(text=pieces, piece=pieces, stops=st.lists(pieces, min_size=1, max_size=3))
def test_the_cut_is_at_the_earliest_stop_string(text, piece, stops):
    hypothesis.assume(not any(stop and stop in text for stop in stops))
    found = [(text + piece).find(stop) for stop in stops if stop and stop in text + piece]
    cut, stopped = decoding.cut_at_stop(
        tf.constant([text]), tf.constant([piece]), tf.constant([stops])
    )
    assert stopped.numpy().tolist() == [bool(found)]
    assert cut.numpy()[0].decode() == (text + piece)[: min(found, default=None)]


def test_scores_are_those_of_softmax(score, model, codec):
    texts = ["the cat", "it", "a ca. teé"]
    answer = score(text=texts)
    for row, text in enumerate(texts):
        tokens = codec.tokens(text)
        logits = model(tokens[None, :-1], training=False)[0].numpy().astype(np.float64)
        exact = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        wanted = exact[np.arange(len(tokens) - 1), tokens[1:]]
        np.testing.assert_allclose(answer["log_probs"][row, : len(wanted)], wanted, atol=1e-5)
        assert not answer["log_probs"][row, len(wanted) :].any()
        assert answer["token_count"][row] == len(text)
        assert answer["perplexity"][row] == pytest.approx(np.exp(-wanted.mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"prompt": ["ab", ""]}, "prompt 1 has 0 tokens; it must have at least 1."),
        ({"prompt": ["abcdefghi"]}, "prompt 0 has 9 tokens; it must have at most 8."),
        ({"prompt": ["ab", "aZ"]}, "which the model has never seen"),
        ({"prompt": ["a"], "max_new_tokens": [0]}, "max_new_tokens must lie in [1, 4096]"),
        ({"prompt": ["a"], "max_new_tokens": [4097]}, "max_new_tokens must lie in [1, 4096]"),
        ({"prompt": ["a"], "temperature": [-1.0]}, "temperature must be at least 0"),
        ({"prompt": ["a"], "top_k": [-3]}, "top_k must be at least 0"),
        ({"prompt": ["a"], "top_p": [2.0]}, "top_p must lie in (0, 1]"),
        ({"prompt": ["a"], "repetition_penalty": [0.0]}, "repetition_penalty must be above 0"),
    ],
)
def test_a_wrong_request_is_answered_with_one_sentence(letters, request_, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        letters(**request_)
    message = str(caught.value)
    assert sentence in message


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt": ["a", "b"], "seed": [1, 2, 3]},
        {"prompt": ["a", "b"], "top_k": [1, 2, 3]},
        {"prompt": ["a", "b"], "stop": [["x"], ["y"], ["z"]]},
    ],
)
def test_options_that_fit_no_batch_are_refused(letters, request_):
    with pytest.raises(tf.errors.InvalidArgumentError):
        letters(**request_)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "text 0 has 0 tokens; it must have at least 2."),
        ("a", "text 0 has 1 tokens; it must have at least 2."),
        ("abcdefghij", "text 0 has 10 tokens; it must have at most 9."),
    ],
)
def test_a_text_that_cannot_be_scored_is_answered_with_one_sentence(score, text, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        score(text=[text])
    assert sentence in str(caught.value)
