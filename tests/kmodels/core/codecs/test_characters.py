"""Characters: every text of known characters comes back; every other is refused by name."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.codecs import folder as codec_folder
from kmodels.core.codecs.characters import Characters

KNOWN = "\n !'abcxyz\u00e9\u6771\U0001f600\ufeff\0"
CODEC = Characters.fit(KNOWN)
ENCODE = tf.function(CODEC.encode, input_signature=[tf.TensorSpec([None], tf.string)])
DECODE = tf.function(
    CODEC.decode, input_signature=[tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)]
)


def refusal(*texts: str | bytes) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ENCODE(tf.constant(texts))
    return caught.value.message


def test_tokens_are_ranks_of_code_points():
    codec = Characters.fit("hello")
    assert (codec.characters, codec.vocab, codec.end, codec.resources) == ("ehlo", 4, None, ())
    assert codec.tokens("hole").tolist() == [1, 3, 2, 0]
    assert codec.tokens("hole").dtype == np.int32


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.text(KNOWN), max_size=6))
def test_graph_and_python_agree_and_texts_come_back(texts):
    tokens = ENCODE(tf.constant(texts, tf.string))
    assert tokens.dtype == tf.int32
    assert tokens.to_list() == [CODEC.tokens(text).tolist() for text in texts]
    assert [text.decode() for text in DECODE(tokens).numpy()] == texts


@hypothesis.given(st.text(min_size=1))
def test_any_text_comes_back_through_the_codec_fitted_on_it(text):
    codec = Characters.fit(text)
    assert "".join(codec.characters[token] for token in codec.tokens(text)) == text


def test_pieces_keep_the_shape():
    tokens = tf.constant(CODEC.tokens("a\u00e9").reshape(2, 1))
    assert CODEC.piece(tokens).numpy().tolist() == [[b"a"], ["\u00e9".encode()]]


def test_saved_and_loaded_it_is_equal(tmp_path):
    CODEC.save(tmp_path / "codec")
    assert codec_folder.load(tmp_path / "codec") == CODEC


def test_an_unknown_character_is_named_with_its_place_and_the_nearest():
    codec = Characters.fit("\n abcdefg")
    with pytest.raises(ValueError) as caught:
        codec.tokens("abc\nab\u00e9")
    assert str(caught.value) == (
        "Line 2, column 3 has the character '\u00e9' (U+00E9), which the codec does not know. "
        "The nearest it knows is 'e' (U+0065). It knows 9: newline space a-g."
    )


@pytest.mark.parametrize(
    ("given", "nearest"), [("B", "'b'"), ("\u00c9", "'e'"), ("h", "'g'"), ("\ud800", "'g'")]
)
def test_the_nearest_character(given, nearest):
    with pytest.raises(ValueError, match=f"The nearest it knows is {nearest}"):
        Characters.fit("\n abcdefg").tokens(given)


@pytest.mark.parametrize("given", ["\U0010ffff", "\0", "m"])
def test_characters_above_below_and_between_the_known_are_refused(given):
    with pytest.raises(ValueError, match="Line 1, column 2"):
        Characters.fit("axyz").tokens("a" + given)


def test_the_graph_names_the_row_the_character_and_what_it_knows():
    message = refusal("abc", "ab\u00fc\u00fd", "\u00fc")
    assert "text 1 has the character \u00fc (U+00FC), which the model has never seen" in message
    assert "it knows 15: " in message
    assert "newline space" in message


@pytest.mark.parametrize(
    ("given", "code"), [("\x07", "U+0007"), ("\U0001f601", "U+1F601"), ("\U0010ffff", "U+10FFFF")]
)
def test_the_graph_writes_code_points_as_unicode_does(given, code):
    assert f"({code})" in refusal("", given)


@pytest.mark.parametrize("given", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
def test_text_that_is_not_utf8_fails_the_request_and_names_the_row(given):
    assert "text 2 is not valid UTF-8" in refusal("a", "b", given)


def test_a_long_list_of_known_characters_is_cut():
    codec = Characters.fit("".join(chr(0x4E00 + 2 * i) for i in range(5000)))
    with pytest.raises(ValueError, match=r"It knows 5000: .{200} and more\.$"):
        codec.tokens("a")


@pytest.mark.parametrize("given", ["", "ba", "aa", "\ud800"])
def test_characters_that_make_no_codec_are_refused(given):
    with pytest.raises(ValueError, match="character"):
        Characters(given)
