"""Byte-level byte-pair encoding as in GPT-2: words become bytes, frequent neighbours merge.

The rules live in three places that give the same ids: the `tokenizers` library trains them and
encodes whole corpora, keras-nlp's `BytePairTokenizer` merges inside the graph, and `splitting`
cuts texts into words there, exactly where GPT-2's pattern cuts.
"""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tokenizers

from kmodels.core.codecs import folder as codec_folder
from kmodels.core.codecs import splitting
from kmodels.core.codecs import text as text_codec

END = "<|endoftext|>"
SMALLEST = 258  # 256 bytes, the end token and one merge
CHUNK = 1 << 16  # characters; a corpus is cut into chunks so that all cores encode


def _alphabet() -> list[str]:
    """The character that stands for each byte in the files: itself where it prints."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256)]


ALPHABET = _alphabet()
BYTES = {character: byte for byte, character in enumerate(ALPHABET)}


@dataclasses.dataclass(frozen=True)
class BytePairs:
    """A byte-level codec; any text can be encoded.

    The literal text `<|endoftext|>` is the end token wherever it stands, in a corpus and in a
    prompt alike, so that a data file can mark where documents end.

    Attributes:
        vocabulary: Token, spelled in `ALPHABET`, -> id; the ids are 0 .. vocab - 1.
        merges: Pairs of tokens that merge, the most urgent first.
    """

    vocabulary: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _check(self.vocabulary, self.merges)

    @classmethod
    def fit(cls, text: str, *, vocab: int) -> "BytePairs":
        """Learns `vocab` tokens, the 256 bytes and the end token included, from a text.

        Raises:
            ValueError: `vocab` is below 258, or the text does not yield that many tokens.
        """
        if vocab < SMALLEST:
            raise ValueError(
                f"A byte-pair vocabulary of {vocab} is too small: the 256 bytes, the end token "
                f"and one merge make at least {SMALLEST}."
            )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=[END],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        learned = tokenizers.Tokenizer(tokenizers.models.BPE())
        learned.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        learned.train_from_iterator(_require_text(text).split(END), trainer)
        if learned.get_vocab_size() < vocab:
            raise ValueError(
                f"The text of {len(text):,} characters yields only {learned.get_vocab_size():,} "
                f"byte-pair tokens, not {vocab:,}. Give more text or ask for fewer tokens."
            )
        merges = json.loads(learned.to_str())["model"]["merges"]
        return cls(_ordered(learned.get_vocab()), tuple((left, right) for left, right in merges))

    @classmethod
    def from_folder(cls, folder: pathlib.Path | str) -> "BytePairs":
        """Reads GPT-2's two files, `vocab.json` and `merges.txt`.

        Raises:
            ValueError: a file is missing or malformed, or the two do not fit each other.
        """
        folder = pathlib.Path(folder)
        vocabulary = codec_folder.read_json(folder / "vocab.json")
        if not isinstance(vocabulary, dict) or {type(i) for i in vocabulary.values()} - {int}:
            raise ValueError(f"{folder / 'vocab.json'} is not a map from tokens to whole numbers.")
        merges = _read_merges(folder / "merges.txt")
        try:
            return cls(_ordered(vocabulary), merges)
        except ValueError as error:
            raise ValueError(f"{folder} does not hold a byte-pair codec: {error}") from error

    @property
    def vocab(self) -> int:
        """How many tokens there are."""
        return len(self.vocabulary)

    @property
    def end(self) -> int | None:
        """The id of `<|endoftext|>`, None where the vocabulary lacks it."""
        return self.vocabulary.get(END)

    @property
    def resources(self) -> tuple[Any, ...]:
        """The lookup tables that `encode` reads; they hold their contents in the graph."""
        merger = self._merger
        return merger.byte2unicode, merger.merge_ranks, merger.token_to_id_map

    def tokens(self, text: str) -> np.ndarray:
        """The ids of one text, int32 [n].

        Raises:
            ValueError: the text holds half of a surrogate pair, which has no bytes.
        """
        encoded = self._fast.encode_batch_fast(_chunks(_require_text(text)))
        return np.concatenate([np.array(part.ids, np.int32) for part in encoded])

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """string [B] -> int32 [B, None]; traceable.

        Raises:
            tf.errors.InvalidArgumentError: a text is not UTF-8; the message names the row.
        """
        encoded: tf.RaggedTensor = self._encode(text)
        return encoded

    def decode(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """int32 [B, None] -> string [B]; bytes that form no character become U+FFFD; traceable."""
        joined = tf.strings.reduce_join(self.piece(tokens), axis=-1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def piece(self, tokens: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...], the raw bytes of each token; traceable."""
        return tf.gather(self._pieces, tokens)

    def save(self, folder: pathlib.Path) -> None:
        """Writes `codec.json`, `vocab.json` and `merges.txt`."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges)]
        (folder / "vocab.json").write_text(json.dumps(dict(self.vocabulary)) + "\n")
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        codec_folder.save(folder, "byte_pairs")

    @functools.cached_property
    def _fast(self) -> tokenizers.Tokenizer:
        model = tokenizers.models.BPE(dict(self.vocabulary), list(self.merges))
        fast = tokenizers.Tokenizer(model)
        fast.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        if self.end is not None:
            fast.add_special_tokens([END])
        return fast

    @functools.cached_property
    def _merger(self) -> Any:
        from keras_nlp.tokenizers import BytePairTokenizer  # here, because it takes 7 s

        with tf.init_scope():
            merges = [f"{left} {right}" for left, right in self.merges]
            return BytePairTokenizer(vocabulary=dict(self.vocabulary), merges=merges)

    @functools.cached_property
    def _encode(self) -> Any:
        """One function of TensorFlow's for all graphs: hundreds of operations are traced once."""
        signature = [tf.TensorSpec([None], tf.string)]
        return tf.function(self._encoded, input_signature=signature, autograph=False)

    def _encoded(self, text: tf.Tensor) -> tf.RaggedTensor:
        merger = self._merger
        words = splitting.words(text_codec.require_utf8(text), END if self.end is not None else "")
        symbols = merger.byte2unicode.lookup(tf.strings.bytes_split(words.flat_values))
        # Not `merger.tokenize`: it splits otherwise than GPT-2 does, takes a digit (U+096C) out
        # of the text for its own use, and keeps each word it ever saw in a table that grows.
        ids = merger.token_to_id_map.lookup(merger._bpe_merge_tf(symbols))
        if self.end is not None:
            mark = self.vocabulary[ALPHABET[splitting.SPECIAL[0]]]
            ids = ids.with_flat_values(
                tf.where(ids.flat_values == mark, self.end, ids.flat_values),
            )
        return words.with_values(tf.cast(ids, tf.int32)).merge_dims(1, 2)

    @functools.cached_property
    def _pieces(self) -> tf.Tensor:
        """string [vocab]; made outside of any graph, so that all functions share one copy."""
        with tf.init_scope():
            return tf.constant([bytes(BYTES[c] for c in token) for token in self.vocabulary])


