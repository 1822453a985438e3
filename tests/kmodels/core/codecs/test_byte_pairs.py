"""Byte pairs: one set of ids from Python, from the graph and from an export in a new process.

Whatever needs keras-nlp (imported once, some 7 s) takes the `graph` or `export` fixture.
"""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Regex, pre_tokenizers

from kmodels.core.codecs import folder as codec_folder
from kmodels.core.codecs import splitting
from kmodels.core.codecs.byte_pairs import ALPHABET, END, BytePairs

CORPUS = (
    "The quick brown fox jumps over the lazy dog, and it's the dog's turn; they'll see 12 of 345. "
    "\n\nA fox said:\tna\u00efve caf\u00e9s, \u6771\u4eac, 10 \u20ac!   We've all been there...\n"
) * 4
TRICKY = [
    "",
    " ",
    "   ",
    "a\n\nb",
    "a  \n  b  ",
    "it's 'tis they'll ''s 's's",
    f"{END}",
    f"a  {END}  b{END}{END}c",
    "<|endoftext",
    "\u096c is a digit, \u0134A is not a mark",  # both have a meaning inside keras-nlp
    "\u1c89\u1c89 and \U00010d40 are younger than some Unicode tables",
    "\u00a0\u2009x\u3000\u0085y\u200b\u001cz\u0000",
    "na\u00efve \U0001f600\U0001f468\u200d\U0001f469 \u6771\u4eac\ufeff",
]
SOME_TEXT = st.text(
    st.one_of(st.sampled_from("  \n\t'stdaZ1.,\u00a0\u096c\u00e9"), st.characters(codec="utf-8"))
)
READER = """
import json, sys
import tensorflow as tf
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
signature = meta.signature_def["serving_default"]
texts = json.loads(sys.argv[2])
fetches = {name: info.name for name, info in signature.outputs.items()}
found = session.run(fetches, {signature.inputs["text"].name: texts})
assert not {"keras_hub", "kmodels", "tensorflow_text", "tokenizers"} & set(sys.modules)
out = {"flat": found["flat"].tolist(), "lengths": found["lengths"].tolist()}
print(json.dumps(out | {"text": [text.decode() for text in found["text"]]}))
"""


@pytest.fixture(scope="module")
def codec():
    return BytePairs.fit(CORPUS, vocab=320)


@pytest.fixture(scope="module")
def graph(codec):
    """`encode`, traced once."""
    return tf.function(codec.encode, input_signature=[tf.TensorSpec([None], tf.string)])


@pytest.fixture(scope="module")
def export(codec, tmp_path_factory):
    """A SavedModel that encodes and decodes, moved after it was written."""
    module = tf.Module()
    module.tables = codec.resources

    def there_and_back(text):
        tokens = codec.encode(text)
        return {
            "flat": tokens.flat_values,
            "lengths": tokens.row_lengths(),
            "text": codec.decode(tokens),
        }

    signature = tf.function(
        there_and_back, input_signature=[tf.TensorSpec([None], tf.string, name="text")]
    )
    folder = tmp_path_factory.mktemp("export")
    tf.saved_model.save(module, str(folder / "old"), signatures=signature)
    shutil.move(folder / "old", folder / "new")
    return folder / "new"


def test_fit_learns_the_vocabulary_asked_for_and_always_the_same(codec):
    assert codec.vocab == 320
    assert codec.vocabulary[END] == codec.end
    assert BytePairs.fit(CORPUS, vocab=320) == codec


def test_fit_does_not_learn_from_the_end_token():
    marked = BytePairs.fit(END.join([CORPUS] * 3), vocab=300)
    assert marked.merges == BytePairs.fit(CORPUS * 3, vocab=300).merges


def test_common_words_become_one_token(codec):
    assert len(codec.tokens(" the the the")) == 3


@pytest.mark.parametrize("text", TRICKY)
def test_python_ids_come_back_as_the_same_text(codec, text):
    ids = codec.tokens(text)
    assert ids.dtype == np.int32
    assert b"".join(codec.piece(tf.constant(ids)).numpy()).decode() == text


