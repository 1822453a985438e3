"""One token per character: the distinct code points of a text, in order."""

import dataclasses
import pathlib
import unicodedata
from typing import Any

import numpy as np
import tensorflow as tf

from kmodels.core.codecs import folder as codec_folder
from kmodels.core.codecs import text as text_codec

LISTED = 200  # how much of the list of known characters an error message shows


@dataclasses.dataclass(frozen=True)
class Characters:
    """A codec whose token i is the i-th of `characters`.

    Attributes:
        characters: Distinct code points in ascending order.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise ValueError("A character codec needs at least one character, and got none.")
        if self.characters != "".join(sorted(set(self.characters))):
            raise ValueError("The characters of a codec must be distinct and in ascending order.")
        surrogate = next((c for c in self.characters if "\ud800" <= c <= "\udfff"), None)
        if surrogate is not None:
            raise ValueError(f"{_name(surrogate)} is half of a surrogate pair, not a character.")

    @classmethod
    def fit(cls, text: str) -> "Characters":
        """The codec that knows exactly the characters of `text`.

        Raises:
            ValueError: the text is empty, or holds half of a surrogate pair.
        """
        return cls("".join(sorted(set(text))))

    @property
    def vocab(self) -> int:
        """How many characters are known."""
        return len(self.characters)

    @property
    def end(self) -> None:
        """There is no end-of-text token."""
        return None

    @property
    def resources(self) -> tuple[Any, ...]:
        """Nothing: the characters are constants of the graph."""
        return ()

    def tokens(self, text: str) -> np.ndarray:
        """The ids of one text, int32 [n].

        Raises:
            ValueError: an unknown character; the message says which, where and what is known.
        """
        known = _code_points(self.characters)
        ids = np.full(int(known[-1]) + 2, -1, np.int32)  # the last row stands for all above
        ids[known] = np.arange(len(known), dtype=np.int32)
        found: np.ndarray = ids[np.minimum(_code_points(text), known[-1] + 1)]
        if (found < 0).any():
            raise ValueError(self._unknown(text, int(np.argmax(found < 0))))
        return found

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """string [B] -> int32 [B, None]; traceable.

        Raises:
            tf.errors.InvalidArgumentError: an unknown character, or text that is not UTF-8; the
                message names the row, counted from 0.
        """
        text = text_codec.require_utf8(text)
        points = tf.strings.unicode_decode(text, "UTF-8")  # int32 [B, None]
        known = tf.constant(_code_points(self.characters).astype(np.int32))
        ids = tf.searchsorted(known, points.flat_values)
        ids = tf.minimum(ids, self.vocab - 1)
        strange = tf.where(tf.gather(known, ids) != points.flat_values)[:, 0]
        message = self._unknown_in_graph(points, tf.reduce_min(strange))
        check = tf.debugging.Assert(tf.equal(tf.size(strange), 0), [message])
        with tf.control_dependencies([check] if check is not None else []):
            return points.with_flat_values(tf.identity(ids))

    def decode(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """int32 [B, None] -> string [B]; traceable."""
        return tf.strings.reduce_join(self.piece(tokens), axis=-1)

    def piece(self, tokens: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...], the UTF-8 bytes of each character; traceable."""
        return tf.gather(tf.constant([c.encode() for c in self.characters]), tokens)

    def save(self, folder: pathlib.Path) -> None:
        """Writes `codec.json`."""
        codec_folder.save(folder, "characters", characters=self.characters)

    def _unknown(self, text: str, position: int) -> str:
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        near = _name(self._nearest(text[position]))
        return (
            f"Line {line}, column {column} has the character {_name(text[position])}, which the "
            f"codec does not know. The nearest it knows is {near}. "
            f"It knows {self.vocab}: {_listing(self.characters)}."
        )

    def _unknown_in_graph(self, points: tf.RaggedTensor, position: tf.Tensor) -> tf.Tensor:
        """The sentence for the character at `position` of all texts joined, string []."""
        inside = tf.logical_and(position >= 0, position < tf.size(points.flat_values, tf.int64))
        there = tf.where(inside, position, 0)[tf.newaxis]
        # A zero at the end gives the gathers a value where no character is unknown.
        point = tf.gather(tf.concat([points.flat_values, [0]], 0), there)
        row = tf.gather(tf.concat([points.value_rowids(), [0]], 0), there)
        shifts = tf.constant([20, 16, 12, 8, 4, 0])
        digits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(point, shifts), 15)
        code = tf.strings.reduce_join(tf.gather(tf.constant(list("0123456789ABCDEF")), digits))
        return tf.strings.join(
            [
                "text ",
                tf.strings.as_string(row[0]),
                " has the character ",
                tf.strings.unicode_encode(point, "UTF-8"),
                " (U+",
                tf.strings.regex_replace(code, "^0{1,2}", ""),
                "), which the model has never seen; ",
                f"it knows {self.vocab}: {_listing(self.characters)}",
            ]
        )

    def _nearest(self, character: str) -> str:
        """The known character that looks most like this one: no accent, other case, next code."""
        plain = unicodedata.normalize("NFKD", character)[0]
        for candidate in (plain, plain.swapcase(), character.swapcase()):
            if candidate in set(self.characters):
                return candidate
        return min(self.characters, key=lambda known: abs(ord(known) - ord(character)))


def _code_points(text: str) -> np.ndarray:
    """uint32 [n], half surrogate pairs included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _name(character: str) -> str:
    return f"{character!r} (U+{ord(character):04X})"


def _listing(characters: str) -> str:
    """Sorted characters on one line: runs of four and more as `a-z`, blanks by name."""
    runs: list[str] = []
    for character in characters:
        if runs and ord(runs[-1][-1]) + 1 == ord(character) and character.isalnum():
            runs[-1] += character
        else:
            runs.append(character)
    names = {"\t": "tab ", "\n": "newline ", "\r": "return ", " ": "space "}
    short = "".join(f"{run[0]}-{run[-1]}" if len(run) > 3 else run for run in runs)
    listed = "".join(names.get(c) or (c if c.isprintable() else ascii(c)[1:-1]) for c in short)
    return listed if len(listed) <= LISTED else listed[:LISTED] + " and more"