def _check(vocabulary: Mapping[str, int], merges: tuple[tuple[str, str], ...]) -> None:
    """Raises ValueError unless the two describe one complete byte-level codec."""
    if list(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError(f"the ids of the {len(vocabulary)} tokens must be 0, 1, 2 and so on.")
    absent = [byte for byte, character in enumerate(ALPHABET) if character not in vocabulary]
    if absent:
        raise ValueError(f"{len(absent)} of the 256 bytes have no token, first 0x{absent[0]:02X}.")
    odd = next((t for t in vocabulary if not t or set(t) - BYTES.keys()), None)
    if odd is not None:
        raise ValueError(f"the token {odd!r} is not spelled in the 256 characters of GPT-2.")
    if not merges:
        raise ValueError("there are no merges.")
    for left, right in merges:
        unknown = next((t for t in (left, right, left + right) if t not in vocabulary), None)
        if unknown is not None:
            raise ValueError(f"the merge {left!r} {right!r} needs {unknown!r}, which has no id.")


def _ordered(vocabulary: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(vocabulary.items(), key=lambda item: item[1]))


def _read_merges(file: pathlib.Path) -> tuple[tuple[str, str], ...]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ValueError(f"Cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 (byte {error.start:,}).") from error
    merges = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise ValueError(f"{file}, line {number}: {line!r} is not two tokens and one space.")
        merges.append((left, right))
    return tuple(merges)


def _require_text(text: str) -> str:
    """The text, or a ValueError where it cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        column = error.start - text.rfind("\n", 0, error.start)
        raise ValueError(
            f"Line {line}, column {column} has U+{ord(text[error.start]):04X}, half of a "
            "surrogate pair, which is not a character."
        ) from error
    return text


def _chunks(text: str) -> list[str]:
    """The text in parts of about `CHUNK` characters; no word spans two parts."""
    edge = re.compile(r"(?<=\S)(?= \S)")
    parts, start = [], 0
    while cut := edge.search(text, start + CHUNK):
        parts.append(text[start : cut.start()])
        start = cut.start()
    return [*parts, text[start:]]