def test_the_end_token_is_recognised_in_text(codec):
    assert codec.tokens(f"a{END}b").tolist() == [
        codec.vocabulary["a"],
        codec.end,
        codec.vocabulary["b"],
    ]


def test_a_long_text_has_the_ids_of_its_parts(codec):
    words = " ".join(CORPUS.split()) + "  \n"
    long = words * (200_000 // len(words))
    assert codec.tokens(long).tolist() == codec._fast.encode(long).ids


def test_decoding_stray_bytes_gives_replacement_characters(codec):
    first_byte_only = [[codec.vocabulary[ALPHABET["\u00e9".encode()[0]]]], []]
    tokens = tf.ragged.constant(first_byte_only, dtype=tf.int32)
    assert [text.decode() for text in codec.decode(tokens).numpy()] == ["\ufffd", ""]


def test_pieces_keep_the_raw_bytes_and_the_shape(codec):
    byte = codec.vocabulary[ALPHABET[0xC3]]
    assert codec.piece(tf.constant([[byte], [codec.end]])).numpy().tolist() == [
        [b"\xc3"],
        [END.encode()],
    ]


def test_saved_and_loaded_it_is_equal(codec, tmp_path):
    codec.save(tmp_path / "codec")
    loaded = codec_folder.load(tmp_path / "codec")
    assert loaded == codec
    assert loaded.tokens(CORPUS).tolist() == codec.tokens(CORPUS).tolist()


def test_a_vocabulary_without_an_end_token_has_none(codec):
    plain = BytePairs(
        {token: i for i, token in enumerate(t for t in codec.vocabulary if t != END)}, codec.merges
    )
    assert plain.end is None
    assert b"".join(plain.piece(plain.tokens(f"a{END}")).numpy()).decode() == f"a{END}"


def test_gpt2s_published_splits(codec):
    """Two line ends before a word stay apart, as in GPT-2's own encoder."""
    newline = codec.vocabulary[ALPHABET[10]]
    assert codec.tokens("a\n\nb").tolist()[1:-1] == [newline, newline]


def test_the_graph_gives_pythons_ids(codec, graph):
    found = graph(tf.constant(TRICKY)).to_list()
    assert found == [codec.tokens(text).tolist() for text in TRICKY]


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(SOME_TEXT, min_size=0, max_size=8))
def test_the_graph_gives_pythons_ids_for_any_text_and_back(codec, graph, texts):
    tokens = graph(tf.constant(texts, tf.string))
    assert tokens.dtype == tf.int32
    assert tokens.to_list() == [codec.tokens(text).tolist() for text in texts]
    assert [text.decode() for text in codec.decode(tokens).numpy()] == texts


def test_past_the_planes_looked_at_nothing_is_a_blank_a_letter_or_a_digit():
    rest = "".join(map(chr, range(splitting.PLANES, sys.maxunicode + 1)))
    kinds = pre_tokenizers.Split(Regex(r"[\s\p{L}\p{N}]+"), "removed", invert=True)
    assert kinds.pre_tokenize_str(rest + "a") == [("a", (len(rest), len(rest) + 1))]


def test_encoding_is_traced_once_for_all_graphs(codec):
    anew = dataclasses.replace(codec)
    for texts in (["a fox"], ["", "it's the dog's"]):
        found = tf.function(anew.encode, autograph=False)(tf.constant(texts))
        assert found.to_list() == [codec.tokens(text).tolist() for text in texts]
    assert anew._encode.experimental_get_tracing_count() == 1


def test_a_row_is_encoded_the_same_alone_and_in_company(graph):
    together = graph(tf.constant(TRICKY)).to_list()
    assert [graph(tf.constant([text])).to_list()[0] for text in TRICKY] == together


def test_without_an_end_token_the_graph_reads_it_as_text(codec):
    tokens = [token for token in codec.vocabulary if token != END]
    plain = BytePairs({token: i for i, token in enumerate(tokens)}, codec.merges)
    text = f"a{END}"
    assert plain.encode(tf.constant([text])).to_list() == [plain.tokens(text).tolist()]


def test_text_that_is_not_utf8_fails_the_request_and_names_the_row(graph):
    with pytest.raises(tf.errors.InvalidArgumentError, match="text 1 is not valid UTF-8"):
        graph(tf.constant([b"fine", b"not \xff fine"]))


def test_the_marks_of_the_splitter_cannot_be_sent(graph):
    with pytest.raises(tf.errors.InvalidArgumentError, match="text 0 is not valid UTF-8"):
        graph(tf.constant([b"\xfe"]))


def test_the_export_works_in_a_session_of_a_bare_process(codec, export):
    texts = [text for text in TRICKY if "\0" not in text]
    done = subprocess.run(
        [sys.executable, "-c", READER, str(export), json.dumps(texts)],
        capture_output=True,
        text=True,
        cwd=export,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    ids = [codec.tokens(text).tolist() for text in texts]
    assert found["lengths"] == [len(row) for row in ids]
    assert found["flat"] == [token for row in ids for token in row]
    assert found["text"] == texts


@pytest.mark.parametrize("vocab", [0, 256, 257])
def test_too_small_a_vocabulary_is_refused(vocab):
    with pytest.raises(ValueError, match=f"vocabulary of {vocab} is too small.*at least 258"):
        BytePairs.fit(CORPUS, vocab=vocab)


def test_a_text_too_poor_says_how_many_tokens_it_yields():
    with pytest.raises(ValueError, match=r"yields only \d+ byte-pair tokens, not 5,000"):
        BytePairs.fit(CORPUS, vocab=5000)


def test_half_a_surrogate_pair_is_refused(codec):
    with pytest.raises(ValueError, match=r"Line 2, column 3 has U\+D800"):
        codec.tokens("abc\nab\ud800")


def _write(folder: pathlib.Path, vocabulary: object, merges: str) -> pathlib.Path:
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return folder


BYTES_ONLY = {character: index for index, character in enumerate(ALPHABET)}


def test_gpt2s_files_are_read(tmp_path):
    folder = _write(tmp_path, BYTES_ONLY | {"ab": 256}, "#version: 0.2\na b\n")
    assert BytePairs.from_folder(folder).tokens("abab").tolist() == [256, 256]


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (["a"], "a b", "not a map from tokens"),
        ({"a": "0"}, "a b", "not a map from tokens"),
        ({"a": 1}, "a b", "ids of the 1 tokens must be 0, 1, 2"),
        ({"a": 0}, "a b", "255 of the 256 bytes have no token, first 0x00"),
        (BYTES_ONLY | {"a b": 256}, "a b", "'a b' is not spelled"),
        (BYTES_ONLY, "#version: 0.2\n", "no merges"),
        (BYTES_ONLY, "a b", "needs 'ab', which has no id"),
        (BYTES_ONLY, "ab", "line 1: 'ab' is not two tokens"),
        (BYTES_ONLY, "a b c", "line 1: 'a b c' is not two tokens"),
    ],
)
def test_malformed_folders_are_refused(tmp_path, vocabulary, merges, message):
    with pytest.raises(ValueError, match=message):
        BytePairs.from_folder(_write(tmp_path, vocabulary, merges))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Cannot read .*vocab\.json: No such file"):
        BytePairs.from_folder(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(BYTES_ONLY))
    with pytest.raises(ValueError, match=r"Cannot read .*merges\.txt: No such file"):
        BytePairs.from_folder(tmp_path)


def test_files_that_are_not_text_are_refused(tmp_path):
    _write(tmp_path, BYTES_ONLY, "a b")
    (tmp_path / "merges.txt").write_bytes(b"a \xff")
    with pytest.raises(ValueError, match=r"merges\.txt is not UTF-8"):
        BytePairs.from_folder(tmp_path)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(ValueError, match=r"vocab\.json is not valid JSON"):
        BytePairs.from_folder(tmp_path)
